"""The C face of bytes that came in, and of the header of a frame."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from .limits cimport SIZE_V1, SIZE_V3

# Enum members are looked up, never constructed: a table of 256 for each byte of the header that has names.
cdef list TYPES
cdef list FLAGS

cdef inline Py_ssize_t header_size(int version) noexcept nogil:
    return SIZE_V3 if version == 3 else SIZE_V1


cdef class FlatBuffer:
    cdef Py_buffer source
    cdef const uint8_t* start
    cdef readonly Py_ssize_t nbytes

    cpdef Header only_frame(self, Py_ssize_t max_payload)
    cpdef Header whole_frame_at(self, Py_ssize_t offset, Py_ssize_t max_payload)
    cpdef Header frame_at(self, Py_ssize_t offset, Py_ssize_t max_payload)
    cpdef object view(self, Py_ssize_t start, Py_ssize_t stop)
    cpdef Header header_at(self, Py_ssize_t offset, Py_ssize_t max_payload)
    cpdef bint repeats_last_four(self)
    cpdef int check_version(self, Py_ssize_t offset, frozenset versions) except -1
    cdef int check_whole(self, Py_ssize_t offset, Header header) except -1
    cpdef int check_sum(self, Py_ssize_t offset, Header header) except -1


cdef class Header:
    cdef readonly int version
    cdef int number              # of the type
    cdef readonly int bits       # of the flags
    cdef readonly Py_ssize_t length
    cdef readonly uint32_t checksum
    cdef uint64_t stamp          # 0 before V3
    cdef readonly Py_ssize_t size


cdef int compare_sum(Py_ssize_t offset, Header header, uint32_t checksum) except -1
cpdef FlatBuffer flatten(buffer)
cpdef FlatBuffer flatten_writable(buffer)
cpdef int as_byte(value, str what) except -1
cdef void write_header(
    uint8_t* p, int version, int type, int flags, uint32_t length, uint32_t checksum, uint64_t timestamp
) noexcept nogil
