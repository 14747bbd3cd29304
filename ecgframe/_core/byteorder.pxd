"""Unaligned loads and stores in network byte order.

A cast is not allowed, since frames may start at odd addresses. A memcpy of fixed size and a byte swap compile to one
instruction each. Only some compilers combine shifts of single bytes in this way.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from "byteorder.h":
    uint16_t swap16 "ecgframe_swap16"(uint16_t v) noexcept nogil
    uint32_t swap32 "ecgframe_swap32"(uint32_t v) noexcept nogil
    uint64_t swap64 "ecgframe_swap64"(uint64_t v) noexcept nogil
    const bint BIG_ENDIAN_HOST "ECGFRAME_BIG_ENDIAN"


cdef inline void store16(uint8_t* p, uint16_t v) noexcept nogil:
    if not BIG_ENDIAN_HOST:
        v = swap16(v)
    memcpy(p, &v, 2)


cdef inline void store32(uint8_t* p, uint32_t v) noexcept nogil:
    if not BIG_ENDIAN_HOST:
        v = swap32(v)
    memcpy(p, &v, 4)


cdef inline void store64(uint8_t* p, uint64_t v) noexcept nogil:
    if not BIG_ENDIAN_HOST:
        v = swap64(v)
    memcpy(p, &v, 8)


cdef inline uint16_t load16(const uint8_t* p) noexcept nogil:
    cdef uint16_t v
    memcpy(&v, p, 2)
    return v if BIG_ENDIAN_HOST else swap16(v)


cdef inline uint32_t load32(const uint8_t* p) noexcept nogil:
    cdef uint32_t v
    memcpy(&v, p, 4)
    return v if BIG_ENDIAN_HOST else swap32(v)


cdef inline uint64_t load64(const uint8_t* p) noexcept nogil:
    cdef uint64_t v
    memcpy(&v, p, 8)
    return v if BIG_ENDIAN_HOST else swap64(v)
