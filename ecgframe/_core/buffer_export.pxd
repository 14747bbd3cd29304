"""Export of bytes of the core by the buffer protocol: read-only, and kept alive by their owner."""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.ref cimport Py_DECREF


cdef inline int export_buffer(
    Py_buffer* view, object lender, const void* start, Py_ssize_t nbytes, int flags
) except -1:
    """Fill the view of a __getbuffer__. Cython has put a reference to None into it, and releases it after an error."""
    PyBuffer_FillInfo(view, lender, <void*>start, nbytes, True, flags)
    Py_DECREF(None)
    return 0
