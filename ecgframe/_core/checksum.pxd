"""CRC-32 (ISO-HDLC, as in zlib) of bytes in memory, in one or in several parts."""

from libc.stdint cimport uint8_t, uint32_t


cdef enum:
    COPY_WITHOUT_GIL = 65536     # bytes


cdef struct Sum:
    # CRC-32 of the first bytes of a payload.
    uint32_t checksum
    Py_ssize_t nbytes


cdef uint32_t checksum_of(const uint8_t* p, Py_ssize_t n) noexcept
# Continue the sum up to n bytes from p on. Does nothing if sum is NULL.
cdef void sum_up(Sum* sum, const uint8_t* p, Py_ssize_t n) noexcept nogil
# Copy n bytes into a payload. If they are many, also continue the sum to their end.
cdef void copy_and_sum(uint8_t* to, const void* source, Py_ssize_t n, Sum* sum, const uint8_t* payload) noexcept
# Return the CRC-32 of n bytes from p on. The sum already covers the first of them.
cdef uint32_t complete(Sum* sum, const uint8_t* p, Py_ssize_t n) noexcept
