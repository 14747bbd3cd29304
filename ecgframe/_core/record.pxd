"""Payloads of records of version 4, for the codec: see the .pyx."""

from libc.stdint cimport int64_t

from ._header cimport FlatBuffer
from .dtypes cimport SampleType


cdef class RecordDtype:
    cdef SampleType t
    cdef int size
    cdef bint is_signed
    cdef object dtype
    cdef object little_endian


cdef class TemplateCoder:
    cdef int number
    cdef RecordDtype kind
    cdef int64_t rows
    cdef bytes predictions
    cdef dict map
    cdef list copied
    cdef list entries
    cdef readonly Py_ssize_t nbytes

    cpdef dict read(
        self, FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, tuple head, Py_ssize_t limit, bint copy
    )
    cpdef bytes write_map(self, object data, bint delta, int64_t limit)
    cpdef bytes write(self, object signal, int64_t time, object sequence, bint delta, int64_t limit)


cpdef tuple read_record_head(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop)
