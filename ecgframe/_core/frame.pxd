"""C declarations of ``frame.pyx``."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from .checksum cimport Sum


cdef class PendingFrame:
    cdef object owner
    cdef uint8_t* start
    cdef readonly Py_ssize_t room
    cdef readonly Py_ssize_t nbytes
    cdef Sum sum                 # checksum of the part of the payload that was summed while it was written

    @staticmethod
    cdef PendingFrame around(object owner, uint8_t* start, Py_ssize_t room, Py_ssize_t nbytes, Sum sum)
    cpdef object finish(
        self, int version, int type, int flags, uint64_t timestamp, int form=*, uint32_t stream_id=*,
        uint64_t sequence=*
    )
    cpdef int replace(self, deflated) except -1
    cpdef int sum_now(self) except -1


cdef int finish_frame(
    uint8_t* frame, Py_ssize_t nbytes, Sum* sum, int version, int type, int flags, uint64_t timestamp,
    int form, uint32_t stream_id, uint64_t sequence,
) except -1
cpdef PendingFrame pending_frame(int version, payload)
cpdef bytes build_frame(
    int version, int type, int flags, uint64_t timestamp, payload, int form=*, uint32_t stream_id=*,
    uint64_t sequence=*
)
