"""Helps to find the end of a zlib stream, which libdeflate does not report."""

from libc.stdint cimport uint8_t

from ._header cimport FlatBuffer, flatten

__all__ = ["repeats_last_four"]


def repeats_last_four(buffer):
    """Return True if the last four bytes of a buffer also occur earlier in it, including overlaps."""
    cdef FlatBuffer flat = flatten(buffer)
    cdef bint found
    with nogil:
        found = flat.nbytes > 4 and occur_before(flat.start, flat.start + flat.nbytes - 4)
    return found


cdef bint occur_before(const uint8_t* p, const uint8_t* four) noexcept nogil:
    """Return True if the four bytes occur from p on. The loop has no branch, so that compilers vectorize it."""
    cdef uint8_t a = four[0]
    cdef uint8_t b = four[1]
    cdef uint8_t c = four[2]
    cdef uint8_t d = four[3]
    cdef uint8_t found = 0
    cdef Py_ssize_t i
    for i in range(four - p):
        found |= (p[i] == a) & (p[i + 1] == b) & (p[i + 2] == c) & (p[i + 3] == d)
    return found
