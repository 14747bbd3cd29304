"""C declarations of ``codec.py``."""

from .._core._header cimport FlatBuffer, as_byte, flatten, flatten_writable
from .._core.common_frame cimport decode_common
from .._core.fields cimport accepts_fields
from .._core.pack cimport pack as pack_payload
from .._core.unpack cimport unpack as unpack_payload
from .decoder cimport Decoder
from .encoded_frame cimport EncodedFrame
from .encoder cimport Encoder


cdef int _TRANSFORMED
cdef object _ZERO


cdef class Codec:
    cdef int _version
    cdef object _compression
    cdef Py_ssize_t _max_payload
    cdef bint _binary
    cdef bint _numeric
    cdef bint _validate
    cdef frozenset _versions
    cdef int _version_bits
    cdef bint _knows_all
    cdef bint _copy
    cdef object _convert
    cdef Encoder _encoder
    cdef Decoder _decoder

    cdef int _version_or_own(self, object version) except -1

    cdef int _check_version(self, FlatBuffer flat, Py_ssize_t offset) except -1
