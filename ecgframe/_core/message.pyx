"""What a frame said: its payload as Python objects, with what its header says of it.

One is made of every frame that comes in. So its fields are C numbers, which become Python objects for who asks.
"""

cimport cython
from libc.stdint cimport uint64_t

from ._header cimport FLAGS, TYPES, Header, as_byte

from datetime import timedelta
from operator import index

from ..protocol import EPOCH

__all__ = ["Message", "message_of"]


@cython.freelist(8)
cdef class Message:
    """One decoded frame.

    Attributes:
        type: what the frame carries.
        data: the payload as Python objects; None for an empty payload.
        version: protocol version of the frame: 1, 2 or 3.
        flags: the header's flags, undefined bits included.
        timestamp: the sender's clock, in microseconds since the Unix epoch; None before V3.
        nbytes: size of the payload, inflated.

    Raises:
        ValueError: a type that is none of the thirteen, or flags outside one byte.
    """

    def __init__(self, type, data, int version, flags, timestamp, Py_ssize_t nbytes=0):
        self.number = as_byte(type, "message type")
        if TYPES[self.number] is None:
            raise ValueError(f"message type 0x{self.number:02x} is none of the specification's thirteen")
        self.data = data
        self.version = version
        self.bits = as_byte(flags, "flags")
        self.stamped = timestamp is not None
        self.stamp = <uint64_t>index(timestamp) if self.stamped else 0
        self.nbytes = nbytes

    @property
    def type(self):
        return TYPES[self.number]

    @property
    def flags(self):
        return FLAGS[self.bits]

    @property
    def timestamp(self):
        return self.stamp if self.stamped else None

    @property
    def sent_at(self):
        """The timestamp as an aware UTC datetime; None before V3, and where it lies beyond the year 9999."""
        if not self.stamped:
            return None
        try:
            return EPOCH + timedelta(microseconds=self.stamp)
        except OverflowError:
            return None

    def __reduce__(self):
        return Message, (self.type, self.data, self.version, self.flags, self.timestamp, self.nbytes)

    def __repr__(self):
        return (
            f"Message(type={self.type!r}, data={self.data!r}, version={self.version}, "
            f"flags={self.flags!r}, timestamp={self.timestamp})"
        )


cpdef Message message_of(Header header, data, Py_ssize_t nbytes):
    """The message of a frame that had this header, and this payload of nbytes once inflated."""
    cdef Message message = Message.__new__(Message)
    message.version = header.version
    message.number = header.number
    message.bits = header.bits
    message.stamped = header.version == 3
    message.stamp = header.stamp
    message.data = data
    message.nbytes = nbytes
    return message
