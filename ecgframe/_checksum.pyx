"""CRC-32 (ISO-HDLC, the one of zlib), by the fastest library that is there."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uintptr_t
from libc.string cimport memcpy

from ._lending cimport lend
from ._turns cimport await_turn, give_turn

import zlib

# zlib-ng sums 50 GB/s where zlib sums 4 to 6; the standard library stands in where no wheel of it exists.
try:
    from zlib_ng.zlib_ng import crc32 as _crc32
except ImportError:
    from zlib import crc32 as _crc32

__all__ = []

cdef enum:
    SUM_BY_TABLE = 128
    SUM_WITHOUT_GIL = 131072     # less is summed sooner than another thread takes the GIL over

ctypedef uint32_t (*Crc32)(uint32_t checksum, const uint8_t* p, size_t n) noexcept nogil


cdef Crc32 find_crc32_in_c():
    """libdeflate's, of which C needs neither an object nor the GIL; NULL where its module shows it to nobody."""
    cdef Crc32 found
    cdef bytes sample = bytes(range(256)) * 4
    try:
        from ctypes import CDLL, c_void_p, cast

        from deflate import _deflate

        found = <Crc32><uintptr_t>cast(CDLL(_deflate.__file__).libdeflate_crc32, c_void_p).value
    except (ImportError, OSError, AttributeError):
        return NULL
    return found if found(0, sample, len(sample)) == zlib.crc32(sample) else NULL


cdef Crc32 crc32_in_c = find_crc32_in_c()
cdef object crc32_in_python = _crc32

# CRC_TABLE[k][b]: what byte b leaves of the remainder when k more bytes have followed it.
cdef uint32_t CRC_TABLE[8][256]


cdef void fill_crc_table() noexcept:
    cdef uint32_t i
    cdef uint32_t remainder
    cdef int k
    cdef int _
    for i in range(256):
        remainder = i
        for _ in range(8):
            remainder = (remainder >> 1) ^ (0xEDB88320U if remainder & 1 else 0)
        CRC_TABLE[0][i] = remainder
    for k in range(1, 8):
        for i in range(256):
            remainder = CRC_TABLE[k - 1][i]
            CRC_TABLE[k][i] = (remainder >> 8) ^ CRC_TABLE[0][remainder & 0xFF]


if crc32_in_c == NULL:
    fill_crc_table()


cdef uint32_t checksum_of(const uint8_t* p, Py_ssize_t n) except? 0:
    return continued(0, p, n)


cdef uint32_t completed(Sum* sum, const uint8_t* p, Py_ssize_t n) except? 0:
    return continued(sum.checksum, p + sum.nbytes, n - sum.nbytes)


cdef void sum_up(Sum* sum, const uint8_t* p, Py_ssize_t n) noexcept nogil:
    if sum != NULL and crc32_in_c != NULL:
        sum.checksum = crc32_in_c(sum.checksum, p + sum.nbytes, n - sum.nbytes)
        sum.nbytes = n


cdef void copy_and_sum(uint8_t* to, const void* source, Py_ssize_t n, Sum* sum, const uint8_t* payload) noexcept:
    """Both in one stretch without the GIL: to take it back may cost a thread more than a copy or a sum does."""
    if n >= COPY_WITHOUT_GIL:
        with nogil:
            give_turn()
            memcpy(to, source, n)
            sum_up(sum, payload, to + n - payload)
            await_turn()
    elif n:
        memcpy(to, source, n)


cdef uint32_t continued(uint32_t checksum, const uint8_t* p, Py_ssize_t n) except? 0:
    if crc32_in_c == NULL:
        return continued_in_python(checksum, p, n)
    if n < SUM_WITHOUT_GIL:
        return crc32_in_c(checksum, p, n)
    with nogil:
        give_turn()
        checksum = crc32_in_c(checksum, p, n)
        await_turn()
    return checksum


cdef uint32_t continued_in_python(uint32_t checksum, const uint8_t* p, Py_ssize_t n) except? 0:
    """By table what is summed in less time than a call takes."""
    if n <= SUM_BY_TABLE:
        return checksum_by_table(checksum, p, n)
    cdef Span span = Span.__new__(Span)
    span.start = p
    span.nbytes = n
    return crc32_in_python(span, checksum)


@cython.final
@cython.freelist(8)
@cython.auto_pickle(False)
cdef class Span:
    """Bytes lent to a library for the length of a call: a fifth of the price of a memoryview."""

    cdef const uint8_t* start
    cdef Py_ssize_t nbytes

    def __getbuffer__(self, Py_buffer* view, int flags):
        lend(view, self, self.start, self.nbytes, flags)


cdef uint32_t checksum_by_table(uint32_t checksum, const uint8_t* p, Py_ssize_t n) noexcept nogil:
    cdef uint32_t remainder = checksum ^ 0xFFFFFFFFU
    cdef const uint8_t* end = p + n
    while end - p >= 8:
        remainder ^= p[0] | <uint32_t>p[1] << 8 | <uint32_t>p[2] << 16 | <uint32_t>p[3] << 24
        remainder = (
            CRC_TABLE[7][remainder & 0xFF] ^ CRC_TABLE[6][remainder >> 8 & 0xFF]
            ^ CRC_TABLE[5][remainder >> 16 & 0xFF] ^ CRC_TABLE[4][remainder >> 24]
            ^ CRC_TABLE[3][p[4]] ^ CRC_TABLE[2][p[5]] ^ CRC_TABLE[1][p[6]] ^ CRC_TABLE[0][p[7]]
        )
        p += 8
    if end - p >= 4:
        remainder ^= p[0] | <uint32_t>p[1] << 8 | <uint32_t>p[2] << 16 | <uint32_t>p[3] << 24
        remainder = (
            CRC_TABLE[3][remainder & 0xFF] ^ CRC_TABLE[2][remainder >> 8 & 0xFF]
            ^ CRC_TABLE[1][remainder >> 16 & 0xFF] ^ CRC_TABLE[0][remainder >> 24]
        )
        p += 4
    while p < end:
        remainder = (remainder >> 8) ^ CRC_TABLE[0][(remainder ^ p[0]) & 0xFF]
        p += 1
    return remainder ^ 0xFFFFFFFFU
