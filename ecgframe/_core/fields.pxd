"""C declarations of ``fields.pyx``."""

from .message cimport Message

cpdef bint accepts_fields(list tables, Message message) except -1
