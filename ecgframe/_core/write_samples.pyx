# cython: cdivision=True
"""Converts the samples of an ndarray to MessagePack numbers.

The functions get a pointer to memory of the size that ``row_size`` returned, and its end. They return the end of what
they wrote, or NULL if the memory does not suffice: another thread may have changed the samples to longer integers.
They access the memory of arrays by memcpy only, since strides may leave samples unaligned.
"""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from .byteorder cimport store32, store64, swap16, swap32, swap64
from .dtypes cimport (
    BOOL, FLOAT16, FLOAT32, FLOAT64, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, SampleType,
    is_integer, is_signed, item_size,
)
from .msgpack_numbers cimport WIDEST, signed_size, unsigned_size, write_signed, write_unsigned
from .msgpack_tags cimport F32, F64, FALSE, TRUE
from .simd cimport (
    compresses, fill_permutations, size_counts, write_counts, write_permuted, write_with_one_store,
)

__all__ = []

cdef bint PERMUTES = fill_permutations()
cdef bint COMPRESSES = compresses()


# --- memory ---

cdef inline uint16_t item16(const char* p, bint swapped) noexcept nogil:
    cdef uint16_t v
    memcpy(&v, p, 2)
    return swap16(v) if swapped else v


cdef inline uint32_t item32(const char* p, bint swapped) noexcept nogil:
    cdef uint32_t v
    memcpy(&v, p, 4)
    return swap32(v) if swapped else v


cdef inline uint64_t item64(const char* p, bint swapped) noexcept nogil:
    cdef uint64_t v
    memcpy(&v, p, 8)
    return swap64(v) if swapped else v


cdef inline uint64_t integer_item(SampleType t, const char* p, bint swapped) noexcept nogil:
    """Return an integer as 64 bits in two's complement. The type says whether it is signed."""
    if t == INT8:
        return <uint64_t><int8_t>p[0]
    if t == INT16:
        return <uint64_t><int16_t>item16(p, swapped)
    if t == INT32:
        return <uint64_t><int32_t>item32(p, swapped)
    if t == UINT8:
        return <uint8_t>p[0]
    if t == UINT16:
        return item16(p, swapped)
    if t == UINT32:
        return item32(p, swapped)
    return item64(p, swapped)


cdef uint32_t half_to_float_bits(uint16_t half) noexcept nogil:
    cdef uint32_t sign = <uint32_t>(half & 0x8000) << 16
    cdef uint32_t exponent = (half >> 10) & 0x1F
    cdef uint32_t fraction = half & 0x3FF
    if exponent == 31:
        return sign | 0x7F800000 | (fraction << 13)
    if exponent:
        return sign | ((exponent + 112) << 23) | (fraction << 13)
    if not fraction:
        return sign
    # A subnormal half is a normal float32: shift until the leading one is implicit.
    exponent = 113
    while not fraction & 0x400:
        fraction <<= 1
        exponent -= 1
    return sign | (exponent << 23) | ((fraction & 0x3FF) << 13)


# --- rows ---

cdef inline bint are_counts(SampleType t, bint swapped, Py_ssize_t stride) noexcept nogil:
    """Return True if the samples are in the form that ``size_counts`` and ``write_counts`` require."""
    return COMPRESSES and not swapped and is_integer(t) and item_size(t) > 1 and stride == item_size(t)


cdef Py_ssize_t row_size(SampleType t, bint swapped, const char* p, Py_ssize_t n, Py_ssize_t stride) noexcept nogil:
    """Return the number of bytes that ``write_row`` will write."""
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t done
    if t == BOOL:
        return n
    if t == FLOAT64:
        return 9 * n
    if t in (FLOAT16, FLOAT32):
        return 5 * n
    if are_counts(t, swapped, stride):
        done = size_counts(p, n, <int>item_size(t), is_signed(t), &size)
        p += done * stride
        n -= done
    if t == INT16 and not swapped:         # the two most frequent types have loops without branches for the type
        return size + integers_size(INT16, False, p, n, stride)
    if t == INT64 and not swapped:
        return size + integers_size(INT64, False, p, n, stride)
    return size + integers_size(t, swapped, p, n, stride)


cdef inline Py_ssize_t integers_size(
    SampleType t, bint swapped, const char* p, Py_ssize_t n, Py_ssize_t stride
) noexcept nogil:
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t i
    for i in range(n):
        size += integer_size(integer_item(t, p + i * stride, swapped), is_signed(t))
    return size


cdef uint8_t* write_row(
    SampleType t, bint swapped, uint8_t* out, const uint8_t* end, const char* p, Py_ssize_t n, Py_ssize_t stride
) noexcept nogil:
    cdef Py_ssize_t i
    if t == FLOAT64:
        return write_float64(swapped, out, p, n, stride)
    if are_counts(t, swapped, stride):
        i = write_counts(&out, end, p, n, <int>item_size(t), is_signed(t))
        p += i * stride
        n -= i
    if t == INT16 and not swapped:         # as in row_size
        return write_integers(INT16, False, out, end, p, n, stride)
    if t == INT64 and not swapped:
        return write_integers(INT64, False, out, end, p, n, stride)
    if is_integer(t):
        return write_integers(t, swapped, out, end, p, n, stride)
    if t == FLOAT32:
        i = 0
        if PERMUTES and stride == 4 and not swapped:
            i = write_permuted(out, p, n, 4, F32)
            out += 5 * i
        for i in range(i, n):
            out[0] = F32
            store32(out + 1, item32(p + i * stride, swapped))
            out += 5
    elif t == FLOAT16:
        for i in range(n):
            out[0] = F32
            store32(out + 1, half_to_float_bits(item16(p + i * stride, swapped)))
            out += 5
    else:
        for i in range(n):
            out[i] = TRUE if p[i * stride] else FALSE
        out += n
    return out


cdef inline uint8_t* write_integers(
    SampleType t, bint swapped, uint8_t* out, const uint8_t* end, const char* p, Py_ssize_t n, Py_ssize_t stride
) noexcept nogil:
    cdef uint64_t bits
    cdef Py_ssize_t sure
    cdef Py_ssize_t i = 0
    while i < n:
        sure = min(n, i + (end - out) // WIDEST)
        while i < sure:                    # these fit in any case
            out = write_integer(out, integer_item(t, p + i * stride, swapped), is_signed(t))
            i += 1
        if i < n and end - out < WIDEST:
            bits = integer_item(t, p + i * stride, swapped)
            if end - out < integer_size(bits, is_signed(t)):
                return NULL
            out = write_integer(out, bits, is_signed(t))
            i += 1
    return out


cdef inline int integer_size(uint64_t bits, bint has_sign) noexcept nogil:
    return signed_size(<int64_t>bits) if has_sign else unsigned_size(bits)


cdef inline uint8_t* write_integer(uint8_t* out, uint64_t bits, bint has_sign) noexcept nogil:
    return write_signed(out, <int64_t>bits) if has_sign else write_unsigned(out, bits)


cdef uint8_t* write_float64(bint swapped, uint8_t* out, const char* p, Py_ssize_t n, Py_ssize_t stride) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t done = 0
    if stride == 8 and not swapped:
        if PERMUTES:
            done = write_permuted(out, p, n, 8, F64)
        done += write_with_one_store(out + 9 * done, p + 8 * done, n - done)
        for i in range(done, n):           # a separate loop, so that the compiler knows the step
            out[9 * i] = F64
            store64(out + 9 * i + 1, item64(p + 8 * i, False))
    else:
        for i in range(n):
            out[9 * i] = F64
            store64(out + 9 * i + 1, item64(p + i * stride, swapped))
    return out + 9 * n
