"""C declarations of ``pack.pyx``."""

from libc.stdint cimport uint32_t, uint64_t

from ._header cimport FlatBuffer

cpdef bytes pack(obj, Py_ssize_t max_payload, bint binary, convert=*)
cpdef object pack_frame(
    int version, int type, int flags, uint64_t timestamp, obj, Py_ssize_t max_payload, bint binary, Py_ssize_t longest,
    int form=*, uint32_t stream_id=*, uint64_t sequence=*, convert=*,
)
cpdef object pack_frame_into(
    FlatBuffer target, Py_ssize_t offset, int version, int type, int flags, uint64_t timestamp, obj,
    Py_ssize_t max_payload, bint binary, Py_ssize_t longest, int form=*, uint32_t stream_id=*, uint64_t sequence=*,
    convert=*,
)
