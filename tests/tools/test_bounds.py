"""Limits on hostile files: linear time, constant memory, and remarks on what was left out."""

from __future__ import annotations

import gc
import io
import json
import sys
import time
import tracemalloc

import hostile_files
import numpy as np
import pytest
from bounded_command import run_bounded
from hostile_files import MIB, deflated, ecg, frame, listed, message, spoken, squeezed
from recordings import optional

for library in ("websockets", "typer", "rich", "orjson", "msgpack"):
    optional(library)

import ecgframe  # noqa: E402 - after the skip
from ecgframe import Codec, MessageType  # noqa: E402
from ecgframe.cli.inspect import run as inspecting  # noqa: E402
from ecgframe.cli.inspect import views  # noqa: E402
from ecgframe.cli.replay import run as replaying  # noqa: E402
from ecgframe.tools import budget, error_report, frame_stream, seen_templates, sizes  # noqa: E402
from ecgframe.tools.budget import FREE_INFLATED, FREE_WORK, Budget  # noqa: E402
from ecgframe.tools.capture import pcap, websocket_reassembly  # noqa: E402
from ecgframe.tools.capture.pcap import read_capture  # noqa: E402
from ecgframe.tools.capture.tcp_reassembly import MAX_GAP_SEGMENTS, TcpDirection  # noqa: E402
from ecgframe.tools.frame_analysis import Examiner  # noqa: E402
from ecgframe.tools.hex_text import read_hex  # noqa: E402
from ecgframe.tools.observation import Delivery, Remark  # noqa: E402
from ecgframe.tools.replay import Cue  # noqa: E402
from ecgframe.tools.sizes import OTHER_FIELDS, SizeAnalysis, field_spans  # noqa: E402
from ecgframe.tools.sources import open_source  # noqa: E402
from ecgframe.value_count import count_numbers, count_values, has_more_values  # noqa: E402

SECONDS = {1: 5, 10: 10}
"""Processor seconds of a command, by the MiB of its input; a second of them to start."""

CSV_SECONDS = {1: 3, 10: 0}
"""More of them to write CSV: a file of any size may become 2^25 numbers."""

MEMORY = 256
"""MiB of a command."""

EVERY = [(kind, name) for kind, made in hostile_files.KINDS.items() for name in made]
COMMANDS = {
    "inspect": ["inspect", "FILE"],
    "inspect --json": ["inspect", "FILE", "--json"],
    "inspect --hex": ["inspect", "FILE", "--hex"],
    "inspect --summary": ["inspect", "FILE", "--summary", "--unpack"],
    "sizes": ["sizes", "FILE"],
    "replay": ["replay", "FILE", "ws://127.0.0.1:1/"],
    "encode": ["encode", "FILE", "-o", "OUT.frames", "-f"],
    "compare": ["compare", "FILE", "--budget", "0"],
    "errors": ["errors", "FILE"],
}
OF_FRAMES = {
    "decode": ["decode", "FILE"],
    "decode --skip-broken": ["decode", "FILE", "--skip-broken", "-o", "OUT.csv"],
    **{
        f"decode to {suffix}": ["decode", "FILE", "--skip-broken", "-o", f"OUT.{suffix}"]
        for suffix in ("edf", "hea", "npz")
    },
}


@pytest.mark.skipif(sys.platform != "linux", reason="measures as Linux does")
@pytest.mark.alone
@pytest.mark.thorough
@pytest.mark.parametrize("size", [1, 10])
@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_mebibytes_of_anything(kind, name, size, tmp_path):
    path = tmp_path / f"hostile.{kind}"
    path.write_bytes(hostile_files.KINDS[kind][name](size * MIB))
    for command, arguments in (COMMANDS | (OF_FRAMES if kind == "frames" else {})).items():
        seconds, memory, said = run_bounded(arguments, path)
        allowed = SECONDS[size] + ("OUT.csv" in arguments) * CSV_SECONDS[size]
        assert (seconds <= allowed, memory <= MEMORY) == (True, True), (command, seconds, memory, said)


# --- no loop that grows faster than its input ---


def calls_of(work) -> int:
    """Count the function calls, which do not depend on the machine or its load."""
    count = 0

    def note(*_):
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


GROWING = [
    "empty fragments",
    "fragments of a byte",
    "gaps",
    "acknowledged gaps",
    "backwards",
    "overlapping",
    "shuffled",
    "connections that open",
    "connections that speak",
    "batches of small frames",
    "empty messages",
    "records of many tags",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", GROWING)
def test_work_grows_as_captures_do(name):
    def work(nbytes):
        octets = hostile_files.CAPTURES[name](nbytes)
        return calls_of(lambda: sum(1 for _ in read_capture(io.BytesIO(octets))))

    small, large = work(20_000), work(160_000)
    assert large < 8 * 1.5 * small


def processor_time(work) -> float:
    """Return the minimum of a few attempts."""
    found = []
    for _ in range(3):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gaps", "acknowledged gaps", "backwards", "overlapping", "empty fragments"])
def test_time_grows_as_captures_do(name):
    """Unlike the calls, the time includes C code."""

    def work(nbytes):
        octets = hostile_files.CAPTURES[name](nbytes)
        return processor_time(lambda: sum(1 for _ in read_capture(io.BytesIO(octets))))

    assert work(800_000) < 8 * 4 * work(100_000)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in hostile_files.HEX_FILES if "words" not in name])
def test_time_grows_as_hexadecimal_does(name):
    def work(nbytes):
        text = hostile_files.HEX_FILES[name](nbytes)
        portions = [text[start : start + 65_536] for start in range(0, len(text), 65_536)]
        return processor_time(lambda: read_hex(portions))

    assert work(3_200_000) < 8 * 4 * max(work(400_000), 0.002)


def test_a_message_of_many_frames_is_not_copied_for_each():
    octets = frame(b"", kind=0x10, version=1) * 40_000

    def work(count):
        return processor_time(lambda: sum(1 for _ in Examiner().examine(Delivery(octets[: 11 * count]))))

    assert work(40_000) < 8 * 4 * work(5_000)


# --- TCP ---


def test_segments_after_a_gap_are_bounded():
    direction = TcpDirection()
    direction.open(0)
    found = [direction.feed(11 + 2 * number, b"x", 0.0) for number in range(MAX_GAP_SEGMENTS + 1)]
    assert not any(found[:-1])
    assert found[-1][0].missing == 10
    assert len(direction.finish()) == MAX_GAP_SEGMENTS


def observed(octets, allowance=None):
    found = list(read_capture(io.BytesIO(octets), allowance))
    return [one for one in found if isinstance(one, Delivery)], [one for one in found if isinstance(one, Remark)]


def test_many_gaps_are_reported_in_one_line(monkeypatch):
    monkeypatch.setattr(websocket_reassembly, "GAPS_REPORTED", 3)
    _, remarks = observed(hostile_files.gaps(2000))
    told = [one.text for one in remarks if "missing" in one.text]
    assert told[:3] == ["1 bytes are missing from the capture here"] * 3
    assert len(told) == 4
    assert "more gaps; " in told[3]


def test_connections_beyond_the_bound_are_let_go_and_counted(monkeypatch):
    monkeypatch.setattr(pcap, "MOST_CONNECTIONS", 5)
    packets = hostile_files.Packets()
    session = hostile_files.Connection(packets, 1)
    for number in range(2, 22):
        hostile_files.Connection(packets, number, open=False).segment(b"", False, flags=hostile_files.SYN)
    session.say(message(frame(b"", kind=0x10)))  # others do not displace a WebSocket
    deliveries, remarks = observed(bytes(packets))
    assert len(deliveries) == 1
    assert [one.text for one in remarks] == [
        "20 of 21 TCP connections are not WebSockets, or have no data",
        "15 connections were dropped before their end; 1,024 WebSockets and 5 others are followed at a time",
    ]


def test_websockets_beyond_the_bound_are_let_go(monkeypatch):
    monkeypatch.setattr(pcap, "MOST_WEBSOCKETS", 2)
    packets = hostile_files.Packets()
    for number in range(5):
        hostile_files.Connection(packets, number).say(message(frame(b"", kind=0x10)))
    deliveries, remarks = observed(bytes(packets))
    assert len(deliveries) == 5
    assert remarks[-1].text.startswith("3 connections were dropped")


# --- WebSocket ---


def test_inflating_has_an_allowance():
    allowance = Budget()
    octets = spoken(message(squeezed("zeros", 30 * MIB), deflated=True) * 20, deflate=True)
    deliveries, remarks = observed(octets, allowance)
    assert 0 < len(deliveries) < 8
    assert allowance.inflated <= FREE_INFLATED + 32 * len(octets)
    assert any(one.text.startswith("not read from here on: ") for one in remarks)
    assert remarks[-1].text.endswith("bytes of this side were skipped, as noted above")
    assert remarks[-1].origin.from_server is True


def peak(work):
    """Return the most memory of Python's objects meanwhile, in MiB. Nothing is left to the garbage collector."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()
        gc.enable()


def test_messages_of_one_packet_are_inflated_one_by_one():
    def work(count):
        octets = spoken(message(squeezed("zeros", 2 * MIB), deflated=True) * count, 1 << 20, deflate=True)
        return peak(lambda: [len(one.octets) for one in read_capture(io.BytesIO(octets)) if isinstance(one, Delivery)])

    assert work(24) < work(4) + 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "octets",
    [bytes(MIB), frame(b"\x78\x9c" + bytes(MIB), flags=1), frame(b"\xc1" * MIB, kind=0x11)],
    ids=["version", "stream", "value"],
)
def test_broken_messages_are_let_go_at_once(octets):
    def work(count):
        examiner = Examiner()
        for number in range(count):
            [found] = examiner.examine(Delivery(octets[:-1] + bytes([number])))
            assert found.error is not None

    assert peak(lambda: work(24)) < peak(lambda: work(4)) + 2


def test_a_message_that_inflates_past_the_limit_ends_its_side(monkeypatch):
    monkeypatch.setattr(websocket_reassembly, "LARGEST_CAPTURED", 1000)
    deliveries, remarks = observed(spoken(message(squeezed("zeros", MIB), deflated=True) * 2, deflate=True))
    assert deliveries == []
    assert "exceeds limit of 1000 bytes" in remarks[0].text


def test_small_frames_are_bounded(monkeypatch):
    monkeypatch.setattr(websocket_reassembly, "MOST_SMALL_FRAMES", 5000)
    _, remarks = observed(spoken(message(b"", fin=False) + message(b"", 0, fin=False) * 50_000))
    assert "more than 5,000 WebSocket frames have less than 11 bytes" in remarks[0].text
    left_out = int(remarks[-1].text.split()[0].replace(",", ""))
    assert 80_000 < left_out < 100_000


def test_unfinished_messages_are_bounded(monkeypatch):
    monkeypatch.setattr(websocket_reassembly, "MOST_HELD", 100_000)
    packets = hostile_files.Packets()
    for number in range(4):
        hostile_files.Connection(packets, number).say(message(bytes(40_000), fin=False))
    _, remarks = observed(bytes(packets))
    assert [one.text for one in remarks].count(
        "not read from here on: incomplete messages of all connections exceed 100,000 bytes"
    ) == 2
    assert sum("ends within a message" in one.text for one in remarks) == 2


def test_connections_that_are_read_are_bounded_in_all(monkeypatch):
    monkeypatch.setattr(websocket_reassembly, "MOST_READ", 3)
    deliveries, remarks = observed(hostile_files.many_connections(1000, b"\x82\x80\0\0\0\0", hostile_files.ACK))
    assert len(deliveries) == 3
    assert "directions of connections were not read" in remarks[-1].text


# --- frames ---


def examined(octets, allowance):
    with open_source("-", io.BytesIO(octets)) as source:
        found = []
        examiner = Examiner(budget=source.budget if allowance is None else allowance)
        for one in source.observations():
            found += examiner.examine(one) if isinstance(one, Delivery) else []
    return found


def test_frames_beyond_the_allowance_are_checked_and_not_unpacked():
    octets = deflated(ecg(listed(10**6, b"\x01" * 10**6))) * 40
    found = examined(octets, None)
    read = [one for one in found if one.message is not None]
    assert 2 <= len(read) < 12
    assert sum(one.message.nbytes for one in read) < 3 * FREE_WORK
    assert {one.unread for one in found[len(read) :]} == {"the source has too many values for its size"}
    assert all(one.is_intact for one in found)


def test_inflating_of_frames_has_an_allowance():
    octets = deflated(b"\xc6" + (15 << 20).to_bytes(4, "big") + bytes(15 << 20), kind=0x11) * 20
    found = examined(octets, None)
    unread = [one for one in found if one.unread]
    assert 5 < len(unread) < 15
    assert {one.unread for one in unread} == {"the source inflates to too many bytes for its size"}


@pytest.mark.slow
def test_broken_payloads_count_as_work():
    octets = deflated(listed(1 << 20, b"\x90" * (1 << 20)), kind=0x11) * 20  # a value more than a payload may have
    found = examined(octets, None)
    assert 2 < sum(one.error is not None for one in found) < 8
    assert {one.unread for one in found if one.error is None} == {"the source has too many values for its size"}


def test_messages_of_many_frames_are_not_read_to_the_end_beyond_the_allowance(monkeypatch):
    monkeypatch.setattr(budget, "FREE_WORK", 12_000)
    small = frame(b"", kind=0x10)
    octets = spoken(message(squeezed("frames", 40_000), deflated=True) * 3, deflate=True)
    with open_source("-", io.BytesIO(octets)) as source:
        examiner, found, remarks = Examiner(budget=source.budget), [], []
        for one in source.observations():
            if isinstance(one, Delivery):
                found += examiner.examine(one)
            else:
                remarks.append(one)
    inside = 40_000 // len(small)
    assert 200 < len(found) < 400
    assert sum(not one.offset for one in found) == 3  # of each message, the first frame is read
    assert all(one.is_intact for one in found)
    assert remarks[-1].is_fault
    assert remarks[-1].text.startswith(f"{(3 * inside - len(found)) * len(small):,} bytes of messages with several")


def test_small_messages_beyond_the_allowance_are_counted(monkeypatch):
    monkeypatch.setattr(budget, "FREE_WORK", 12_000)
    monkeypatch.setattr(budget, "WORK_PER_BYTE", 0)
    octets = spoken(message(frame(b"", kind=0x10)) * 1000)
    with open_source("-", io.BytesIO(octets)) as source:
        examiner, found, remarks = Examiner(budget=source.budget), [], []
        for one in source.observations():
            if isinstance(one, Delivery):
                found += examiner.examine(one)
            else:
                remarks.append(one)
    assert len(found) == 12_000 // (budget.WORK_PER_MESSAGE + budget.WORK_PER_FRAME)
    assert remarks[-1].is_fault
    assert remarks[-1].text.startswith(f"{1000 - len(found):,} more small messages were not decoded")


def test_payloads_of_too_many_objects_are_not_unpacked():
    [found] = examined(frame(listed(2 << 20, b"\xa2ab" * (2 << 20)), kind=0x11), None)
    assert (found.message, found.error) == (None, None)
    assert found.unread == "the payload has more than 1,048,576 values"


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "fields"), [(1, {"leads": ["x" * 12] * 200}), (4096, {"gain": 3.5})])
def test_templates_that_are_unpacked_again_and_again_count_as_work(rows, fields):

    def work(count):
        examiner = Examiner()
        list(examiner.examine(Delivery(hostile_files.templates_in_turn(300_000, rows, fields, count))))
        return examiner.budget.work

    assert work(seen_templates.READY + 6) > 2 * work(seen_templates.READY - 6)


def test_a_connection_has_no_allowance():
    examiner = Examiner()
    examiner.budget.work = 10**12
    [found] = examiner.examine(Delivery(frame(b"\x01", kind=0x11)))
    assert found.message is not None


@pytest.mark.parametrize("data", [{"n": [1, 2.5, None, "x", b"y", {"a": True}]}, [[1] * 300, "x" * 5000], np.zeros(99)])
def test_values_are_counted_as_they_are(data):
    payload = Codec().pack(data)
    count = sum(count_numbers(payload)[:2])
    assert has_more_values(payload, count - 1)
    assert not has_more_values(payload, count)
    assert count_values(data) >= 1


def test_attempts_to_find_a_frame_are_bounded_in_all(monkeypatch):
    monkeypatch.setattr(frame_stream, "SEARCH", 50_000)
    good = frame(b"", kind=0x10)
    octets = (good + b"\x01\x10" * 300) * 200
    stream = frame_stream.FrameStream(io.BytesIO(octets))
    assert sum(1 for _ in stream.stretches()) < 400
    assert stream.gave_up


def test_broken_frames_beyond_the_allowance_are_counted_by_their_code(monkeypatch):
    monkeypatch.setattr(budget, "FREE_WORK", 12_000)
    good = frame(b"", kind=0x10)
    octets = (good[:-1] + b"\x07" + good + frame(b"", kind=0x7F) + good) * 1000
    with open_source("-", io.BytesIO(octets)) as source:
        found = list(source.observations())
    one_by_one = [int(one.fault.code) for one in found if isinstance(one, Delivery) and one.fault is not None]
    *_, passed, wrong_sums, wrong_types = found
    assert 100 < len(one_by_one) < 1000
    assert passed.text.endswith("more small frames have valid headers and checksums, but were not decoded")
    assert wrong_sums.text == (
        f"{1000 - one_by_one.count(0x101):,} more small frames are broken, with 0x101 CHECKSUM_MISMATCH; "
        "they were only counted"
    )
    assert wrong_types.text.startswith(f"{1000 - one_by_one.count(0x104):,} more small frames are broken, with 0x104")
    assert all(one.is_fault for one in (passed, wrong_sums, wrong_types))


def test_faults_that_are_only_counted_are_not_worded(monkeypatch):
    worded = []
    monkeypatch.setattr(frame_stream, "_count_from_frame", lambda *fault: worded.append(fault))
    monkeypatch.setattr(budget, "FREE_WORK", 12_000)
    octets = (frame(b"", kind=0x10)[:-1] + b"\x07") * 1000
    with open_source("-", io.BytesIO(octets)) as source:
        shown = sum(isinstance(one, Delivery) for one in source.observations())
    assert 100 < shown < 400
    assert len(worded) == shown - 1  # the first one begins the window: its places are right


# --- what is shown ---


def test_a_long_list_is_cut_and_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(inspecting, "MOST_TEXTS", 10)
    monkeypatch.setattr(inspecting, "MOST_WITH_BYTES", 4)
    path = tmp_path / "a.frames"
    path.write_bytes(frame(b"", kind=0x10) * 50)

    def shown(*, as_hex=False, **wanted):
        inspecting.inspect_source(
            str(path),
            inspecting.Wanted(**wanted),
            summary=False,
            unpack=False,
            as_json=False,
            as_hex=as_hex,
            seconds=None,
            max_payload=1000,
            validate=False,
            headers=[],
            versions=(1, 2, 3),
        )
        return capsys.readouterr().out

    text = shown()
    assert text.count("HEARTBEAT") == 10
    assert "40 more frames are not shown; use --count N to show more, --summary to count them" in text
    text = shown(as_hex=True)
    assert text.count("#") == 4
    assert "46 more frames are not shown" in text
    text = shown(count=30)
    assert text.count("HEARTBEAT") == 30
    assert "not shown" not in text


def test_remarks_are_shown_up_to_a_number(monkeypatch, capsys):
    monkeypatch.setattr(inspecting, "MOST_REMARKS", 3)
    reporter = inspecting.frame_reporter(inspecting.Wanted(), shown=True, as_json=True)
    reporter.most_shown = 100
    reporter.look([Remark(str(number), is_fault=True) for number in range(10)])
    reporter.tell_hidden()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "7 more remarks are not shown" in lines[-1]


def test_remarks_of_a_summary_are_kept_up_to_a_number(monkeypatch):
    monkeypatch.setattr(inspecting, "MOST_REMARKS", 3)
    reporter = inspecting.frame_reporter(inspecting.Wanted(), shown=False, as_json=False)
    reporter.look([Remark(str(number), is_fault=True) for number in range(10)])
    assert list(reporter.notes()) == ["0", "1", "2", "7 more"]


def test_fields_of_a_message_are_shown_up_to_a_number(monkeypatch):
    monkeypatch.setattr(views, "MOST_FIELDS", 3)
    lines = [str(line) for line in views._payload_lines({str(number): number for number in range(10)})]
    assert lines == ["0  0", "1  1", "2  2", "… 7 more fields; --json shows all"]


# --- sizes ---


def analysed(*octets):
    analysis, examiner = SizeAnalysis(), Examiner()
    for one in octets:
        for found in examiner.examine(Delivery(one)):
            analysis.add(found)
    return analysis


def test_names_of_fields_are_bounded(monkeypatch):
    monkeypatch.setattr(sizes, "MOST_FIELDS", 10)
    codec = Codec(compression=None)
    octets = [codec.encode(MessageType.PING, {f"{n}-{m}": 1 for m in range(7)}) for n in range(9)]
    found = analysed(*octets).types[MessageType.PING]
    assert len(found.fields) == 11
    assert found.fields[OTHER_FIELDS] > 0
    assert sum(found.fields.values()) + 9 == found.payload_bytes


def test_the_sample_is_bounded(monkeypatch):
    monkeypatch.setattr(sizes, "SAMPLE_VALUES", 1000)
    octets = Codec().encode(MessageType.ECG_DATA, {"signal": np.arange(400), "sampling_rate": 250})
    analysis = analysed(*[octets] * 9)
    [compared] = analysis.compare()
    assert len(compared.found.messages) == 2
    assert compared.found.frames == 9


def test_messages_too_large_to_be_encoded_again_are_counted(monkeypatch):
    monkeypatch.setattr(sizes, "LARGEST_SAMPLE", 1000)
    octets = Codec().encode(MessageType.ECG_DATA, {"signal": np.arange(400), "sampling_rate": 250})
    [compared] = analysed(octets).compare()
    assert compared.found.left_out == 1
    assert "were only counted" in compared.advice


@pytest.mark.parametrize(
    "data",
    [
        {"a": np.zeros((2**32 - 1, 2**30, 0), "int8")},  # ended the process
        {"a": [[np.arange(3, dtype=">i2")]]},
        {"a": [np.zeros((1, 1, 1))]},
        {"a": {"b": np.arange(4)}, "c": {}},
        {101: [1, 2, 3]},  # a key need not be a text
        {1: {2: [1, 2, 3]}, "1.2": "x"},
        {"a.b": [1.5, 1e300], "a": {"b": {}}},
    ],
)
@pytest.mark.parametrize("form", ["list", "binary"])
def test_every_accepted_message_is_measured(data, form):
    try:
        octets = Codec(ndarray=form, compression=None).encode(MessageType.PING, data)
    except ecgframe.ProtocolError:
        pytest.skip("it has no such form")
    [compared] = analysed(octets).compare()
    assert sum(compared.found.fields.values()) < compared.found.payload_bytes


def test_an_array_too_deep_for_lists_is_measured():
    data = np.zeros((1,) * 20)
    for _ in range(55):
        data = [data]
    octets = Codec(ndarray="binary").encode(MessageType.PING, data)
    [compared] = analysed(octets).compare()
    assert [form.name for form in compared.forms] == ["JSON"]


def test_spans_are_the_bytes_of_the_fields():
    codec = Codec(ndarray="binary")
    data = {"a": np.arange(100), "b": {"c": np.arange(3.0), "d": [1, 2]}, "e": {}, "f": [np.arange(9)]}
    payload = codec.pack(data)
    spans = field_spans(payload)
    assert spans.keys() == {"a", "b.c", "b.d", "e", "f"}
    assert [name for name, span in spans.items() if span.is_binary] == ["a", "b.c"]
    outer = 1 + len(codec.pack("b")) + 1  # the headers of both maps, and the name of the inner one
    assert sum(span.nbytes for span in spans.values()) + outer == len(payload)


# --- replay ---


def test_a_first_message_of_many_values_is_not_unpacked_to_be_replayed():
    octets = deflated(ecg(listed(2 << 20, b"\x01" * (2 << 20))))
    tracemalloc.start()
    try:
        assert not replaying.names_no_stream([Cue(0.0, octets)])
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()
    assert replaying.names_no_stream([Cue(0.0, frame(ecg(b"\x91\x01")))])


# --- logs of errors ---


def test_lines_without_a_code_are_not_parsed(tmp_path, monkeypatch):
    parsed = []
    monkeypatch.setattr(error_report.json, "loads", lambda text: parsed.append(text) or {"code": 257})
    path = tmp_path / "errors.jsonl"
    path.write_text('00\n#\n{x}\n{"check": 7}\n{"code": 257}\n')
    assert error_report.read_error_log(path).strangers == 4
    assert parsed == ['{"code": 257}\n']


def test_a_log_of_any_codes_and_peers_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(error_report, "MOST_CODES", 3)
    monkeypatch.setattr(error_report, "MOST_NAMES", 5)
    path = tmp_path / "errors.jsonl"
    lines = [json.dumps({"code": number % 7, "peer": f"10.0.0.{number}:1", "time": number}) for number in range(70)]
    path.write_text("\n".join([*lines, "[" * 100_000]))
    report = error_report.read_error_log(path)
    assert len(report.groups) == 3
    assert all(len(group.peers) == 6 and group.peers[error_report.OTHERS] == 5 for group in report.groups)
    assert report.strangers == 41
