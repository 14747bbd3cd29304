"""Reading a log of errors: grouped by code and peer, with advice for each code."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..protocol import ErrorCode
from . import ToolError

DEEPEST: Final = 8
"""Deepest nesting of a line that is accepted; an error log has three levels."""

LATEST: Final = 1e11
"""Largest number of Unix seconds that is accepted as a time."""


class Advice(NamedTuple):
    """Advice for an error code.

    Attributes:
        cause: the usual cause.
        command: a command that shows the cause.
        step: what to do about the cause.
    """

    cause: str
    command: str
    step: str


ADVICE: Final = {
    ErrorCode.INVALID_PROTOCOL_VERSION: Advice(
        "the peer uses a version that the server does not support, or another protocol",
        "ecgframe inspect session.pcap --type PROTOCOL_NEGOTIATION",
        "compare the versions that both sides offer; a first byte other than 1, 2 or 3 means another protocol",
    ),
    ErrorCode.CHECKSUM_MISMATCH: Advice(
        "the payload was changed after the checksum was taken: by a proxy, or by a sender that compresses after it",
        "ecgframe inspect session.pcap --errors --hex",
        "if all frames of a peer fail, correct its sender; if single ones do, compare captures from both ends",
    ),
    ErrorCode.MESSAGE_TOO_LARGE: Advice(
        "a payload exceeds the limit, compressed or decompressed",
        "ecgframe sizes session.pcap",
        "send shorter frames or fewer bytes per sample, or raise max_payload on the receiving side",
    ),
    ErrorCode.DECOMPRESSION_FAILED: Advice(
        "COMPRESSED is set, but the payload is not a complete zlib stream: raw deflate, gzip, or cut short",
        "ecgframe inspect session.pcap --errors --hex",
        "a zlib stream usually begins with 78; the sender must use the zlib format and set the flag only then",
    ),
    ErrorCode.INVALID_MESSAGE_TYPE: Advice(
        "the message type does not exist, or the bytes are not a frame",
        "ecgframe inspect session.pcap --errors --hex",
        "look at the second byte; several frames in one message with wrong lengths cause this error as well",
    ),
    ErrorCode.INVALID_DATA_FORMAT: Advice(
        "a frame is cut short, or its payload is not the MessagePack that the protocol allows",
        "ecgframe inspect session.pcap --errors",
        "see the number of the check: 1, 5 and 6 concern the framing, 11 the payload, 12 a field of a wrong type",
    ),
    ErrorCode.MISSING_REQUIRED_FIELDS: Advice(
        "a message lacks a required field",
        "ecgframe inspect session.pcap --errors --validate",
        "send the field; docs/protocol.md lists the required fields of each message type",
    ),
    ErrorCode.AUTHENTICATION_FAILED: Advice(
        "the authenticate hook of the server refused the connection, a sealed stream was not to be opened, or a frame "
        "of it is plain, changed or of another key",
        "ecgframe watch ws://127.0.0.1:8765/ws ecg/1 --header 'Authorization: Bearer TOKEN'",
        "check that the token is sent and valid, that the client has the extra seal, and that keys may be handed out",
    ),
    ErrorCode.PERMISSION_DENIED: Advice(
        "the authorize hook of the server refused a stream, or a client may not publish or broadcast",
        "ecgframe inspect session.pcap --type SUBSCRIBE --type SUBSCRIPTION_ACK",
        "grant the permission, or correct the name of the stream",
    ),
    ErrorCode.RATE_LIMIT_EXCEEDED: Advice(
        "a peer exceeds its rate limit, or subscribes to too many streams",
        "ecgframe inspect session.pcap --summary",
        "send longer frames, or raise the rate limit in the settings of the handler",
    ),
}
"""Advice for each error code of the protocol."""


MOST_CODES: Final = 256
"""Codes that are counted separately: the protocol has ten, but a damaged log may contain any number."""

MOST_NAMES: Final = 10_000
"""Peers, types and fields that are counted separately for each code; the rest are counted together."""

OTHERS: Final = "(others)"


@dataclass(slots=True)
class Group:
    """The errors of one code.

    Attributes:
        code: the logged code, whether the protocol defines it or not.
        count: number of errors.
        first: time of the first error, in Unix seconds.
        last: time of the last error, in Unix seconds.
        peers: number of errors by host.
        checks: number of errors by check; 0 for errors without a check.
        types: number of errors by message type, if known.
        fields: number of errors by field.
        latest: the latest line of the log.
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
        """Advice for the code; None for a code that the protocol does not define."""
        return ADVICE.get(ErrorCode(self.code)) if self.code in set(map(int, ErrorCode)) else None

    def add(self, line: dict[str, Any]) -> None:
        """Count the error of a line."""
        self.count += 1
        time = float(line.get("time", 0.0))
        if time >= self.last:
            self.last, self.latest = time, line
        self.first = min(self.first, time)
        _count(self.peers, _host(str(line.get("peer", "?"))))
        self.checks[line.get("check") or 0] += 1
        header = line.get("header")
        if isinstance(header, dict) and "type" in header:
            _count(self.types, str(header["type"]))
        if line.get("path"):
            _count(self.fields, str(line["path"]))


def _count(counts: Counter[str], name: str) -> None:
    counts[name if name in counts or len(counts) < MOST_NAMES else OTHERS] += 1


@dataclass(slots=True)
class Report:
    """The contents of a log.

    Attributes:
        groups: the errors by code, the most frequent first.
        strangers: number of lines that are not records of errors.
    """

    groups: list[Group]
    strangers: int

    @property
    def count(self) -> int:
        """Total number of errors."""
        return sum(group.count for group in self.groups)


def read_error_log(path: Path) -> Report:
    """Read a log, including the older files beside it.

    Raises:
        ToolError: the log is not empty, but contains no record of an error.
        OSError: the log cannot be read.
    """
    groups: dict[int, Group] = {}
    strangers = 0
    for line in _lines(path):
        record = _record(line)
        if record is None or (record["code"] not in groups and len(groups) >= MOST_CODES):
            strangers += 1
        else:
            groups.setdefault(record["code"], Group(record["code"])).add(record)
    if strangers and not groups:
        raise ToolError(f"{path}: not an error log, such as ecgframe serve --error-log FILE writes")
    return Report(sorted(groups.values(), key=lambda group: -group.count), strangers)


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of all files, the oldest first."""
    older = [place for place in path.parent.glob(f"{path.name}.*") if place.suffix[1:].isdigit()]
    for place in [*sorted(older, key=lambda place: -int(place.suffix[1:])), path]:
        with place.open(encoding="utf-8", errors="replace") as file:
            yield from (line for line in file if line.strip())


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # the latter for deeply nested lists
        return None
    return record if isinstance(record, dict) and _is_well_typed(record) and _is_flat(record, DEEPEST) else None


def _is_flat(value: Any, depth: int) -> bool:
    """Return whether the value is nested at most that deep."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth > 0 and all(_is_flat(entry, depth - 1) for entry in inner)


def _is_well_typed(record: dict[str, Any]) -> bool:
    """Return whether the fields that are counted have the types that an error log writes."""
    time = record.get("time", 0.0)
    is_time = isinstance(time, int | float) and abs(time) < LATEST
    return is_time and isinstance(record.get("code"), int) and isinstance(record.get("check"), int | None)


def _host(peer: str) -> str:
    """Return the host of a peer, without the port, which differs for each connection."""
    host, colon, port = peer.rpartition(":")
    return host if colon and port.isdigit() else peer
