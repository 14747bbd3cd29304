"""The C face of what a frame said."""

from libc.stdint cimport uint64_t

from ._header cimport Header


cdef class Message:
    cdef readonly int version
    cdef public object data
    cdef public Py_ssize_t nbytes
    cdef int number              # of the type
    cdef int bits                # of the flags
    cdef bint stamped
    cdef uint64_t stamp


cpdef Message message_of(Header header, data, Py_ssize_t nbytes)
