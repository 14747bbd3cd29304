"""How the core lends its bytes to who asks for a buffer: read-only, and held by the object that they belong to."""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.ref cimport Py_DECREF


cdef inline int export_buffer(
    Py_buffer* view, object lender, const void* start, Py_ssize_t nbytes, int flags
) except -1:
    """Fill the view of a __getbuffer__. Cython has put a reference to None into it; after an error it takes it back."""
    PyBuffer_FillInfo(view, lender, <void*>start, nbytes, True, flags)
    Py_DECREF(None)
    return 0
