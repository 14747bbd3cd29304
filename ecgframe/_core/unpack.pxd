"""C declarations of ``unpack.pyx``."""

from libc.stdint cimport uint8_t, uint32_t

from ._header cimport FlatBuffer, Header

cdef enum:
    SUMMED_WHILE_READ = 65536    # bytes of a payload from which on its checksum is computed while it is unpacked


cpdef object unpack(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, bint numeric, bint copy)
cpdef object unpack_checked(FlatBuffer flat, Py_ssize_t offset, Header header, bint numeric, bint copy)
cdef object read_payload(object owner, const uint8_t* start, Py_ssize_t nbytes, bint numeric, bint copy)
cdef object read_large(
    object owner, const uint8_t* start, Py_ssize_t nbytes, uint32_t checksum, bint numeric, bint copy, bint* is_valid
)
