"""C declarations of ``footprint.pyx``."""

from ._header cimport FlatBuffer


cpdef Py_ssize_t footprint(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop) except -1
