"""Payloads of records of version 4, for the codec: see the .pyx."""

from ._header cimport FlatBuffer
from .dtypes cimport SampleType


cdef class RecordDtype:
    cdef SampleType t
    cdef int size
    cdef bint is_signed
    cdef object dtype
    cdef object little_endian


cdef class RecordReader:
    cdef RecordDtype kind
    cdef object rows
    cdef dict map
    cdef list copied
    cdef readonly Py_ssize_t nbytes

    cpdef dict read(
        self, FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, tuple head, Py_ssize_t limit, bint copy
    )


cpdef tuple read_record_head(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop)
