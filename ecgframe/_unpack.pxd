"""The C face of the unpacker."""

from ._header cimport FlatBuffer

cpdef object unpack(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, bint numeric)
