"""C declarations of ``pack_arrays.pyx``."""

from .writer cimport Writer

cdef int pack_ndarray(Writer* w, array) except -1
