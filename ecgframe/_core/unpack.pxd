"""The C face of the unpacker."""

from ._header cimport FlatBuffer, Header

cpdef object unpack(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, bint numeric)
cpdef object unpack_checked(FlatBuffer flat, Py_ssize_t offset, Header header, bint numeric)
