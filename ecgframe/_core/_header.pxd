"""C declarations of ``_header.pyx``."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from .limits cimport SIZE_V1, SIZE_V3, SIZE_V4

# Enum members are looked up in tables of 256 entries, one for each byte of the header that has names.
cdef list TYPES
cdef list FLAGS
cdef list FORMS

cdef inline Py_ssize_t header_size(int version) noexcept nogil:
    return SIZE_V3 if version == 3 else SIZE_V4 if version == 4 else SIZE_V1


cdef class FlatBuffer:
    cdef Py_buffer source
    cdef const uint8_t* start
    cdef readonly Py_ssize_t nbytes

    cpdef Header only_frame(self, Py_ssize_t max_payload)
    cpdef Header whole_frame_at(self, Py_ssize_t offset, Py_ssize_t max_payload)
    cpdef Header frame_at(self, Py_ssize_t offset, Py_ssize_t max_payload)
    cpdef object view(self, Py_ssize_t start, Py_ssize_t stop)
    cpdef int write(self, Py_ssize_t start, bytes octets) except -1
    cpdef Header header_at(self, Py_ssize_t offset, Py_ssize_t max_payload)
    cpdef int check_version(self, Py_ssize_t offset, int versions) except -1
    cdef int check_whole(self, Py_ssize_t offset, Header header) except -1
    cpdef int check_sum(self, Py_ssize_t offset, Header header) except -1


cdef class Header:
    cdef readonly int version
    cdef int type_number
    cdef readonly int bits       # of the flags
    cdef readonly Py_ssize_t length
    cdef readonly uint32_t checksum
    cdef uint64_t stamp          # 0 before V3
    cdef readonly int form_bits  # this and the next two are 0 before V4
    cdef uint32_t stream_number
    cdef uint64_t sequence_number
    cdef readonly Py_ssize_t size


cdef int compare_sum(Py_ssize_t offset, Header header, uint32_t checksum) except -1
cpdef FlatBuffer flatten(buffer)
cpdef FlatBuffer flatten_writable(buffer)
cpdef int as_byte(value, str what) except -1
cdef void write_header(
    uint8_t* p, int version, int type, int flags, uint32_t length, uint32_t checksum, uint64_t timestamp,
    int form, uint32_t stream_id, uint64_t sequence,
) noexcept nogil
cpdef int form_fault(int type, int flags, int form, uint32_t stream_id, uint64_t sequence) except -1
