# cython: cdivision=True
"""Converts MessagePack numbers to the samples of an ndarray.

The functions get a pointer and the end of the buffer. They never read at or after the end, and return the end of what
they read, or NULL. They access the memory of arrays by memcpy only, since strides may leave samples unaligned.
"""

from libc.math cimport isfinite, isinf, trunc
from libc.stdint cimport (
    INT8_MAX, INT8_MIN, INT16_MAX, INT16_MIN, INT32_MAX, INT32_MIN,
    UINT8_MAX, UINT16_MAX, UINT32_MAX,
    int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t,
)
from libc.string cimport memcpy

from .byteorder cimport load16, load32, load64
from .dtypes cimport (
    BOOL, FLOAT16, FLOAT32, FLOAT64, INT8, INT16, INT32, UINT8, UINT16, UINT32, UINT64, SampleType,
    is_signed, item_size,
)
from .msgpack_tags cimport (
    ARRAY16, ARRAY32, F32, F64, FALSE, FIXARRAY, FIXMAP, FIXSTR, I16, I32, I64, I8, NEGATIVE_FIXINT, TRUE, U16, U32,
    U64, U8,
)
from .simd cimport compresses, fill_permutations, read_counts, read_permuted, read_small_counts, skip_counts

__all__ = []

cdef bint PERMUTES = fill_permutations()
cdef bint COMPRESSES = compresses()

cdef double TWO_63 = 9223372036854775808.0
cdef double TWO_64 = 18446744073709551616.0
cdef int64_t EXACT_IN_FLOAT64 = 1 << 53

# Size of a number in bytes, by its tag; 0 for tags of other types.
cdef uint8_t WIDTH[256]


cdef void fill_width() noexcept:
    cdef int tag
    for tag in range(256):
        WIDTH[tag] = 1 if tag < FIXMAP or tag >= NEGATIVE_FIXINT else 0
    WIDTH[FALSE] = WIDTH[TRUE] = 1
    WIDTH[U8] = WIDTH[I8] = 2
    WIDTH[U16] = WIDTH[I16] = 3
    WIDTH[U32] = WIDTH[I32] = WIDTH[F32] = 5
    WIDTH[U64] = WIDTH[I64] = WIDTH[F64] = 9


fill_width()


# --- numbers ---

cdef inline uint64_t double_bits(double v) noexcept nogil:
    cdef uint64_t bits
    memcpy(&bits, &v, 8)
    return bits


cdef inline float as_float(uint32_t bits) noexcept nogil:
    cdef float v
    memcpy(&v, &bits, 4)
    return v


cdef uint16_t double_to_half(double v) noexcept nogil:
    """Round a double to a half, ties to even. Converting it to float32 first would round twice."""
    cdef uint64_t bits = double_bits(v)
    cdef uint16_t sign = <uint16_t>((bits >> 48) & 0x8000)
    cdef int exponent = <int>((bits >> 52) & 0x7FF)
    cdef uint64_t fraction = bits & 0xFFFFFFFFFFFFFULL
    if exponent == 0x7FF:
        return sign | 0x7C00 | ((0x200 | <uint16_t>(fraction >> 42)) if fraction else 0)
    exponent -= 1008                       # the biased exponent of the half
    if exponent >= 31:
        return sign | 0x7C00
    if exponent < -10:
        return sign                        # less than half of the smallest subnormal
    cdef int drop = 42
    if exponent < 1:                       # a subnormal half has an explicit leading one
        fraction |= <uint64_t>1 << 52
        drop += 1 - exponent
        exponent = 0
    cdef uint64_t kept = fraction >> drop
    cdef uint64_t rest = fraction & ((<uint64_t>1 << drop) - 1)
    cdef uint64_t tie = <uint64_t>1 << (drop - 1)
    if rest > tie or (rest == tie and kept & 1):
        kept += 1                          # a carry into the exponent gives the correct result, also for infinity
    return <uint16_t>(sign + (<uint64_t>exponent << 10) + kept)


# --- rows ---

cdef const uint8_t* array_header(const uint8_t* p, const uint8_t* end, Py_ssize_t* n) noexcept nogil:
    """Read the header of an array. Returns its end, and the length in n; NULL if there is none."""
    if p == end:
        return NULL
    if FIXARRAY <= p[0] < FIXSTR:
        n[0] = p[0] & 0x0F
        return p + 1
    if p[0] == ARRAY16 and end - p >= 3:
        n[0] = load16(p + 1)
        return p + 3
    if p[0] == ARRAY32 and end - p >= 5:
        n[0] = <Py_ssize_t>load32(p + 1)
        return p + 5 if n[0] >= 0 else NULL    # may be negative if Py_ssize_t has 32 bits
    return NULL


cdef const uint8_t* read_number(const uint8_t* p, const uint8_t* end, Number* number) noexcept nogil:
    """Read a number of any type. If its kind is NO_NUMBER or TRUNCATED, nothing was consumed."""
    if p == end:
        number.kind = TRUNCATED
        return p
    cdef uint8_t tag = p[0]
    cdef uint8_t width = WIDTH[tag]
    if width == 0:
        number.kind = NO_NUMBER
        return p
    if end - p < width:
        number.kind = TRUNCATED
        return p
    number.kind = SIGNED
    if width == 1:
        if tag in (FALSE, TRUE):
            number.kind = TRUTH
            number.signed = tag - FALSE
        else:
            number.signed = <int8_t>tag
    elif tag == F64:
        number.kind = FLOATING
        number.floating = as_double(load64(p + 1))
    elif tag == F32:
        number.kind = FLOATING
        number.floating = as_float(load32(p + 1))
    elif tag == U8:
        number.signed = p[1]
    elif tag == U16:
        number.signed = load16(p + 1)
    elif tag == U32:
        number.signed = load32(p + 1)
    elif tag == I8:
        number.signed = <int8_t>p[1]
    elif tag == I16:
        number.signed = <int16_t>load16(p + 1)
    elif tag == I32:
        number.signed = <int32_t>load32(p + 1)
    elif tag == I64:
        number.signed = <int64_t>load64(p + 1)
    else:
        number.unsigned = load64(p + 1)
        if number.unsigned >> 63:
            number.kind = UNSIGNED
        else:
            number.signed = <int64_t>number.unsigned
    return p + width


cdef const uint8_t* read_row(
    SampleType t, const uint8_t* p, const uint8_t* end, char* out, Py_ssize_t n, Fault* fault, Py_ssize_t* index
) noexcept nogil:
    """Convert n numbers to n native samples at ``out``. Returns NULL for a fault, with its kind and the index."""
    cdef Number number
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t size = item_size(t)
    if t == FLOAT64:
        i = read_uniform64(p, end, out, n)
        p += 9 * i
    elif t == FLOAT32:
        i = read_uniform32(p, end, out, n)
        p += 5 * i
    elif t not in (BOOL, FLOAT16):
        i = read_narrow_integers(t, &p, end, out, n)
    while i < n:
        p = read_number(p, end, &number)
        fault[0] = store_sample(t, &number, out + i * size)
        if fault[0] != FINE:
            index[0] = i
            return NULL
        i += 1
    return p


cdef Py_ssize_t read_uniform64(const uint8_t* p, const uint8_t* end, char* out, Py_ssize_t n) noexcept nogil:
    """Read the first float64 numbers of a row, until another type follows. Most rows have no other type."""
    cdef Py_ssize_t i = 0
    n = min(n, (end - p) // 9)
    if PERMUTES:
        i = read_permuted(p, out, n, 8, F64)
    while i + 8 <= n and read_eight64(p + 9 * i, out + 8 * i):
        i += 8
    while i < n and p[9 * i] == F64:
        read_one64(p + 9 * i, out + 8 * i)
        i += 1
    return i


cdef inline void read_one64(const uint8_t* p, char* out) noexcept nogil:
    cdef uint64_t bits = load64(p + 1)
    memcpy(out, &bits, 8)


cdef inline bint read_eight64(const uint8_t* p, char* out) noexcept nogil:
    """Read eight numbers, with one branch for all tags. Returns False if one is not a float64; out is undefined."""
    cdef uint8_t other = 0
    cdef int k
    for k in range(8):
        other |= p[9 * k] ^ F64
        read_one64(p + 9 * k, out + 8 * k)
    return other == 0


cdef Py_ssize_t read_uniform32(const uint8_t* p, const uint8_t* end, char* out, Py_ssize_t n) noexcept nogil:
    cdef uint32_t bits
    cdef Py_ssize_t i = 0
    n = min(n, (end - p) // 5)
    if PERMUTES:
        i = read_permuted(p, out, n, 4, F32)
    while i < n and p[5 * i] == F32:
        bits = load32(p + 5 * i + 1)
        memcpy(out + 4 * i, &bits, 4)
        i += 1
    return i


cdef Py_ssize_t read_narrow_integers(
    SampleType t, const uint8_t** source, const uint8_t* end, char* out, Py_ssize_t n
) noexcept nogil:
    """Read the first integers of a row, until one has more than 3 bytes or is out of range. ADC counts are so small."""
    cdef const uint8_t* p = source[0]
    cdef int32_t lowest = -0x8000
    cdef int32_t highest = 0xFFFF
    cdef int32_t v
    cdef Py_ssize_t i = 0
    narrow(t, &lowest, &highest)
    if COMPRESSES and item_size(t) > 1:
        i = read_counts(source, end, out, n, <int>item_size(t), is_signed(t))
        p = source[0]
    while i < n and end - p >= 3:
        if p[0] < FIXMAP or p[0] >= NEGATIVE_FIXINT:
            v = <int8_t>p[0]
            p += 1
        elif p[0] == I16:
            v = <int16_t>load16(p + 1)
            p += 3
        elif p[0] == U16:
            v = load16(p + 1)
            p += 3
        elif p[0] == U8:
            v = p[1]
            p += 2
        elif p[0] == I8:
            v = <int8_t>p[1]
            p += 2
        else:
            break
        if v < lowest or v > highest:      # the function that reads single numbers raises the error
            break
        store_integer_item(t, v, out, i)
        source[0] = p
        i += 1
    return i


cdef inline void narrow(SampleType t, int32_t* lowest, int32_t* highest) noexcept nogil:
    """Limit the range of 16-bit numbers to that of the type."""
    if t in (UINT8, UINT16, UINT32, UINT64):
        lowest[0] = 0
    if t == INT8:
        lowest[0] = INT8_MIN
        highest[0] = INT8_MAX
    elif t == UINT8:
        highest[0] = UINT8_MAX
    elif t == INT16:
        highest[0] = INT16_MAX


cdef inline void store_integer_item(SampleType t, int64_t v, char* out, Py_ssize_t i) noexcept nogil:
    # Two's complement: the low bytes are the sample, signed or not.
    cdef uint8_t narrow8 = <uint8_t>v
    cdef uint16_t narrow16 = <uint16_t>v
    cdef uint32_t narrow32 = <uint32_t>v
    if t in (INT16, UINT16):
        memcpy(out + 2 * i, &narrow16, 2)
    elif t in (INT32, UINT32):
        memcpy(out + 4 * i, &narrow32, 4)
    elif t in (INT8, UINT8):
        memcpy(out + i, &narrow8, 1)
    else:
        memcpy(out + 8 * i, &v, 8)


cdef Fault store_sample(SampleType t, Number* number, char* out) noexcept nogil:
    if number.kind == TRUNCATED:
        return CUT_SHORT
    if number.kind == NO_NUMBER:
        return NOT_A_NUMBER
    if t == BOOL:
        return store_bool(number, out)
    if number.kind == TRUTH:
        return BOOL_AMONG_NUMBERS
    if t in (FLOAT16, FLOAT32, FLOAT64):
        return store_floating(t, number, out)
    return store_integer(t, number, out)


cdef Fault store_bool(Number* number, char* out) noexcept nogil:
    if number.kind not in (TRUTH, SIGNED) or not 0 <= number.signed <= 1:
        return NUMBER_AMONG_BOOLS
    out[0] = <char>number.signed
    return FINE


cdef Fault store_integer(SampleType t, Number* number, char* out) noexcept nogil:
    cdef Fault fault
    if number.kind == FLOATING:
        fault = integral(number)
        if fault != FINE:
            return fault
    if t == UINT64:
        if number.kind == SIGNED:
            if number.signed < 0:
                return OUT_OF_RANGE
            number.unsigned = <uint64_t>number.signed
        memcpy(out, &number.unsigned, 8)
        return FINE
    if number.kind == UNSIGNED or not in_range(t, number.signed):
        return OUT_OF_RANGE
    store_integer_item(t, number.signed, out, 0)
    return FINE


cdef Fault integral(Number* number) noexcept nogil:
    """Convert a float with an integral value to an integer. Some JavaScript packers send large integers as floats."""
    cdef double v = number.floating
    if not isfinite(v) or trunc(v) != v:
        return FRACTION
    if v < -TWO_63 or v >= TWO_64:
        return OUT_OF_RANGE
    if v < TWO_63:
        number.kind = SIGNED
        number.signed = <int64_t>v
    else:
        number.kind = UNSIGNED
        number.unsigned = <uint64_t>v
    return FINE


cdef bint in_range(SampleType t, int64_t v) noexcept nogil:
    if t == INT8:
        return INT8_MIN <= v <= INT8_MAX
    if t == INT16:
        return INT16_MIN <= v <= INT16_MAX
    if t == INT32:
        return INT32_MIN <= v <= INT32_MAX
    if t == UINT8:
        return 0 <= v <= UINT8_MAX
    if t == UINT16:
        return 0 <= v <= UINT16_MAX
    if t == UINT32:
        return 0 <= v <= <int64_t>UINT32_MAX
    return True


cdef Fault store_floating(SampleType t, Number* number, char* out) noexcept nogil:
    cdef double wide
    cdef float single
    cdef uint16_t half
    if number.kind == SIGNED:
        wide = <double>number.signed
        single = <float>number.signed      # from the integer itself, to round only once
    elif number.kind == UNSIGNED:
        wide = <double>number.unsigned
        single = <float>number.unsigned
    else:
        wide = number.floating
        single = <float>wide
    if t == FLOAT64:
        memcpy(out, &wide, 8)
    elif t == FLOAT32:
        if isinf(single) and not isinf(wide):
            return OUT_OF_RANGE
        memcpy(out, &single, 4)
    else:
        half = double_to_half(wide)
        if (half & 0x7FFF) == 0x7C00 and not isinf(wide):
            return OUT_OF_RANGE
        memcpy(out, &half, 2)
    return FINE


# --- looking ahead ---

cdef const uint8_t* survey_row(const uint8_t* p, const uint8_t* end, Py_ssize_t n, Survey* survey) noexcept nogil:
    """Skip n numbers and record their types and range. Returns NULL if one is a bool, incomplete or no number."""
    cdef Number number
    cdef Py_ssize_t _
    for _ in range(n):
        p = read_number(p, end, &number)
        if number.kind == FLOATING:
            survey.floating = True
        elif number.kind == SIGNED:
            survey.negative |= number.signed < 0
            survey.beyond_float64 |= not -EXACT_IN_FLOAT64 <= number.signed <= EXACT_IN_FLOAT64
        elif number.kind == UNSIGNED:
            survey.above_int64 = True
            survey.beyond_float64 = True
        else:
            return NULL
    return p


cdef const uint8_t* skip_numbers(const uint8_t* p, const uint8_t* end, int depth) noexcept nogil:
    """Return the end of one number, or of arrays of numbers with at most ``depth`` levels; NULL for anything else."""
    cdef Py_ssize_t n
    cdef uint8_t width
    if p == end:
        return NULL
    width = WIDTH[p[0]]
    if width:
        return p + width if end - p >= width else NULL
    p = array_header(p, end, &n)
    if p == NULL or depth == 0:
        return NULL
    if COMPRESSES:
        p = skip_counts(p, end, &n)
    while n > 0:
        if p >= end:
            return NULL
        width = WIDTH[p[0]]
        if width:
            p += width
        else:
            p = skip_numbers(p, end, depth - 1)
            if p == NULL:
                return NULL
        n -= 1
    return p if p <= end else NULL


cdef const uint8_t* read_few_counts(
    const uint8_t* p, const uint8_t* end, int16_t* out, Py_ssize_t most, Py_ssize_t* rows, Py_ssize_t* columns
) noexcept nogil:
    """Read a list of integers, or of lists of equal length, as at most ``most`` int16.

    Returns its end, and the shape: the rows are -1 for a plain list. NULL if that is not all that it is, and always on
    processors without the instructions.
    """
    return read_small_counts(p, end, out, most, rows, columns) if COMPRESSES else NULL


cdef const uint8_t* predict_end(const uint8_t* p, const uint8_t* end, int depth) noexcept nogil:
    """Predict the end of nested arrays, assuming that all rows are as long as the first, with floats of one size.

    Only headers are read, in O(depth): the caller must verify the prediction. Returns NULL for no prediction.
    """
    cdef Py_ssize_t n
    cdef Py_ssize_t row
    cdef const uint8_t* first = array_header(p, end, &n)
    cdef const uint8_t* after
    if first == NULL or depth == 0 or n == 0 or first >= end:
        return NULL
    if first[0] in (F64, F32):
        row = WIDTH[first[0]]
    else:
        after = predict_end(first, end, depth - 1)
        if after == NULL:
            return NULL
        row = after - first
    return first + n * row if n <= (end - first) // row else NULL
