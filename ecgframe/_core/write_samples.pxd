"""Conversion of samples of an ndarray to MessagePack numbers, row by row, in C loops without Python objects."""

from libc.stdint cimport uint8_t

from .dtypes cimport SampleType

cdef Py_ssize_t row_size(SampleType t, bint swapped, const char* p, Py_ssize_t n, Py_ssize_t stride) noexcept nogil
cdef uint8_t* write_row(
    SampleType t, bint swapped, uint8_t* out, const uint8_t* end, const char* p, Py_ssize_t n, Py_ssize_t stride
) noexcept nogil
