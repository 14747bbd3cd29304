"""C declarations of ``value_count.pyx``."""

from ._header cimport FlatBuffer


cpdef tuple count_numbers(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t most_others)
