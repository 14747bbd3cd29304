"""The C face of the packer."""

from ._header cimport Draft, FlatBuffer

cpdef bytes pack(obj, Py_ssize_t max_payload, bint binary)
cpdef Draft pack_into(
    FlatBuffer target, Py_ssize_t offset, Py_ssize_t room, obj, Py_ssize_t max_payload, bint binary
)
cpdef Draft pack_draft(Py_ssize_t room, obj, Py_ssize_t max_payload, bint binary)
