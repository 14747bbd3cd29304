"""C declarations of ``decoder.py``."""

cimport cython

from .._core._header cimport FlatBuffer, Header as CompiledHeader, flatten
from .._core.message cimport message_of
from .._core.record cimport TemplateCoder as CompiledCoder, read_record_head
from .._core.unpack cimport unpack as unpack_payload, unpack_checked


cdef int _COMPRESSED
cdef int _ENCRYPTED
cdef int _FRAGMENT
cdef int _SIGNED
cdef int _TRANSFORMED
cdef int _TRANSFORMED_IN_V4
cdef int _RECORD
cdef int _ALGORITHM
cdef int _TEMPLATE
cdef Py_ssize_t _LONGEST_TEMPLATE


cdef class Decoder:
    cdef Py_ssize_t _max_payload
    cdef bint _numeric
    cdef bint _validate
    cdef bint _copy

    @cython.locals(plain=FlatBuffer, nbytes=Py_ssize_t)
    cdef object message(
        self, FlatBuffer flat, Py_ssize_t offset, CompiledHeader header, Py_ssize_t room, object meter,
        object templates, object batch, object opener
    )

    cdef object payload_of(self, object frame, object templates)

    @cython.locals(plain=FlatBuffer, start=Py_ssize_t, stop=Py_ssize_t)
    cdef object _message_in_v4(
        self, FlatBuffer flat, Py_ssize_t offset, CompiledHeader header, Py_ssize_t room, object meter,
        object templates, object batch, object opener
    )

    @cython.locals(head=tuple, count=object, coder=CompiledCoder)
    cdef object _read_record(
        self, object stream_id, FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t room, object templates,
        object meter, object batch
    )

    cdef object _untransformed(
        self, int version, int bits, int form, object payload, Py_ssize_t room, object header, object opener
    )

    @cython.locals(start=Py_ssize_t)
    cdef object _restore(
        self, FlatBuffer flat, Py_ssize_t offset, CompiledHeader header, Py_ssize_t room, object opener
    )
