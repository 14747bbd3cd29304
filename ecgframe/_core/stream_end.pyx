"""Helps to find the end of a zlib stream, which libdeflate does not report."""

from libc.stdint cimport uint8_t, uint32_t

from ._header cimport FlatBuffer, flatten
from .byteorder cimport load32

__all__ = ["ends_once_with"]

cdef enum:
    BLOCK = 1024


def ends_once_with(buffer, uint32_t number):
    """Return True if a buffer ends with these four bytes, big-endian, and has them nowhere else, overlaps included."""
    cdef FlatBuffer flat = flatten(buffer)
    cdef const uint8_t* four = flat.start + flat.nbytes - 4
    cdef bint found
    if flat.nbytes < 4 or load32(four) != number:
        return False
    with nogil:
        found = occur_before(flat.start, four)
    return not found


cdef bint occur_before(const uint8_t* p, const uint8_t* four) noexcept nogil:
    """Return True if the four bytes occur from p on. Blocks without the first and the last of them are passed over."""
    cdef Py_ssize_t n
    while p < four:
        n = min(four - p, BLOCK)
        if may_occur(p, n, four[0], four[3]) and occur_in(p, n, four):
            return True
        p += n
    return False


cdef bint may_occur(const uint8_t* p, Py_ssize_t n, uint8_t a, uint8_t d) noexcept nogil:
    """Return True if the two bytes occur at a distance of three. The loop has no branch: compilers vectorize it."""
    cdef uint8_t found = 0
    cdef Py_ssize_t i
    for i in range(n):
        found |= (p[i] == a) & (p[i + 3] == d)
    return found


cdef bint occur_in(const uint8_t* p, Py_ssize_t n, const uint8_t* four) noexcept nogil:
    cdef uint8_t a = four[0]
    cdef uint8_t b = four[1]
    cdef uint8_t c = four[2]
    cdef uint8_t d = four[3]
    cdef uint8_t found = 0
    cdef Py_ssize_t i
    for i in range(n):
        found |= (p[i] == a) & (p[i + 1] == b) & (p[i + 2] == c) & (p[i + 3] == d)
    return found
