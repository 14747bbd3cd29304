"""C declarations of ``unpack.pyx``."""

from ._header cimport FlatBuffer, Header

cpdef object unpack(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, bint numeric, bint copy)
cpdef object unpack_checked(FlatBuffer flat, Py_ssize_t offset, Header header, bint numeric, bint copy)
