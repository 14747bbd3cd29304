"""Who is measured: ecgframe, and what else a team would pick to carry the same message.

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

from ecgframe import Codec, Compression, MessageType


def _optional(name):
    try:
        return import_module(name)
    except ImportError:
        return None


msgpack = _optional("msgpack")
msgspec = _optional("msgspec")
orjson = _optional("orjson")
ormsgpack = _optional("ormsgpack")


@dataclass(frozen=True)
class Peer:
    """A way to carry a message.

    Attributes:
        name: as printed.
        encode: message to bytes.
        decode: bytes to message.
        returns: what becomes of a signal: "lists" or "arrays".
        installed: whether it can run here; the suites skip it otherwise.
    """

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    returns: str
    installed: bool = True

    def then_array(self, dtype: str) -> "Peer":
        """The same, with ``np.array`` over the decoded signal, for readers that compute."""
        if self.returns == "arrays":
            return self

        def decode(encoded: bytes) -> Any:
            message = self.decode(encoded)
            message["signal"] = np.array(message["signal"], dtype)
            return message

        return replace(self, name=f"{self.name} + np.array", decode=decode, returns="arrays")

    def deflated(self) -> "Peer":
        """The same, with zlib at level 6 around it."""
        return replace(
            self,
            name=f"{self.name} + zlib",
            encode=lambda message: zlib.compress(self.encode(message), 6),
            decode=lambda encoded: self.decode(zlib.decompress(encoded)),
        )


def ecgframe_peer(name: str = "ecgframe", kind: MessageType = MessageType.ECG_DATA, **options: Any) -> Peer:
    """Frames by a codec of these options; lists stay lists and arrays arrive as arrays."""
    codec = Codec(**{"compression": None} | options)
    return Peer(
        name=name,
        encode=partial(codec.encode, kind),
        decode=lambda frame: codec.decode(frame).data,
        returns="arrays",
    )


def _to_list(value: np.ndarray) -> list:
    return value.tolist()


ECGFRAME = ecgframe_peer()
ECGFRAME_COMPRESSED = ecgframe_peer("ecgframe, compressed", compression=Compression())
ECGFRAME_BINARY = ecgframe_peer("ecgframe, binary form", ndarray="binary")
ECGFRAME_FROM_LISTS = ecgframe_peer("ecgframe, from plain lists", numeric_lists="ndarray")

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
        encode=msgspec and msgspec.msgpack.Encoder(enc_hook=_to_list).encode,
        decode=msgspec and msgspec.msgpack.Decoder().decode,
        returns="lists",
        installed=msgspec is not None,
    ),
    Peer(
        name="ormsgpack",
        encode=lambda message: ormsgpack.packb(message, option=ormsgpack.OPT_SERIALIZE_NUMPY),
        decode=ormsgpack and ormsgpack.unpackb,
        returns="lists",
        installed=ormsgpack is not None,
    ),
]
"""Serializers that know nothing of arrays on the way back: what they decode holds lists."""


def _by_hand(name: str, pack: Callable[[Any], bytes], unpack: Callable[[bytes], Any], *, installed: bool) -> Peer:
    """Raw bytes, dtype and shape in a map: what one writes by hand to keep an array an array."""

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
"""The MessagePack libraries once more, with the samples as raw bytes."""


def each(peers: list[Peer]) -> pytest.MarkDecorator:
    """Run a benchmark once for each peer, and skip those that are not installed."""
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
