"""The C face of frames to go out."""

from libc.stdint cimport uint8_t, uint64_t


cdef class Draft:
    cdef object owner
    cdef uint8_t* start
    cdef readonly Py_ssize_t room
    cdef readonly Py_ssize_t nbytes

    @staticmethod
    cdef Draft around(object owner, uint8_t* start, Py_ssize_t room, Py_ssize_t nbytes)
    cpdef object seal(self, int version, int type, int flags, uint64_t timestamp)
    cpdef int replace(self, deflated) except -1


cdef int seal(uint8_t* frame, Py_ssize_t nbytes, int version, int type, int flags, uint64_t timestamp) except -1
cpdef bytes build_frame(int version, int type, int flags, uint64_t timestamp, payload)
