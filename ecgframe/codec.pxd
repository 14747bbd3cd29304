"""What codec.py's classes and methods are in C, for the build that compiles it; codec.py itself is plain Python."""

cimport cython
from libc.stdint cimport uint64_t

# codec.py gets its names from _core/; those that stand here, too, are called in C. A class cannot have both, hence
# the other name of the one that codec.py makes objects of.
from ._core._header cimport FlatBuffer, Header, flatten, flatten_writable, as_byte
from ._core.clock cimport Clock as CompiledClock
from ._core.frame cimport PendingFrame, build_frame, pending_frame
from ._core.message cimport message_of
from ._core.pack cimport pack as pack_payload, pack_frame, pack_frame_into
from ._core.unpack cimport unpack as unpack_payload, unpack_checked


cdef bytes _IS_TYPE
cdef bytes _SETTABLE
cdef int _TRANSFORMED
cdef int _COMPRESSED
cdef int _ENCRYPTED
cdef int _COMPRESSED_SINCE


cdef class Codec:
    cdef int _version
    cdef object _compression
    cdef Py_ssize_t _threshold
    cdef int _level
    cdef Py_ssize_t _max_payload
    cdef bint _binary
    cdef bint _numeric
    cdef bint _validate
    cdef frozenset _versions
    cdef bint _knows_all
    cdef CompiledClock _clock

    @cython.locals(stamp=uint64_t, longest=Py_ssize_t)
    cdef object _frame(self, int type, object data, int version, int flags, object timestamp)

    @cython.locals(packed=Py_ssize_t)
    cdef object _prepared(self, int type, object data, int version, int flags)

    @cython.locals(stamp=uint64_t, longest=Py_ssize_t)
    cdef object _frame_into(
        self, FlatBuffer target, Py_ssize_t offset, int type, object data, int version, int flags, object timestamp
    )

    @cython.locals(settable=int)
    cdef int _check_message(self, int type, object data, int version, int flags) except -1

    cdef Py_ssize_t _longest_undeflated(self, int version) except -1

    cdef int _or_own(self, object version) except -1

    cdef uint64_t _stamp(self, int version, object timestamp) except? 0

    cdef int _check_version(self, FlatBuffer flat, Py_ssize_t offset) except -1

    @cython.locals(plain=FlatBuffer, nbytes=Py_ssize_t)
    cdef object _message(self, FlatBuffer flat, Py_ssize_t offset, Header header, Py_ssize_t room)

    @cython.locals(start=Py_ssize_t)
    cdef object _restored(self, FlatBuffer flat, Py_ssize_t offset, Header header, Py_ssize_t room)
