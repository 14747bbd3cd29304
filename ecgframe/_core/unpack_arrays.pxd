"""C declarations of ``unpack_arrays.pyx``."""

from libc.stdint cimport uint8_t

from .reader cimport Reader

cdef char marker_at(const uint8_t* p, const uint8_t* end) noexcept
cdef object read_wrapper(Reader* r, const uint8_t* start, Py_ssize_t n)
cdef int refuse_invalid_wrapper(Reader* r, const uint8_t* start, dict items) except -1
cdef object read_number_list(Reader* r, const uint8_t* start, Py_ssize_t n)
