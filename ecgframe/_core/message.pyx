"""A decoded message: the payload as Python objects, and the fields of the header.

One is created for every received frame. Its fields are therefore C numbers, converted to Python objects on access.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from ._header cimport FLAGS, FORMS, TYPES, Header, as_byte

from datetime import timedelta
from operator import index
from types import GenericAlias

from .constructors import message as constructor
from .._signatures import DeclaredSignature
from ..protocol import EPOCH

__all__ = ["Message", "message_of"]


@cython.freelist(8)
cdef class Message:
    """One decoded frame.

    ``Message[EcgData]`` is, for type checkers, a message whose ``data`` has the fields of ``EcgData``; ``Message``
    alone is ``Message[Any]``. See ``ecgframe.messages.has_type``.

    Attributes:
        type: the ``MessageType``.
        data: the payload as Python objects; None for an empty payload.
        version: protocol version of the frame: 1, 2, 3 or 4.
        flags: the flags of the header, including undefined bits.
        timestamp: the sender's clock, in microseconds since the Unix epoch; None before V3.
        nbytes: size of the payload after decompression, in bytes.
        stream_id: number of the stream on the connection, 0 for none; None before V4.
        sequence: number of the message in its stream, 0 for none; None before V4. The ``sequence`` in the data of a
            message is a different number, which the publisher counts.
        form: ``Form`` bits, the encoding of the payload; None before V4.
        stale: whether a message of a sealed stream is older than its viewer allows; see ``Client.subscribe``.
        signature: "valid" or "unknown signer" of a signed message, if the client knows signers; otherwise None.

    Raises:
        ValueError: the type does not exist; flags or form are not one byte; or a stream, sequence or form before V4.
    """

    __signature__ = DeclaredSignature(constructor)
    __class_getitem__ = classmethod(GenericAlias)    # Message[EcgData] in annotations that are evaluated

    def __init__(
        self, type, data, int version, flags, timestamp, Py_ssize_t nbytes=0, stream_id=None, sequence=None, form=None,
        bint stale=False, signature=None
    ):
        self.type_number = as_byte(type, "message type")
        if TYPES[self.type_number] is None:
            raise ValueError(f"message type 0x{self.type_number:02x} is none of the specification's")
        self.data = data
        self.version = version
        self.bits = as_byte(flags, "flags")
        self.stamped = timestamp is not None
        self.stamp = <uint64_t>index(timestamp) if self.stamped else 0
        self.nbytes = nbytes
        self.stale = stale
        self.signature = signature
        if version < 4:
            if stream_id is not None or sequence is not None or form is not None:
                raise ValueError(f"a V{version} message has neither stream_id nor sequence nor form; V4 has")
            return
        self.stream_number = 0 if stream_id is None else <uint32_t>index(stream_id)
        self.sequence_number = 0 if sequence is None else <uint64_t>index(sequence)
        self.form_bits = 0 if form is None else as_byte(form, "form")

    @property
    def type(self):
        return TYPES[self.type_number]

    @property
    def flags(self):
        return FLAGS[self.bits]

    @property
    def timestamp(self):
        return self.stamp if self.stamped else None

    @property
    def stream_id(self):
        return self.stream_number if self.version >= 4 else None

    @property
    def sequence(self):
        return self.sequence_number if self.version >= 4 else None

    @property
    def form(self):
        return FORMS[self.form_bits] if self.version >= 4 else None

    @property
    def sent_at(self):
        """The timestamp as an aware UTC datetime; None before V3, and after the year 9999."""
        if not self.stamped:
            return None
        try:
            return EPOCH + timedelta(microseconds=self.stamp)
        except OverflowError:
            return None

    def __reduce__(self):
        return Message, (
            self.type, self.data, self.version, self.flags, self.timestamp, self.nbytes, self.stream_id, self.sequence,
            self.form, self.stale, self.signature,
        )

    def __repr__(self):
        numbering = ""
        if self.version >= 4:
            numbering = f", stream_id={self.stream_number}, sequence={self.sequence_number}, form={self.form!r}"
        return (
            f"Message(type={self.type!r}, data={self.data!r}, version={self.version}, "
            f"flags={self.flags!r}, timestamp={self.timestamp}{numbering})"
        )


cpdef Message message_of(Header header, data, Py_ssize_t nbytes):
    """Return the message of a frame. ``nbytes`` is the size of the payload after decompression."""
    cdef Message message = Message.__new__(Message)
    message.version = header.version
    message.type_number = header.type_number
    message.bits = header.bits
    message.stamped = header.version >= 3
    message.stamp = header.stamp
    message.form_bits = header.form_bits
    message.stream_number = header.stream_number
    message.sequence_number = header.sequence_number
    message.data = data
    message.nbytes = nbytes
    return message
