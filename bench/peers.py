"""The candidates: ecgframe, and other libraries for the same messages.

A peer encodes a message to bytes and decodes it again. ecgframe makes a whole V3 frame, header, CRC-32 and dtype
included; the others make the bare payload, which is all they do. All are called as their documentation says is fast,
and as a server would: from module level, with nothing kept between calls but encoders that are made to be kept.
"""

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from ecgframe import Codec, Compression, MessageType, pack, unpack


def _optional(name):
    try:
        return import_module(name)
    except ImportError:
        return None


descriptor_pb2 = _optional("google.protobuf.descriptor_pb2")
descriptor_pool = _optional("google.protobuf.descriptor_pool")
message_factory = _optional("google.protobuf.message_factory")
msgpack = _optional("msgpack")
msgspec = _optional("msgspec")
orjson = _optional("orjson")
ormsgpack = _optional("ormsgpack")
pyarrow = _optional("pyarrow")


@dataclass(frozen=True)
class Peer:
    """A way to encode and decode a message.

    Attributes:
        name: as printed.
        encode: message to bytes.
        decode: bytes to message.
        returns: what becomes of a signal: "lists" or "arrays".
        installed: whether it can run here; the suites skip it otherwise.
        message: of what ``decode`` returns, if that is more.
        into: a call that encodes a message into a bytearray, again and again; None where the peer has no such thing.
    """

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    returns: str
    installed: bool = True
    message: Callable[[Any], Any] = lambda decoded: decoded
    into: Callable[[Any, bytearray], Callable[[], object]] | None = None

    def then_array(self, dtype: str) -> "Peer":
        """Return this candidate with the decoded signal converted by ``np.array``."""
        if self.returns == "arrays":
            return self

        def decode(encoded: bytes) -> Any:
            message = self.decode(encoded)
            message["signal"] = np.array(message["signal"], dtype)
            return message

        return replace(self, name=f"{self.name} + np.array", decode=decode, returns="arrays")

    def deflated(self) -> "Peer":
        """Return this candidate with zlib at level 6."""
        return replace(
            self,
            name=f"{self.name} + zlib",
            encode=lambda message: zlib.compress(self.encode(message), 6),
            decode=lambda encoded: self.decode(zlib.decompress(encoded)),
            into=None,
        )


def ecgframe_peer(name: str = "ecgframe", kind: MessageType = MessageType.ECG_DATA, **options: Any) -> Peer:
    """Frames by a codec of these options; lists stay lists and arrays arrive as arrays."""
    codec = Codec(**{"compression": None} | options)
    return Peer(
        name=name,
        encode=partial(codec.encode, kind),
        decode=lambda frame: codec.decode(frame).data,
        returns="arrays",
        into=lambda message, buffer: partial(codec.encode_into, buffer, 0, kind, message),
    )


def heartbeat_peer() -> Peer:
    """Frames that carry next to nothing: what is decoded stays as it is, since asking for its payload would show."""
    codec = Codec(compression=None)
    peer = ecgframe_peer(kind=MessageType.HEARTBEAT)
    return replace(peer, decode=codec.decode, message=lambda decoded: decoded.data)


def _to_list(value: np.ndarray) -> list:
    return value.tolist()


ECGFRAME = ecgframe_peer()
HEARTBEAT = heartbeat_peer()
ECGFRAME_COMPRESSED = ecgframe_peer("ecgframe, compressed", compression=Compression())
ZLIB = Peer(
    name="(zlib alone, of ecgframe's payload)",
    encode=lambda message: zlib.compress(pack(message), 6),
    decode=zlib.decompress,
    returns="arrays",
    message=unpack,
)
ECGFRAME_BINARY = ecgframe_peer("ecgframe, binary form", ndarray="binary")
ECGFRAME_FROM_LISTS = ecgframe_peer("ecgframe, from plain lists", numeric_lists="ndarray")

_msgspec_encoder = msgspec and msgspec.msgpack.Encoder(enc_hook=_to_list)

OTHERS = [
    Peer(
        name="json",
        encode=lambda message: json.dumps(message, default=_to_list).encode(),
        decode=json.loads,
        returns="lists",
    ),
    Peer(
        name="orjson",
        encode=lambda message: orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY),
        decode=orjson and orjson.loads,
        returns="lists",
        installed=orjson is not None,
    ),
    Peer(
        name="msgpack",
        encode=lambda message: msgpack.packb(message, default=_to_list),
        decode=msgpack and msgpack.unpackb,
        returns="lists",
        installed=msgpack is not None,
    ),
    Peer(
        name="msgspec",
        encode=msgspec and _msgspec_encoder.encode,
        decode=msgspec and msgspec.msgpack.Decoder().decode,
        returns="lists",
        installed=msgspec is not None,
        into=lambda message, buffer: partial(_msgspec_encoder.encode_into, message, buffer),
    ),
    Peer(
        name="ormsgpack",
        encode=lambda message: ormsgpack.packb(message, option=ormsgpack.OPT_SERIALIZE_NUMPY),
        decode=ormsgpack and ormsgpack.unpackb,
        returns="lists",
        installed=ormsgpack is not None,
    ),
]
"""Serializers that decode arrays to lists."""


def _by_hand(name: str, pack: Callable[[Any], bytes], unpack: Callable[[bytes], Any], *, installed: bool) -> Peer:
    """Encode an array as a map of raw bytes, dtype and shape, as one would do by hand."""

    def encode(message):
        array = message["signal"]
        return pack({**message, "signal": array.tobytes(), "dtype": array.dtype.str, "shape": array.shape})

    def decode(encoded):
        message = unpack(encoded)
        array = np.frombuffer(message["signal"], message.pop("dtype")).reshape(message.pop("shape"))
        message["signal"] = array
        return message

    return Peer(f"{name} + tobytes", encode, decode, "arrays", installed)


RAW_BYTES = [_by_hand(peer.name, peer.encode, peer.decode, installed=peer.installed) for peer in OTHERS[2:]]
"""The MessagePack libraries with samples as raw bytes."""


SAMPLES_FIELDS = {"float64": "float64_samples", "float32": "float32_samples", "int16": "counts"}
"""The Protocol Buffers field of the signal, by dtype."""


def _protobuf_message_class():
    """Return the class that protoc would generate from this schema (proto2, with packed repeated numbers):

    message EcgData {
        repeated double float64_samples = 1;  repeated float float32_samples = 2;  repeated sint32 counts = 3;
        repeated uint32 shape = 4;            optional double sampling_rate = 5;   optional double timestamp = 6;
        optional string stream = 7;           repeated string leads = 8;           optional string units = 9;
        optional double gain = 10;            optional sint32 baseline = 11;
    }
    """
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="ecg.proto", package="bench", syntax="proto2")
    schema = file.message_type.add(name="EcgData")
    fields = {
        "float64_samples": (kinds.TYPE_DOUBLE, True),
        "float32_samples": (kinds.TYPE_FLOAT, True),
        "counts": (kinds.TYPE_SINT32, True),
        "shape": (kinds.TYPE_UINT32, True),
        "sampling_rate": (kinds.TYPE_DOUBLE, False),
        "timestamp": (kinds.TYPE_DOUBLE, False),
        "stream": (kinds.TYPE_STRING, False),
        "leads": (kinds.TYPE_STRING, True),
        "units": (kinds.TYPE_STRING, False),
        "gain": (kinds.TYPE_DOUBLE, False),
        "baseline": (kinds.TYPE_SINT32, False),
    }
    for number, (name, (kind, repeated)) in enumerate(fields.items(), start=1):
        label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
        field = schema.field.add(name=name, number=number, type=kind, label=label)
        if repeated and kind != kinds.TYPE_STRING:
            field.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.EcgData"))


def _protobuf() -> Peer:
    if message_factory is None:
        return Peer("protobuf", _to_list, _to_list, "arrays", installed=False)
    ecg_data = _protobuf_message_class()
    dtypes = {field: dtype for dtype, field in SAMPLES_FIELDS.items()}

    def encode(message):
        fields = dict(message)
        signal = fields.pop("signal", None)
        if signal is not None:
            # Of a list it fills a field faster than of an array.
            fields[SAMPLES_FIELDS[signal.dtype.name]] = signal.ravel().tolist()
            fields["shape"] = signal.shape
        return ecg_data(**fields).SerializeToString()

    def decode(encoded):
        message = {field.name: value for field, value in ecg_data.FromString(encoded).ListFields()}
        for field in dtypes.keys() & message.keys():
            message["signal"] = np.array(message.pop(field), dtypes[field]).reshape(message.pop("shape"))
        if "leads" in message:
            message["leads"] = list(message["leads"])
        return message

    return Peer("protobuf", encode, decode, "arrays")


def _arrow() -> Peer:
    """Encode a record batch with a row for each lead; the other fields are in the metadata of the schema."""
    if pyarrow is None:
        return Peer("arrow", _to_list, _to_list, "arrays", installed=False)

    def encode(message):
        signal = message["signal"]
        rest = {name: value for name, value in message.items() if name != "signal"}
        column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(signal.ravel()), signal.shape[1])
        schema = pyarrow.schema({"signal": column.type}, metadata={"message": json.dumps(rest)})
        stream = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(stream, schema) as writer:
            writer.write_batch(pyarrow.record_batch([column], schema=schema))
        return stream.getvalue()

    def decode(encoded):
        stream = pyarrow.ipc.open_stream(encoded)
        column = stream.read_next_batch().column(0)
        signal = column.values.to_numpy().reshape(len(column), -1)
        return {"signal": signal, **json.loads(stream.schema.metadata[b"message"])}

    return Peer("arrow", encode, decode, "arrays")


PROTOBUF = _protobuf()
ARROW = _arrow()
SCHEMAS = [PROTOBUF, ARROW]
"""Formats with a schema of the message, which decode to arrays."""


def writers(candidates: list[Peer], message: Any) -> dict[str, Callable[[], object]]:
    """Calls that encode the message, of each candidate as it makes bytes and as it fills a buffer of its own."""
    calls: dict[str, Callable[[], object]] = {}
    for peer in candidates:
        calls[peer.name] = partial(peer.encode, message)
        if peer.into is not None:
            buffer = bytearray(2 * len(peer.encode(message)))  # with room left over, as a sender would have
            calls[f"{peer.name}: encode_into"] = peer.into(message, buffer)
    return calls


def each(peers: list[Peer]) -> pytest.MarkDecorator:
    """Run a benchmark once for each candidate; skip those that are not installed."""
    return pytest.mark.parametrize(
        "peer",
        [
            pytest.param(
                peer,
                id=peer.name.replace(", ", "-").replace(" ", "-"),
                marks=pytest.mark.skipif(not peer.installed, reason=f"{peer.name} is not installed"),
            )
            for peer in peers
        ],
    )
