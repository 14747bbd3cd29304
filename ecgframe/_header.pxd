"""The C face of the frame: bytes that came in, their header, and the draft of a frame to go out."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

# Enum members are looked up, never constructed: a table of 256 for each byte of the header that has names.
cdef list TYPES
cdef list FLAGS

cdef enum:
    SIZE_V1 = 11
    SIZE_V3 = 19


cdef inline Py_ssize_t header_size(int version) noexcept nogil:
    return SIZE_V3 if version == 3 else SIZE_V1


cdef class FlatBuffer:
    cdef Py_buffer source
    cdef const uint8_t* start
    cdef readonly Py_ssize_t nbytes

    cpdef Header only_frame(self, Py_ssize_t max_payload)
    cpdef Header frame_at(self, Py_ssize_t offset, Py_ssize_t max_payload)
    cpdef object view(self, Py_ssize_t start, Py_ssize_t stop)
    cpdef Header header_at(self, Py_ssize_t offset, Py_ssize_t max_payload)
    cpdef int check_version(self, Py_ssize_t offset, frozenset versions) except -1
    cdef int check_payload(self, Py_ssize_t offset, Header header) except -1


cdef class Header:
    cdef readonly int version
    cdef int number              # of the type
    cdef readonly int bits       # of the flags
    cdef readonly Py_ssize_t length
    cdef readonly uint32_t checksum
    cdef uint64_t stamp          # 0 before V3
    cdef readonly Py_ssize_t size


cdef class Span:
    cdef const uint8_t* start
    cdef Py_ssize_t nbytes


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


cdef class Clock:
    cdef uint64_t last

    cpdef uint64_t next(self) except? 0


cpdef FlatBuffer flatten(buffer)
cpdef FlatBuffer flatten_writable(buffer)
cpdef int octet(value, str what) except -1
cpdef bytes build_frame(int version, int type, int flags, uint64_t timestamp, payload)
