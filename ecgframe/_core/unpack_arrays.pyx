"""Reads ndarrays in a payload: wrappers in list form and in binary form, and plain lists of numbers.

The samples often precede their dtype. The entries of the map are therefore located first. The end of the samples is
predicted from their headers, which takes no time and is nearly always correct; if not, they are skipped one by one.
Then the samples are read once, directly into the array.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int16_t, int64_t, uint8_t, uintptr_t
from libc.string cimport memcmp, memcpy, memset

from .byteorder cimport load16, load32
from .checksum cimport sum_up
from .dtypes cimport BOOL, FLOAT64, INT16, INT64, UINT64, SampleType, item_size, sample_type
from .limits cimport DEEPEST, MOST_DIMENSIONS
from .msgpack_tags cimport BIN32, BIN8, FIXSTR, NIL, STR8
from .ndarrays cimport data_of, new_array, view_of
from .read_samples cimport (
    BOOL_AMONG_NUMBERS, CUT_SHORT, FINE, FRACTION, NOT_A_NUMBER, NUMBER_AMONG_BOOLS, OUT_OF_RANGE, SIGNED,
    Fault, Number, Survey,
    array_header, predict_end, read_few_counts, read_number, read_row, skip_numbers, survey_row,
)
from .reader cimport TOO_DEEP, Reader, allow, keys_to, refuse

import numpy as np

from .path import path_text
from ..errors import InvalidDataFormat
from ..protocol import (
    DTYPE_SPELLINGS,
    MAX_DIMENSION,
    MAX_DTYPE_LETTERS,
    NDARRAY_KEY,
    NDARRAY_KEYS,
    NDARRAY_VALUES,
    Check,
)

__all__ = []

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    SAMPLES_WITHOUT_GIL = 8192

cdef int64_t LARGEST_DIMENSION = MAX_DIMENSION
cdef Py_ssize_t LONGEST_DTYPE = MAX_DTYPE_LETTERS
cdef Py_ssize_t VALUES_OF_NDARRAY = NDARRAY_VALUES

cdef dict FAULTS = {
    <int>CUT_SHORT: "the payload ends within this number",
    <int>NOT_A_NUMBER: "not a number where the shape has a sample",
    <int>BOOL_AMONG_NUMBERS: "a bool among numbers",
    <int>NUMBER_AMONG_BOOLS: "neither true, false, 0 nor 1 in a bool array",
    <int>FRACTION: "a fraction, infinity or NaN in an integer array",
    <int>OUT_OF_RANGE: "a number outside the range of the array's dtype",
}

cdef object FLOAT64_DTYPE = np.dtype("f8")
cdef object INT64_DTYPE = np.dtype("i8")
cdef object UINT64_DTYPE = np.dtype("u8")


cdef struct Wrapper:
    # Locations of the values of an ndarray wrapper in the payload.
    const uint8_t* dtype
    Py_ssize_t dtype_size
    const uint8_t* samples
    const uint8_t* samples_end   # found, or predicted from the headers
    const uint8_t* shape
    const uint8_t* end
    bint guessed                 # whether samples_end was predicted
    int16_t* counts              # the samples, if they were read while their end was sought
    Py_ssize_t rows              # of these counts; -1 for a plain list
    Py_ssize_t columns           # 0 if they were not read


cdef enum:
    FEW_COUNTS = 8192            # samples that are read while their end is sought, on the stack: 16 KiB


# --- wrappers ---

cdef char marker_at(const uint8_t* p, const uint8_t* end) noexcept:
    """Return the key of a wrapper at p, as ``marker`` does; 0 for none."""
    cdef const uint8_t* text
    cdef Py_ssize_t n
    return marker(text, n) if text_at(p, end, &text, &n) != NULL else 0


cdef char marker(const uint8_t* text, Py_ssize_t n) noexcept:
    """Return a letter for the key of a wrapper: array, type, shape, clock (datetime) or uuid; 0 for other texts."""
    if n == 5:
        return c"t" if memcmp(text, b"dtype", 5) == 0 else c"s" if memcmp(text, b"shape", 5) == 0 else 0
    if n == 11:
        return c"a" if memcmp(text, b"__ndarray__", 11) == 0 else 0
    if n == 12:
        return c"c" if memcmp(text, b"__datetime__", 12) == 0 else 0
    return c"u" if n == 8 and memcmp(text, b"__uuid__", 8) == 0 else 0


cdef const uint8_t* text_at(
    const uint8_t* p, const uint8_t* end, const uint8_t** text, Py_ssize_t* n
) noexcept:
    """Return the end of a str, and its bytes; NULL if there is no complete str."""
    if p == end or not FIXSTR <= p[0] < NIL:
        return sized_at(p, end, STR8, text, n)
    n[0] = p[0] & 0x1F
    text[0] = p + 1
    return text[0] + n[0] if n[0] <= end - text[0] else NULL


cdef const uint8_t* sized_at(
    const uint8_t* p, const uint8_t* end, uint8_t tag8, const uint8_t** content, Py_ssize_t* n
) noexcept:
    """Return the end of a str (tag8 STR8) or bin (BIN8) with a length of 8, 16 or 32 bits; NULL if incomplete."""
    cdef Py_ssize_t left = end - p
    if left >= 2 and p[0] == tag8:
        n[0] = p[1]
        content[0] = p + 2
    elif left >= 3 and p[0] == tag8 + 1:
        n[0] = load16(p + 1)
        content[0] = p + 3
    elif left >= 5 and p[0] == tag8 + 2:
        n[0] = <Py_ssize_t>load32(p + 1)
        content[0] = p + 5
    else:
        return NULL
    return content[0] + n[0] if 0 <= n[0] <= end - content[0] else NULL


cdef bint locate(Reader* r, Py_ssize_t n, bint guess, Wrapper* w, int16_t* counts) noexcept:
    """Locate the three values of a wrapper, a map of n entries at r.at. Returns False if it is not complete."""
    cdef const uint8_t* p = r.at
    cdef const uint8_t* text
    cdef Py_ssize_t size
    cdef Py_ssize_t _
    cdef char key
    memset(w, 0, sizeof(Wrapper))
    w.counts = counts
    for _ in range(n):
        p = text_at(p, r.end, &text, &size)
        if p == NULL or p == r.end:
            return False
        key = marker(text, size)
        if key == c"a" and w.samples == NULL:
            w.samples = p
            p = w.samples_end = past_samples(p, r.end, guess, w)
        elif key == c"t" and w.dtype == NULL:
            p = text_at(p, r.end, &w.dtype, &w.dtype_size)
        elif key == c"s" and w.shape == NULL:
            w.shape = p
            p = skip_numbers(p, r.end, 1)
        else:
            return False
        if p == NULL:
            return False
    w.end = p
    return w.samples != NULL and w.dtype != NULL and w.shape != NULL


cdef const uint8_t* past_samples(const uint8_t* p, const uint8_t* end, bint guess, Wrapper* w) noexcept:
    cdef const uint8_t* content
    cdef const uint8_t* after
    cdef Py_ssize_t n
    if BIN8 <= p[0] <= BIN32:
        return sized_at(p, end, BIN8, &content, &n)
    if guess:
        after = predict_end(p, end, MOST_DIMENSIONS)
        if after != NULL:
            w.guessed = True
            return after
    after = read_few_counts(p, end, w.counts, FEW_COUNTS, &w.rows, &w.columns)
    if after != NULL:
        return after
    w.columns = 0
    return skip_numbers(p, end, MOST_DIMENSIONS)


cdef object read_wrapper(Reader* r, const uint8_t* start, Py_ssize_t n):
    """Read the ndarray of the wrapper at r.at; None if the map is not a complete wrapper."""
    cdef Wrapper w
    cdef int16_t[FEW_COUNTS] counts
    if r.values_allowed >= VALUES_OF_NDARRAY:
        if locate(r, n, True, &w, counts):
            array = read_array_of(r, &w)
            if array is not None:
                r.values_allowed -= VALUES_OF_NDARRAY
                return array
        elif not w.guessed:
            return None
    if locate(r, n, False, &w, counts):
        allow(r, w.samples, VALUES_OF_NDARRAY)
        return read_array_of(r, &w)
    return None


cdef object read_array_of(Reader* r, Wrapper* w):
    """Read a located array; None if the predicted end of the samples was wrong."""
    if not w.guessed:
        return read_located(r, w)
    try:
        return read_located(r, w)
    except InvalidDataFormat:
        return None


cdef object read_located(Reader* r, Wrapper* w):
    cdef Py_ssize_t dims[MOST_DIMENSIONS]
    cdef int ndim
    cdef Py_ssize_t count
    cdef SampleDtype dtype
    if r.depth + 2 > DEEPEST:
        refuse(r, w.samples, TOO_DEEP)
    dtype = read_dtype(r, w)
    ndim = read_shape(r, w, dims)
    count = count_samples(r, w, dims, ndim, item_size(dtype.t))
    if BIN8 <= w.samples[0] <= BIN32:
        array = view_samples(r, w, dtype, dims, ndim, count)
    else:
        array = copy_samples(r, w, dtype, dims, ndim, count)
    r.at = w.end
    return array


cdef class SampleDtype:
    """A dtype that can be received, with its properties for reading."""

    cdef bytes spelling          # as received
    cdef SampleType t
    cdef bint native
    cdef object dtype
    cdef object in_memory        # the same in the byte order of this machine
    cdef object little_endian    # the same as the binary form has it


cdef enum:
    RECENT_DTYPES = 32

cdef dict DTYPES = {}                # by their spelling
cdef list RECENT = [None] * RECENT_DTYPES    # by letters of their spelling, so that no bytes are made to look them up


cdef SampleDtype read_dtype(Reader* r, Wrapper* w):
    cdef Py_ssize_t n = w.dtype_size
    cdef Py_ssize_t slot = 0 if n == 0 else (w.dtype[0] * 5 + w.dtype[n // 2] * 3 + w.dtype[n - 1]) % RECENT_DTYPES
    cdef SampleDtype found = RECENT[slot]
    if (
        found is not None and PyBytes_GET_SIZE(found.spelling) == n
        and memcmp(PyBytes_AS_STRING(found.spelling), w.dtype, n) == 0
    ):
        return found
    found = find_dtype(r, w)
    RECENT[slot] = found
    return found


cdef SampleDtype find_dtype(Reader* r, Wrapper* w):
    if w.dtype_size > LONGEST_DTYPE:
        refuse(r, w.dtype, f"a dtype of {w.dtype_size} letters")
    text = PyBytes_FromStringAndSize(<const char*>w.dtype, w.dtype_size)
    cdef SampleDtype found = DTYPES.get(text)
    if found is None:
        found = known_dtype(text)
        if found is None:
            spelling = text.decode("ascii", "backslashreplace")
            refuse(r, w.dtype, f"dtype {spelling!r} is no bool, integer or float of at most 8 bytes")
        # Bounded by the table of dtypes. Entries are never replaced, since other threads may use them.
        found = DTYPES.setdefault(text, found)
    return found


cdef SampleDtype known_dtype(bytes text):
    """Return the dtype for a text; None for other texts, including those of structures and objects in NumPy."""
    cdef SampleDtype known
    name = DTYPE_SPELLINGS.get(text.decode("latin-1"))
    if name is None:
        return None
    dtype = np.dtype(name)
    known = SampleDtype()
    known.spelling = text
    known.t = sample_type(ord(dtype.kind), dtype.itemsize)
    known.native = dtype.isnative
    known.dtype = dtype
    known.in_memory = dtype.newbyteorder("=")
    known.little_endian = dtype.newbyteorder("<")
    return known


cdef int read_shape(Reader* r, Wrapper* w, Py_ssize_t* dims) except -1:
    """Read the dimensions of the shape into ``dims``. Returns their number."""
    cdef Py_ssize_t n = 0
    cdef Py_ssize_t i
    cdef Number number
    cdef const uint8_t* p = array_header(w.shape, r.end, &n)
    if p == NULL:
        refuse(r, w.shape, "an ndarray's shape is an array of dimensions")
    if n > MOST_DIMENSIONS:
        refuse(r, w.shape, f"an ndarray of {n} dimensions; {MOST_DIMENSIONS} is the most")
    for i in range(n):
        p = read_number(p, r.end, &number)
        if number.kind != SIGNED or not 0 <= number.signed <= LARGEST_DIMENSION:
            refuse(r, w.shape, f"dimension {i} of an ndarray's shape is no integer from 0 to 2**32 - 1")
        dims[i] = <Py_ssize_t>number.signed
    return <int>n


cdef tuple shape_of(const Py_ssize_t* dims, int ndim):
    cdef int i
    if ndim == 1:
        return (dims[0],)
    if ndim == 2:
        return (dims[0], dims[1])
    return tuple([dims[i] for i in range(ndim)])


cdef Py_ssize_t count_samples(Reader* r, Wrapper* w, Py_ssize_t* dims, int ndim, Py_ssize_t size) except -1:
    """Return the number of samples of a shape. Rejects shapes whose size in bytes exceeds the address space."""
    cdef int i
    cdef bint none = False
    cdef Py_ssize_t total = 1
    for i in range(ndim):
        if dims[i] == 0:
            none = True
        elif total > PY_SSIZE_T_MAX // size // dims[i]:
            refuse(r, w.shape, "the shape has more samples than memory has addresses")
        else:
            total *= dims[i]
    return 0 if none else total


# --- binary form ---

cdef object view_samples(
    Reader* r, Wrapper* w, SampleDtype dtype, const Py_ssize_t* dims, int ndim, Py_ssize_t count
):
    """Return the samples as a read-only view of the received bytes. They are copied if they are unaligned or have
    another byte order; and if the reader is to copy, which makes the array writable."""
    cdef const uint8_t* content = NULL
    cdef Py_ssize_t n = 0
    cdef Py_ssize_t i
    cdef Py_ssize_t size = item_size(dtype.t)
    sized_at(w.samples, r.end, BIN8, &content, &n)
    if n != count * size:
        refuse(
            r, w.samples,
            f"{n} bytes of samples, where shape {list(shape_of(dims, ndim))} of {dtype.dtype} has {count * size}",
        )
    if dtype.t == BOOL:
        for i in range(n):
            if content[i] > 1:
                refuse(r, content + i, f"a bool sample of value {content[i]}")
    array = view_of(<object>r.owner, content, dtype.little_endian, ndim, dims)
    if r.copy:
        return array.astype(dtype.dtype)
    if dtype.native and <uintptr_t>content % <uintptr_t>size == 0:
        return array                       # read-only, like the buffer
    array = array.astype(dtype.dtype)
    array.flags.writeable = False
    return array


# --- list form ---

cdef object copy_samples(
    Reader* r, Wrapper* w, SampleDtype dtype, Py_ssize_t* dims, int ndim, Py_ssize_t count
):
    """Return a new array with the samples of nested or flat lists."""
    cdef char* target
    cdef Fault fault = FINE
    cdef const uint8_t* end
    cdef Py_ssize_t index = 0
    cdef bint flat = is_flat(w.samples, r.end, ndim)
    if count > w.samples_end - w.samples:
        refuse_shape(r, w, shape_of(dims, ndim))
    if r.depth + 1 + (1 if flat else ndim) > DEEPEST:
        refuse(r, w.samples, TOO_DEEP)
    array = new_array(dtype.in_memory, ndim, dims)
    target = <char*>data_of(array)
    if are_read(w, dtype.t, dims, ndim):
        memcpy(target, w.counts, 2 * count)
        return array if dtype.native else array.byteswap(True).view(dtype.dtype)
    if count < SAMPLES_WITHOUT_GIL:
        end = fill(dtype.t, w.samples, w.samples_end, target, dims, ndim, flat, count, &fault, &index)
    else:
        with nogil:
            sum_up(r.sum, r.base, r.end - r.base)
            end = fill(dtype.t, w.samples, w.samples_end, target, dims, ndim, flat, count, &fault, &index)
    if end != w.samples_end:
        if fault == FINE or fault == NOT_A_NUMBER:
            refuse_shape(r, w, shape_of(dims, ndim))
        refuse_sample(r, w, shape_of(dims, ndim), fault, index)
    return array if dtype.native else array.byteswap(True).view(dtype.dtype)


cdef inline bint are_read(Wrapper* w, SampleType t, const Py_ssize_t* dims, int ndim) noexcept:
    """Return whether the samples were read as counts of this type and shape while their end was sought."""
    if w.columns == 0 or t != INT16:
        return False
    if ndim == 1:
        return w.rows < 0 and dims[0] == w.columns
    return ndim == 2 and dims[0] == w.rows and dims[1] == w.columns


cdef bint is_flat(const uint8_t* p, const uint8_t* end, int ndim) noexcept:
    """Return True if the samples are one flat list in C order, False if they are nested lists."""
    cdef Py_ssize_t n = 0
    cdef const uint8_t* first = array_header(p, end, &n)
    cdef Py_ssize_t ignored = 0
    if first == NULL:
        return False
    return ndim < 2 or n == 0 or array_header(first, end, &ignored) == NULL


cdef const uint8_t* fill(
    SampleType t, const uint8_t* p, const uint8_t* end, char* out,
    Py_ssize_t* dims, int ndim, bint flat, Py_ssize_t count, Fault* fault, Py_ssize_t* index,
) noexcept nogil:
    """Read all samples. After an error, returns NULL or another end, with the fault and the index of the sample."""
    cdef Py_ssize_t n = 0
    cdef char* start = out
    if not flat:
        return fill_nested(t, p, end, &out, start, dims, ndim, fault, index)
    p = array_header(p, end, &n)
    if n != count:
        return NULL
    return read_row(t, p, end, out, n, fault, index)


cdef const uint8_t* fill_nested(
    SampleType t, const uint8_t* p, const uint8_t* end, char** out, char* start,
    Py_ssize_t* dims, int ndim, Fault* fault, Py_ssize_t* index,
) noexcept nogil:
    cdef Py_ssize_t n = 1
    cdef Py_ssize_t _
    if ndim > 0:
        p = array_header(p, end, &n)
        if p == NULL or n != dims[0]:
            return NULL
    if ndim > 1:
        for _ in range(n):
            p = fill_nested(t, p, end, out, start, dims + 1, ndim - 1, fault, index)
            if p == NULL:
                return NULL
        return p
    p = read_row(t, p, end, out[0], n, fault, index)
    if p == NULL:
        index[0] += (out[0] - start) // item_size(t)
    out[0] += n * item_size(t)
    return p


cdef int refuse_shape(Reader* r, Wrapper* w, tuple shape) except -1:
    return refuse(
        r, w.samples, f"the samples are neither nested as shape {list(shape)} says nor that many in one flat list"
    )


cdef int refuse_sample(Reader* r, Wrapper* w, tuple shape, Fault fault, Py_ssize_t index) except -1:
    place = [NDARRAY_KEY, *(int(i) for i in np.unravel_index(index, shape))]
    path = path_text(keys_to(r) + place)
    raise InvalidDataFormat(
        f"{path}: {FAULTS[<int>fault]} (samples from payload byte {w.samples - r.base})",
        check=Check.PAYLOAD, path=path, offset=w.samples - r.base,
    )


cdef int refuse_invalid_wrapper(Reader* r, const uint8_t* start, dict items) except -1:
    missing = sorted(NDARRAY_KEYS.difference(items))
    if missing:
        return refuse(r, start, f"an ndarray wrapper without {' and '.join(missing)}")
    if type(items["dtype"]) is not str:
        return refuse(r, start, "an ndarray wrapper whose dtype is no text")
    return refuse(r, start, f'an ndarray wrapper whose "{NDARRAY_KEY}" holds other than numbers, or whose shape does')


# --- plain lists of numbers ---

cdef object read_number_list(Reader* r, const uint8_t* start, Py_ssize_t n):
    """Read a list of n numbers at r.at, or of n lists of equal length, as an ndarray; None for other lists.

    It counts for MAX_VALUES like the lists, so that this option does not change which payloads are accepted.
    """
    cdef Survey survey
    cdef const uint8_t* p = r.at
    cdef const uint8_t* after = r.at
    cdef Py_ssize_t columns = 0
    cdef Py_ssize_t row_columns = 0
    cdef Py_ssize_t _
    cdef Fault fault = FINE
    cdef Py_ssize_t index = 0
    cdef Py_ssize_t[2] dims
    if n > r.end - r.at or r.depth + 2 > DEEPEST:
        return None
    memset(&survey, 0, sizeof(Survey))
    if array_header(p, r.end, &columns) == NULL:
        after = survey_row(p, r.end, n, &survey)
        if after == NULL:
            return None
    else:
        for _ in range(n):
            after = array_header(after, r.end, &row_columns)
            if after == NULL or row_columns != columns or columns == 0:
                return None
            after = survey_row(after, r.end, columns, &survey)
            if after == NULL:
                return None
    dtype = dtype_for(&survey)
    if dtype is None:
        return None
    allow(r, start, 1 + n if columns else 1)
    dims[0] = n
    dims[1] = columns
    array = new_array(dtype, 2 if columns else 1, dims)
    p = read_rows(
        FLOAT64 if survey.floating else UINT64 if survey.above_int64 else INT64,
        p, r.end, <char*>data_of(array), n, columns, &fault, &index,
    )
    if p != after:
        return None
    r.at = after
    return array


cdef object dtype_for(Survey* survey):
    """Return the dtype that represents every number of the list exactly; None if there is none."""
    if survey.floating:
        return None if survey.beyond_float64 else FLOAT64_DTYPE
    if survey.above_int64:
        return None if survey.negative else UINT64_DTYPE
    return INT64_DTYPE


cdef const uint8_t* read_rows(
    SampleType t, const uint8_t* p, const uint8_t* end, char* out,
    Py_ssize_t rows, Py_ssize_t columns, Fault* fault, Py_ssize_t* index,
) noexcept nogil:
    """Return the end of the surveyed numbers; NULL if another thread has changed them since."""
    cdef Py_ssize_t ignored = 0
    cdef Py_ssize_t i
    if columns == 0:
        return read_row(t, p, end, out, rows, fault, index)
    for i in range(rows):
        p = array_header(p, end, &ignored)
        if p == NULL:
            return NULL
        p = read_row(t, p, end, out + 8 * i * columns, columns, fault, index)
        if p == NULL:
            return NULL
    return p
