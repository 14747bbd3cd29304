"""The C face of packing ndarrays."""

from .writer cimport Writer

cdef int pack_ndarray(Writer* w, array) except -1
