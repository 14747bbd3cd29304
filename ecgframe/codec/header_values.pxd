"""C declarations of ``header_values.py``."""

from .._core._header cimport form_fault


cpdef int check_numbering(
    int type, int version, int flags, int form, object stream_id, object sequence
) except -1
