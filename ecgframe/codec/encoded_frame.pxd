"""C declarations of ``encoded_frame.py``."""

cimport cython
from libc.stdint cimport uint64_t

from .._core._header cimport FlatBuffer, flatten
from .._core.frame cimport build_frame


cdef list _TYPES
cdef bytes _HEADER_SIZES
cdef int _TRANSFORMED
cdef int _ENCRYPTED
cdef int _SIGNED
cdef int _RECORD


@cython.freelist(8)
cdef class EncodedFrame:
    cdef readonly bytes frame
    cdef readonly int version
    cdef readonly object type
    cdef readonly int flags
    cdef readonly object timestamp
    cdef readonly Py_ssize_t nbytes
    cdef readonly object packed
    cdef readonly object form
    cdef readonly object stream_id
    cdef readonly object sequence


cpdef EncodedFrame describe_frame(
    bytes frame, int version, int type, int flags, uint64_t stamp, Py_ssize_t packed, int form, object stream_id,
    object sequence
)
