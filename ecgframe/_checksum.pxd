"""CRC-32 (ISO-HDLC, the one of zlib) of bytes in memory."""

from libc.stdint cimport uint8_t, uint32_t

cdef uint32_t checksum_of(const uint8_t* p, Py_ssize_t n) except? 0
