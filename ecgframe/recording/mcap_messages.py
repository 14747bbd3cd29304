"""The messages of MCAP files: JSON, with a JSON schema for each kind."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ..messages.times import unix_seconds
from ..signal_fields import each_once

if TYPE_CHECKING:
    from ..records import Record

NUMBER: Final = {"type": "number"}
TEXT: Final = {"type": "string"}

LEVELS: Final = {"info": 2, "warning": 3, "critical": 5}
"""Levels of ``foxglove.Log``, by the severity of an alert. An alert without severity is a warning."""


class Kind(NamedTuple):
    """A kind of messages.

    Attributes:
        suffix: what follows the name of the stream in the topic.
        name: name of the schema.
        schema: the JSON schema.
    """

    suffix: str
    name: str
    schema: Mapping[str, Any]


def _object(description: str, properties: Mapping[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    schema = {"type": "object", "description": description, "properties": properties}
    return {**schema, "required": list(required)} if required else schema


_ALERT: Final = _object(
    "ANOMALY_ALERT as it was received; times in Unix seconds",
    {
        "kind": TEXT,
        "severity": TEXT,
        "message": TEXT,
        "confidence": NUMBER,
        "lead": TEXT,
        "timestamp": NUMBER,
        "start": NUMBER,
        "end": NUMBER,
    },
    ["kind", "timestamp"],
)

ALERTS: Final = Kind(
    "/alerts",
    "foxglove.Log",
    _object(
        "an alert",
        {
            "timestamp": {
                "type": "object",
                "title": "time",
                "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}},
            },
            "level": {"type": "integer", "description": "2: info, 3: warning, 5: critical"},
            "message": TEXT,
            "name": {"type": "string", "description": "name of the stream"},
            "file": TEXT,
            "line": {"type": "integer"},
            "alert": _ALERT,
        },
        ["timestamp", "level", "message", "name"],
    ),
)

FEATURES: Final = Kind(
    "/features",
    "ecgframe.Features",
    _object(
        "FEATURE_DATA as it was received; times in Unix seconds",
        {"features": {"type": "object"}, "timestamp": NUMBER, "window": NUMBER, "stream": TEXT},
        ["features"],
    ),
)

PREDICTIONS: Final = Kind(
    "/predictions",
    "ecgframe.Prediction",
    _object("PREDICTION_RESULT as it was received; times in Unix seconds", {"timestamp": NUMBER, "stream": TEXT}),
)

GAPS: Final = Kind(
    "/gaps",
    "ecgframe.Gap",
    _object(
        "a stretch in which no samples were received",
        {"seconds": NUMBER, "samples": {"type": "integer", "description": "missing samples of each lead"}},
        ["seconds", "samples"],
    ),
)


def sample_kind(record: Record) -> Kind:
    """Return the kind of messages that hold one sample of each lead."""
    properties = {name: {"type": "number", "description": record.units} for name in each_once(record.leads)}
    text = "one sample of each lead, measured at log_time; leads whose sample is missing are left out"
    return Kind("", "ecgframe.Sample", _object(text, properties))


def sample_messages(record: Record) -> Iterator[bytes | None]:
    """Yield a message for each sample, in the units of the record; None if it is missing in all leads."""
    keys = [json.dumps(name) for name in each_once(record.leads)]
    is_plain = record.is_counts and record.gain is None
    values = record.signal if is_plain else record.physical()
    is_there = np.isfinite(values) & ~record.is_missing()
    form = "{" + ",".join(f"{key.replace('%', '%%')}:%r" for key in keys) + "}"
    for row, there in zip(values.T.tolist(), is_there.T, strict=True):
        if there.all():
            yield (form % tuple(row)).encode()
        elif there.any():
            parts = [f"{key}:{value!r}" for key, value, is_one in zip(keys, row, there, strict=True) if is_one]
            yield f"{{{','.join(parts)}}}".encode()
        else:
            yield None


def alert_message(alert: Mapping[str, Any], text: str, stream: str, at: int) -> bytes:
    """Return a message for an alert, whose time is ``at``, in nanoseconds."""
    seconds, nanoseconds = divmod(at, 1_000_000_000)
    return json_bytes(
        {
            "timestamp": {"sec": seconds, "nsec": nanoseconds},
            "level": LEVELS.get(alert.get("severity", ""), LEVELS["warning"]),
            "message": text,
            "name": stream,
            "file": "",
            "line": 0,
            "alert": alert,
        }
    )


def json_bytes(value: object) -> bytes:
    """Return a value of a message as JSON: arrays as lists, times as Unix seconds, NaN and infinity as null."""
    return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return unix_seconds(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)
