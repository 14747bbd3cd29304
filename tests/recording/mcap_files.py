"""MCAP files of the recorder, read by the mcap library alone."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from recordings import optional

from ecgframe.records import Annotation, Record

optional("mcap.reader")

from mcap.exceptions import EndOfFile  # noqa: E402 - after the skip
from mcap.reader import make_reader  # noqa: E402 - after the skip
from mcap.records import Channel, Message, Metadata, Schema  # noqa: E402 - after the skip
from mcap.stream_reader import StreamReader  # noqa: E402 - after the skip

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Read(NamedTuple):
    """A message: its topic, its times in nanoseconds, its number, and what it says."""

    topic: str
    at: int
    published: int
    number: int
    data: dict[str, Any]


class Contents(NamedTuple):
    """What a file holds: channels with their schemas by topic, metadata, and messages in their order."""

    channels: dict[str, tuple[Channel, Schema]]
    metadata: dict[str, str]
    messages: list[Read]

    def of(self, topic: str) -> list[Read]:
        return [one for one in self.messages if one.topic == topic]


def _read(channel, message):
    return Read(
        channel.topic, message.log_time, message.publish_time, message.sequence, json.loads(message.data)
    )  # fmt: skip


def complete(path):
    """Read a complete file by its summary, as players do, and check all checksums."""
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        messages = [_read(channel, message) for _, channel, message in reader.iter_messages(log_time_order=False)]
        assert summary.statistics.message_count == len(messages)
        [metadata] = reader.iter_metadata()
    channels = {one.topic: (one, summary.schemas[one.schema_id]) for one in summary.channels.values()}
    assert {(one.message_encoding, schema.encoding) for one, schema in channels.values()} == {("json", "jsonschema")}
    return Contents(channels, metadata.metadata, messages)


def incomplete(path):
    """Read a file from its beginning up to where it ends, wherever that is."""
    schemas, channels, contents = {}, {}, Contents({}, {}, [])
    with path.open("rb") as file:
        try:
            for record in StreamReader(file, validate_crcs=True).records:
                if isinstance(record, Schema):
                    schemas[record.id] = record
                elif isinstance(record, Channel):
                    channels[record.id] = record
                    contents.channels[record.topic] = record, schemas[record.schema_id]
                elif isinstance(record, Metadata):
                    contents.metadata.update(record.metadata)
                elif isinstance(record, Message):
                    contents.messages.append(_read(channels[record.channel_id], record))
        except (EndOfFile, struct.error):  # the latter within a number
            return contents
    raise AssertionError("the file is complete")


def record_of(contents):
    """The recording, with the counts that its calibration tells; None if all samples are missing."""
    stream = contents.metadata["stream"]
    properties = contents.channels[stream][0].metadata
    rate, leads = json.loads(properties["sampling_rate"]), json.loads(properties["leads"])
    samples = contents.of(stream)
    if not samples:
        return None
    begin = samples[0].at - round(samples[0].number * 1e9 / rate)
    assert all(abs(one.at - begin - one.number * 1e9 / rate) <= 1 for one in samples)
    values = np.full((len(leads), samples[-1].number + 1), np.nan)
    for one in samples:
        values[:, one.number] = [one.data.get(lead, np.nan) for lead in leads]
    is_missing = np.isnan(values)
    for gap in contents.of(f"{stream}/gaps"):
        start = round((gap.at - begin) / 1e9 * rate)
        assert is_missing[:, start : start + gap.data["samples"]].all()
    dtype, missing = np.dtype(properties["dtype"]), None
    gain, baseline = (tuple(json.loads(properties.get(name, "[]"))) for name in ("gain", "baseline"))
    if dtype.kind in "iu":
        counts = np.rint(values * np.array(gain or (1,))[:, None] + np.array(baseline or (0,))[:, None])
        limits = np.iinfo(dtype)
        if ((counts > limits.max) | (counts < limits.min)).any():  # later messages had a larger dtype
            dtype, gain, baseline = np.dtype(np.float64), (), ()
        else:
            missing = int(limits.min) if is_missing.any() else None
            values = np.where(is_missing, missing or 0, counts)
    notes = [_note(one, begin) for one in contents.of(f"{stream}/alerts")]
    return Record(
        values.astype(dtype), rate, tuple(leads), properties["units"], gain or None, baseline or None, missing=missing,
        start=EPOCH + timedelta(microseconds=begin / 1000), annotations=tuple(notes),
    )  # fmt: skip


def _note(one, begin):
    alert, text = one.data["alert"], one.data["message"]
    start = alert.get("start", alert["timestamp"])
    at = (one.at - begin) / 1e9 + start - alert["timestamp"]
    return Annotation(at, text, alert.get("lead"), alert["end"] - start if "end" in alert else None)
