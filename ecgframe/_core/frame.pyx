"""Frames to go out: a packed payload gets its sum and its header, in the room left for it or with a copy."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ._header cimport FlatBuffer, flatten, header_size, write_header
from .buffer_export cimport export_buffer
from .checksum cimport Sum, complete, copy_and_sum

from ..errors import MessageTooLarge
from ..protocol import LARGEST_LENGTH

__all__ = ["PendingFrame", "build_frame", "pending_frame"]

cdef object LENGTH_LIMIT = LARGEST_LENGTH


@cython.final
@cython.freelist(8)
@cython.no_gc                              # its owner is bytes, or what a caller's buffer is held by for one call
@cython.auto_pickle(False)
cdef class PendingFrame:
    """A frame whose payload is packed and whose header is still blank.

    Its bytes are a new ``bytes`` object, which belongs to this frame alone until ``seal`` gives it away, once;
    or they lie within a buffer of the caller's.
    """

    @staticmethod
    cdef PendingFrame around(object owner, uint8_t* start, Py_ssize_t room, Py_ssize_t nbytes, Sum sum):
        cdef PendingFrame pending = PendingFrame.__new__(PendingFrame)
        pending.owner = owner
        pending.start = start
        pending.room = room
        pending.nbytes = nbytes
        pending.sum = sum
        return pending

    def __getbuffer__(self, Py_buffer* view, int flags):
        export_buffer(view, self, self.start + self.room, self.nbytes, flags)

    @property
    def payload(self):
        """The payload as packed so far, as a read-only view of its own bytes."""
        return PyMemoryView_FromObject(self)

    cpdef int replace(self, deflated) except -1:
        """Put a shorter payload in the place of the packed one, within the caller's buffer."""
        cdef FlatBuffer flat = flatten(deflated)
        if type(self.owner) is bytes:
            raise ValueError("a frame of its own bytes ends where they end; build_frame makes a shorter one")
        if flat.nbytes > self.nbytes:
            raise ValueError(f"{flat.nbytes} bytes do not fit in the place of {self.nbytes}")
        self.nbytes = flat.nbytes
        self.sum = Sum(0, 0)
        copy_and_sum(self.start + self.room, flat.start, flat.nbytes, &self.sum, self.start + self.room)
        return 0

    cpdef int sum_now(self) except -1:
        """Sum the payload, so that ``seal`` has nothing left to do but the header."""
        self.sum.checksum = complete(&self.sum, self.start + self.room, self.nbytes)
        self.sum.nbytes = self.nbytes
        return 0

    cpdef object seal(self, int version, int type, int flags, uint64_t timestamp):
        """Sum the payload, write the header in front of it, and give away what the frame lies in."""
        owner = self.owner
        if owner is None:
            raise ValueError("this frame has been sealed before")
        if header_size(version) != self.room:
            raise ValueError(f"the frame leaves {self.room} bytes for a header; V{version} has {header_size(version)}")
        seal(self.start, self.nbytes, &self.sum, version, type, flags, timestamp)
        self.owner = None
        return owner


cdef int seal(
    uint8_t* frame, Py_ssize_t nbytes, Sum* sum, int version, int type, int flags, uint64_t timestamp
) except -1:
    """Sum what is left of the nbytes of payload behind the room for a header, and write the header in front of it."""
    cdef uint32_t checksum = complete(sum, frame + header_size(version), nbytes)
    write_header(frame, version, type, flags, <uint32_t>nbytes, checksum, timestamp)
    return 0


cpdef PendingFrame pending_frame(int version, payload):
    """A pending frame around a payload that is already as it shall travel, with a copy of it."""
    cdef FlatBuffer flat = flatten_payload(payload)
    cdef Py_ssize_t room = header_size(version)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, room + flat.nbytes)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(frame)
    cdef Sum sum = Sum(0, 0)
    copy_and_sum(out + room, flat.start, flat.nbytes, &sum, out + room)
    return PendingFrame.around(frame, out, room, flat.nbytes, sum)


cdef FlatBuffer flatten_payload(payload):
    cdef FlatBuffer flat = flatten(payload)
    if flat.nbytes > LENGTH_LIMIT:
        raise MessageTooLarge(f"a payload of {flat.nbytes} bytes; the header's length field ends at {LENGTH_LIMIT}")
    return flat


cpdef bytes build_frame(int version, int type, int flags, uint64_t timestamp, payload):
    """One frame around a payload that is already as it shall travel, in one allocation and one copy.

    Args:
        timestamp: microseconds since the Unix epoch; ignored before V3.
        payload: any C-contiguous buffer; an ndarray's bytes are taken from where they lie.
    """
    cdef FlatBuffer flat = flatten_payload(payload)
    cdef Py_ssize_t room = header_size(version)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, room + flat.nbytes)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(frame)
    cdef Sum sum = Sum(0, 0)
    copy_and_sum(out + room, flat.start, flat.nbytes, &sum, out + room)
    seal(out, flat.nbytes, &sum, version, type, flags, timestamp)
    return frame
