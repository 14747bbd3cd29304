"""The C face of the packer."""

from libc.stdint cimport uint64_t

from ._draft cimport Draft
from ._header cimport FlatBuffer

cpdef bytes pack(obj, Py_ssize_t max_payload, bint binary)
cpdef Draft pack_into(
    FlatBuffer target, Py_ssize_t offset, Py_ssize_t room, obj, Py_ssize_t max_payload, bint binary
)
cpdef object pack_frame(
    int version, int type, int flags, uint64_t timestamp, obj, Py_ssize_t max_payload, bint binary, Py_ssize_t longest
)
