"""C declarations of ``message.pyx``."""

from libc.stdint cimport uint32_t, uint64_t

from ._header cimport Header


cdef class Message:
    cdef readonly int version
    cdef public object data
    cdef public Py_ssize_t nbytes
    cdef public bint stale
    cdef public object signature
    cdef int type_number
    cdef int bits                # of the flags
    cdef bint stamped
    cdef uint64_t stamp
    cdef int form_bits           # this and the next two are 0 before V4
    cdef uint32_t stream_number
    cdef uint64_t sequence_number


cpdef Message message_of(Header header, data, Py_ssize_t nbytes)
