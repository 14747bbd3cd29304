"""What codec.py's classes and methods are in C, for the build that compiles it; codec.py itself is plain Python."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

# codec.py gets its names from _core/; those that stand here, too, are called in C. A class cannot have both, hence
# the other name of those that codec.py makes objects of.
from ._core._header cimport FlatBuffer, Header as CompiledHeader, flatten, flatten_writable, form_fault, as_byte
from ._core.clock cimport Clock as CompiledClock
from ._core.common_frame cimport decode_common
from ._core.fields cimport accepts_fields
from ._core.frame cimport PendingFrame, build_frame, pending_frame
from ._core.message cimport message_of
from ._core.pack cimport pack as pack_payload, pack_frame, pack_frame_into
from ._core.record cimport TemplateCoder as CompiledCoder, read_record_head
from ._core.unpack cimport unpack as unpack_payload, unpack_checked


cdef bytes _TYPE_SINCE
cdef bytes _SETTABLE
cdef list _TYPES
cdef bytes _HEADER_SIZES
cdef int _TRANSFORMED
cdef int _COMPRESSED
cdef int _ENCRYPTED
cdef int _FRAGMENT
cdef int _SIGNED
cdef int _TRANSFORMED_IN_V4
cdef int _RECORD
cdef int _ALGORITHM
cdef object _ZERO
cdef int _FILTER_AT
cdef int _TEMPLATE
cdef Py_ssize_t _LONGEST_TEMPLATE
cdef Py_ssize_t _RECORD_HEADER
cdef int _COMPRESSED_SINCE


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


cdef EncodedFrame _describe(
    bytes frame, int version, int type, int flags, uint64_t stamp, Py_ssize_t packed, int form, object stream_id,
    object sequence
)

cdef int _check_numbering(
    int type, int version, int flags, int form, object stream_id, object sequence
) except -1


cdef class Codec:
    cdef int _version
    cdef object _compression
    cdef Py_ssize_t _threshold
    cdef int _level
    cdef object _choice
    cdef Py_ssize_t _max_payload
    cdef bint _binary
    cdef bint _numeric
    cdef bint _validate
    cdef frozenset _versions
    cdef int _version_bits
    cdef bint _knows_all
    cdef bint _copy
    cdef object _convert
    cdef CompiledClock _clock

    @cython.locals(stamp=uint64_t, longest=Py_ssize_t, packed=Py_ssize_t)
    cdef object _frame(
        self, int type, object data, int version, int flags, object timestamp, bint describe, object stream_id,
        object sequence, int form
    )

    @cython.locals(packed=Py_ssize_t)
    cdef object _prepare(self, int type, object data, int version, int flags, int form)

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
    cdef object _frame_into(
        self, FlatBuffer target, Py_ssize_t offset, int type, object data, int version, int flags, object timestamp,
        object stream_id, object sequence, int form
    )

    @cython.locals(settable=int)
    cdef int _check_message(
        self, int type, object data, int version, int flags, int form, object stream_id, object sequence
    ) except -1

    cdef int _check_packed_template(self, int type, object data) except -1

    cdef Py_ssize_t _longest_undeflated(self, int version) except -1

    cdef int _version_or_own(self, object version) except -1

    cdef uint64_t _stamp(self, int version, object timestamp) except? 0

    cdef int _check_version(self, FlatBuffer flat, Py_ssize_t offset) except -1

    @cython.locals(plain=FlatBuffer, nbytes=Py_ssize_t)
    cdef object _message(
        self, FlatBuffer flat, Py_ssize_t offset, CompiledHeader header, Py_ssize_t room, object meter,
        object templates, object batch, object opener
    )

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
