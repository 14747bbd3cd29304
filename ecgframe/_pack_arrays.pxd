"""The C face of packing ndarrays."""

from ._writer cimport Writer

cdef int pack_ndarray(Writer* w, array) except -1
