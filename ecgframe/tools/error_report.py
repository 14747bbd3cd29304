"""A log of errors read: grouped by code and peer, with what to do about each code."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..protocol import ErrorCode
from . import ToolError


class Advice(NamedTuple):
    """What a code mostly means.

    Attributes:
        cause: why it mostly is.
        command: the command that shows it.
        step: what to do about it.
    """

    cause: str
    command: str
    step: str


ADVICE: Final = {
    ErrorCode.INVALID_PROTOCOL_VERSION: Advice(
        "the peer speaks a version that this side does not, or does not send frames of this protocol at all",
        "ecgframe inspect session.pcap --type PROTOCOL_NEGOTIATION",
        "compare what both sides offer; a first byte that is no 1, 2 or 3 is another protocol on this address",
    ),
    ErrorCode.CHECKSUM_MISMATCH: Advice(
        "the payload was changed after it was summed: by a proxy, or by a sender that sums before it compresses",
        "ecgframe inspect session.pcap --errors --hex",
        "if all frames of a peer fail, its sender is wrong; if single ones do, capture at both ends and compare",
    ),
    ErrorCode.MESSAGE_TOO_LARGE: Advice(
        "a payload beyond the limit, as it travels or inflated",
        "ecgframe sizes session.pcap",
        "send shorter frames or fewer bytes a sample, or raise max_payload on the receiving side",
    ),
    ErrorCode.DECOMPRESSION_FAILED: Advice(
        "COMPRESSED is set on what is no whole zlib stream: raw deflate, gzip, or a stream cut short",
        "ecgframe inspect session.pcap --errors --hex",
        "a zlib stream mostly begins with 78; the sender must use zlib's format and set the flag only then",
    ),
    ErrorCode.INVALID_MESSAGE_TYPE: Advice(
        "a type that the protocol does not have, or bytes that are no frame",
        "ecgframe inspect session.pcap --errors --hex",
        "look at the second byte; a sender that lays frames end to end with wrong lengths looks like this as well",
    ),
    ErrorCode.INVALID_DATA_FORMAT: Advice(
        "a frame that is cut short, or a payload that is no MessagePack as the protocol has it",
        "ecgframe inspect session.pcap --errors",
        "the check and the byte tell which: 1, 5 and 6 are the framing, 11 is the payload, 12 a field of wrong type",
    ),
    ErrorCode.MISSING_REQUIRED_FIELDS: Advice(
        "a message lacks a field that its type requires",
        "ecgframe inspect session.pcap --errors --validate",
        "send the field; the table in docs/protocol.md says which each type requires",
    ),
    ErrorCode.AUTHENTICATION_FAILED: Advice(
        "the server's authenticate hook refused the connection, or a frame says that it is encrypted",
        "ecgframe watch ws://127.0.0.1:8765/ws ecg/1 --header 'Authorization: Bearer TOKEN'",
        "look whether the token is there and in date; ENCRYPTED is not to be set, since no cipher is defined",
    ),
    ErrorCode.PERMISSION_DENIED: Advice(
        "the server's authorize hook refused a stream, or a client published or broadcast without the right",
        "ecgframe inspect session.pcap --type SUBSCRIBE --type SUBSCRIPTION_ACK",
        "give the identity the right, or correct the stream's name",
    ),
    ErrorCode.RATE_LIMIT_EXCEEDED: Advice(
        "a peer sends more than it may, or subscribes to too many streams",
        "ecgframe inspect session.pcap --summary",
        "lay samples of a longer time into one frame, or raise the rate limit of the handler's settings",
    ),
}
"""What to do about each of the protocol's codes."""


@dataclass(slots=True)
class Group:
    """Errors of one code.

    Attributes:
        code: as logged; one that the protocol does not have is kept as its number.
        count: how many.
        first: Unix seconds of the first.
        last: of the last.
        peers: how many came from each host.
        checks: how many failed each check; 0 stands for none.
        types: how many were of each message type, as far as that is known.
        fields: how many concerned each field.
        latest: the last line.
    """

    code: int
    count: int = 0
    first: float = float("inf")
    last: float = 0.0
    peers: Counter[str] = field(default_factory=Counter)
    checks: Counter[int] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    latest: dict[str, Any] = field(default_factory=dict)

    @property
    def advice(self) -> Advice | None:
        """What to do."""
        return ADVICE.get(ErrorCode(self.code)) if self.code in set(map(int, ErrorCode)) else None

    def add(self, line: dict[str, Any]) -> None:
        """Count a line."""
        self.count += 1
        time = float(line.get("time", 0.0))
        if time >= self.last:
            self.last, self.latest = time, line
        self.first = min(self.first, time)
        self.peers[_host(str(line.get("peer", "?")))] += 1
        self.checks[line.get("check") or 0] += 1
        header = line.get("header")
        if isinstance(header, dict) and "type" in header:
            self.types[str(header["type"])] += 1
        if line.get("path"):
            self.fields[str(line["path"])] += 1


@dataclass(slots=True)
class Report:
    """A log, read.

    Attributes:
        groups: by code, the most frequent first.
        strangers: lines that are no records of errors.
    """

    groups: list[Group]
    strangers: int

    @property
    def count(self) -> int:
        """Errors in all."""
        return sum(group.count for group in self.groups)


def read_error_log(path: Path) -> Report:
    """The errors in a log, those in the older files beside it included.

    Raises:
        ToolError: there is something in it, but no record of an error.
        OSError: it cannot be read.
    """
    groups: dict[int, Group] = {}
    strangers = 0
    for line in _lines(path):
        record = _record(line)
        if record is None:
            strangers += 1
        else:
            groups.setdefault(record["code"], Group(record["code"])).add(record)
    if strangers and not groups:
        raise ToolError(f"{path}: no line of it is a record of an error; ecgframe serve --error-log FILE writes such")
    return Report(sorted(groups.values(), key=lambda group: -group.count), strangers)


def _lines(path: Path) -> Iterator[str]:
    """Oldest first."""
    older = [place for place in path.parent.glob(f"{path.name}.*") if place.suffix[1:].isdigit()]
    for place in [*sorted(older, key=lambda place: -int(place.suffix[1:])), path]:
        with place.open(encoding="utf-8", errors="replace") as file:
            yield from (line for line in file if line.strip())


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and _is_well_typed(record) else None


def _is_well_typed(record: dict[str, Any]) -> bool:
    """Whether what is counted has the types that an error log writes."""
    time = record.get("time", 0.0)
    is_time = isinstance(time, int | float) and isfinite(time)
    return is_time and isinstance(record.get("code"), int) and isinstance(record.get("check"), int | None)


def _host(peer: str) -> str:
    """A peer without its port, which is another each time."""
    host, colon, port = peer.rpartition(":")
    return host if colon and port.isdigit() else peer
