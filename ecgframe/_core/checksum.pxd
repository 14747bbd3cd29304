"""CRC-32 (ISO-HDLC, the one of zlib) of bytes in memory, at once or as they come."""

from libc.stdint cimport uint8_t, uint32_t


cdef enum:
    COPY_WITHOUT_GIL = 65536     # bytes


cdef struct Sum:
    # The CRC-32 of a payload, as far as it has been taken.
    uint32_t checksum
    Py_ssize_t nbytes


cdef uint32_t checksum_of(const uint8_t* p, Py_ssize_t n) noexcept
# Take in as much as makes n bytes from p on; nothing where sum is NULL.
cdef void sum_up(Sum* sum, const uint8_t* p, Py_ssize_t n) noexcept nogil
# Copy n bytes to where they stand in a payload; many at once with summing the payload up to their end.
cdef void copy_and_sum(uint8_t* to, const void* source, Py_ssize_t n, Sum* sum, const uint8_t* payload) noexcept
# The CRC-32 of n bytes from p on, of which the sum has taken in the first.
cdef uint32_t complete(Sum* sum, const uint8_t* p, Py_ssize_t n) noexcept
