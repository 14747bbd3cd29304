"""Adds the header and the checksum to a packed payload: in the space reserved before it, or in a copy."""

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
@cython.no_gc                              # its owner is bytes, or exports the caller's buffer for one call
@cython.auto_pickle(False)
cdef class PendingFrame:
    """A frame whose payload is packed and whose header is not written yet.

    Its bytes are a new ``bytes`` object, which nothing else refers to before ``finish`` returns it, or a part of a
    buffer of the caller. A frame can be finished once.
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
        """The packed payload, as a read-only view without a copy."""
        return PyMemoryView_FromObject(self)

    cpdef int replace(self, deflated) except -1:
        """Replace the packed payload in the caller's buffer by a shorter one."""
        cdef FlatBuffer flat = flatten(deflated)
        if type(self.owner) is bytes:
            raise ValueError("a frame in its own bytes object cannot be shortened; use build_frame")
        if flat.nbytes > self.nbytes:
            raise ValueError(f"{flat.nbytes} bytes do not fit in the place of {self.nbytes}")
        self.nbytes = flat.nbytes
        self.sum = Sum(0, 0)
        copy_and_sum(self.start + self.room, flat.start, flat.nbytes, &self.sum, self.start + self.room)
        return 0

    cpdef int sum_now(self) except -1:
        """Compute the checksum, so that ``finish`` only has to write the header."""
        self.sum.checksum = complete(&self.sum, self.start + self.room, self.nbytes)
        self.sum.nbytes = self.nbytes
        return 0

    cpdef object finish(
        self, int version, int type, int flags, uint64_t timestamp, int form=0, uint32_t stream_id=0,
        uint64_t sequence=0
    ):
        """Compute the checksum, write the header, and return the owner of the frame's bytes."""
        owner = self.owner
        if owner is None:
            raise ValueError("this frame has been finished before")
        if header_size(version) != self.room:
            raise ValueError(f"the frame leaves {self.room} bytes for a header; V{version} has {header_size(version)}")
        finish_frame(self.start, self.nbytes, &self.sum, version, type, flags, timestamp, form, stream_id, sequence)
        self.owner = None
        return owner


cdef int finish_frame(
    uint8_t* frame, Py_ssize_t nbytes, Sum* sum, int version, int type, int flags, uint64_t timestamp,
    int form, uint32_t stream_id, uint64_t sequence,
) except -1:
    """Complete the checksum of the payload, which begins after the space for the header, and write the header."""
    cdef uint32_t checksum = complete(sum, frame + header_size(version), nbytes)
    write_header(frame, version, type, flags, <uint32_t>nbytes, checksum, timestamp, form, stream_id, sequence)
    return 0


cpdef PendingFrame pending_frame(int version, payload):
    """Return a pending frame with a copy of a payload that is already packed and, if at all, compressed."""
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


cpdef bytes build_frame(
    int version, int type, int flags, uint64_t timestamp, payload, int form=0, uint32_t stream_id=0,
    uint64_t sequence=0
):
    """Return a frame with a payload that is already packed and, if at all, compressed: one allocation, one copy.

    Args:
        timestamp: microseconds since the Unix epoch; ignored before V3.
        payload: any C-contiguous buffer, such as an ndarray.
        form: ``Form`` bits, the encoding of the payload; this and the next two are ignored before V4.
        stream_id: number of the stream, 0 for none.
        sequence: number of the message in the stream, 0 for none.
    """
    cdef FlatBuffer flat = flatten_payload(payload)
    cdef Py_ssize_t room = header_size(version)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, room + flat.nbytes)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(frame)
    cdef Sum sum = Sum(0, 0)
    copy_and_sum(out + room, flat.start, flat.nbytes, &sum, out + room)
    finish_frame(out, flat.nbytes, &sum, version, type, flags, timestamp, form, stream_id, sequence)
    return frame
