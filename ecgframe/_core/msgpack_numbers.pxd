"""Sizes of MessagePack numbers, and functions that write them. Inline, for the loops that write samples.

A function gets a pointer to enough memory, and returns the end of what it wrote. Integers have their shortest form.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from .byteorder cimport store16, store32, store64
from .msgpack_tags cimport F64, I8, I16, I32, I64, U8, U16, U32, U64


cdef enum:
    WIDEST = 9                   # largest size of a number, in bytes


cdef inline int unsigned_size(uint64_t v) noexcept nogil:
    if v < 0x80:
        return 1
    if v < 0x100:
        return 2
    if v < 0x10000:
        return 3
    return 5 if v < 0x100000000ULL else 9


cdef inline int signed_size(int64_t v) noexcept nogil:
    if v >= 0:
        return unsigned_size(<uint64_t>v)
    if v >= -0x20:
        return 1
    if v >= -0x80:
        return 2
    if v >= -0x8000:
        return 3
    return 5 if v >= -<int64_t>0x80000000ULL else 9


cdef inline uint8_t* write_unsigned(uint8_t* out, uint64_t v) noexcept nogil:
    if v < 0x80:
        out[0] = <uint8_t>v
        return out + 1
    if v < 0x100:
        out[0] = U8
        out[1] = <uint8_t>v
        return out + 2
    if v < 0x10000:
        out[0] = U16
        store16(out + 1, <uint16_t>v)
        return out + 3
    if v < 0x100000000ULL:
        out[0] = U32
        store32(out + 1, <uint32_t>v)
        return out + 5
    out[0] = U64
    store64(out + 1, v)
    return out + 9


cdef inline uint8_t* write_signed(uint8_t* out, int64_t v) noexcept nogil:
    if v >= 0:
        return write_unsigned(out, <uint64_t>v)
    if v >= -0x20:
        out[0] = <uint8_t>v
        return out + 1
    if v >= -0x80:
        out[0] = I8
        out[1] = <uint8_t>v
        return out + 2
    if v >= -0x8000:
        out[0] = I16
        store16(out + 1, <uint16_t>v)
        return out + 3
    if v >= -<int64_t>0x80000000ULL:
        out[0] = I32
        store32(out + 1, <uint32_t>v)
        return out + 5
    out[0] = I64
    store64(out + 1, <uint64_t>v)
    return out + 9


cdef inline uint8_t* write_double(uint8_t* out, double v) noexcept nogil:
    cdef uint64_t bits
    memcpy(&bits, &v, 8)
    out[0] = F64
    store64(out + 1, bits)
    return out + 9
