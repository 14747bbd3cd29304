"""C declarations of ``encoder.py``."""

cimport cython
from libc.stdint cimport uint64_t

# Two classes that encoder.py imports from _core/ and makes objects of need another name here.
from .._core._header cimport FlatBuffer, flatten
from .._core.clock cimport Clock as CompiledClock
from .._core.frame cimport build_frame, pending_frame
from .._core.pack cimport pack as pack_payload, pack_frame, pack_frame_into
from .._core.unpack cimport unpack as unpack_payload
from .encoded_frame cimport describe_frame
from .header_values cimport check_numbering


cdef bytes _TYPE_SINCE
cdef bytes _SETTABLE
cdef int _COMPRESSED
cdef int _ENCRYPTED
cdef int _SET_BY_CODEC_IN_V4
cdef int _RECORD
cdef object _ZERO
cdef int _FILTER_AT
cdef int _TEMPLATE
cdef Py_ssize_t _RECORD_HEADER
cdef int _COMPRESSED_SINCE


cdef class Encoder:
    cdef Py_ssize_t _threshold
    cdef int _level
    cdef object _choice
    cdef Py_ssize_t _max_payload
    cdef bint _binary
    cdef bint _validate
    cdef object _convert
    cdef CompiledClock _clock

    @cython.locals(stamp=uint64_t, longest=Py_ssize_t, packed=Py_ssize_t)
    cdef object frame(
        self, int type, object data, int version, int flags, object timestamp, bint describe, object stream_id,
        object sequence, int form
    )

    @cython.locals(packed=Py_ssize_t)
    cdef object prepare(self, int type, object data, int version, int flags, int form)

    @cython.locals(record=FlatBuffer)
    cdef object _record_frame(
        self, int type, object data, int version, int flags, uint64_t stamp, bint describe, object stream_id,
        object sequence, int form
    )

    @cython.locals(record=FlatBuffer)
    cdef object _prepare_record(self, int type, object data, int version, int flags, int form)

    @cython.locals(flat=FlatBuffer)
    cdef FlatBuffer _checked_record(self, object data)

    cdef object _shrink_record(self, int version, int type, FlatBuffer flat)

    cdef object _shrink(self, int version, int type, bint is_record, object payload)

    @cython.locals(stamp=uint64_t, longest=Py_ssize_t)
    cdef object frame_into(
        self, FlatBuffer target, Py_ssize_t offset, int type, object data, int version, int flags, object timestamp,
        object stream_id, object sequence, int form
    )

    @cython.locals(settable=int)
    cdef int _check_message(
        self, int type, object data, int version, int flags, int form, object stream_id, object sequence
    ) except -1

    cdef int _check_packed_template(self, int type, object data) except -1

    cdef Py_ssize_t _longest_undeflated(self, int version) except -1

    cdef uint64_t _stamp(self, int version, object timestamp) except? 0
