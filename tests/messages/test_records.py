"""Records of version 4 against a slow reading of them: the same bytes, the same samples, the same verdict, bounded."""

import hashlib
import random
import threading

import numpy as np
import oracle
import pytest
import record_oracle
import record_strategies as rs
import twin
from both_cores import CORES
from hypothesis import given
from hypothesis import strategies as st
from thoroughness import examples
from verdicts import verdict

import ecgframe
from ecgframe.protocol import RECORD_HEADER, Form, MessageType
from ecgframe.records import shipped_ecg

LIMIT = 2**20
PLAIN = ecgframe.Codec(version=4, compression=None)
SEED = random.SystemRandom().getrandbits(32)
each_core = pytest.mark.parametrize("core", CORES)
ALL = [core.values[0] for core in CORES]


def template_by(core, template):
    return core.Template.unpack(record_oracle.pack_template(template))


# --- round trips ---


@given(rs.signals(), rs.TIMES, rs.SEQUENCES, st.booleans(), st.booleans())
@examples(400)
def test_every_core_writes_the_oracles_bytes_and_reads_them_back(signal, time, sequence, delta, bound):
    template, counts = signal
    payload = record_oracle.pack_template(template)
    digest = hashlib.sha256(payload).digest()[:8] if bound else None
    expected = record_oracle.write_record(template, time, sequence, counts, delta=delta, digest=digest)
    message = record_oracle.read_record(expected, payload)
    for core in ALL:
        found = core.Template.unpack(payload)
        assert found.encode(counts, time, sequence, delta=delta, bound=bound) == expected
        read = found.decode(expected)
        assert oracle.same(read.counts, counts)
        assert (read.time, read.sequence) == (time, sequence)
        assert read.data.keys() == message.keys()
        assert all(oracle.same(read.data[name], message[name]) for name in message)
        compare_with_the_codec(core, found, expected, read)
        raw = found.without_filter(expected)
        assert raw == record_oracle.write_record(template, time, sequence, counts, delta=False, digest=digest)
        assert len(expected) <= len(raw)


@given(rs.foreign_records())
@examples(400)
def test_records_of_any_writer_are_read_as_the_oracle_reads_them(foreign):
    compare(*foreign)


@given(rs.damaged_records())
@examples(400)
def test_damaged_records_get_the_oracles_verdict(damaged):
    compare(*damaged)


def compare(template, record):
    payload = record_oracle.pack_template(template)
    expected = verdict(record_oracle.read_record, record, payload, LIMIT)
    outcomes = []
    for core in ALL:
        found = core.Template.unpack(payload)
        outcomes.append(twin.outcome(found.decode, record, max_payload=LIMIT))
        if expected is None:
            assert oracle.same(outcomes[-1].counts, record_oracle.read_counts(record, template, payload, LIMIT)[2])
        else:
            assert isinstance(outcomes[-1], twin.Refusal), outcomes[-1]
            assert (outcomes[-1].code, outcomes[-1].check) == expected
        compare_with_the_codec(core, found, record, outcomes[-1])
    if expected is not None:
        assert outcomes[0] == outcomes[-1]


def compare_with_the_codec(core, template, record, outcome):
    """The codec reads most records by another way, which makes the same maps and gives the same verdicts."""
    if len(record) < RECORD_HEADER:
        return  # the codec encodes none
    frame = PLAIN.encode(MessageType.ECG_DATA, record, stream_id=7, sequence=1, form=Form.RECORD)
    message = twin.outcome(core.Codec(max_payload=LIMIT).decode, frame, templates={(7, template.number): template})
    if isinstance(outcome, twin.Refusal):
        assert (message.code, message.check) == (outcome.code, outcome.check)
    else:
        assert list(message.data) == list(outcome.data)
        assert oracle.same(message.data, outcome.data)
        assert message.nbytes == len(record)


@given(rs.signals(), st.integers(0, 2**32 - 1))
@examples(100)
def test_a_record_becomes_no_more_than_its_bytes_can_hold(signal, count):
    """Whatever count is claimed: 32 samples a byte behind the head, at most, and three more a row."""
    template, counts = signal
    record = bytearray(record_oracle.write_record(template, 0, None, counts))
    record[4:8] = count.to_bytes(4, "big")
    rows = template["rows"] or 1
    for core in ALL:
        found = template_by(core, template)
        try:
            read = found.decode(record)
        except core.ProtocolError:
            continue
        assert read.counts.size <= 32 * (len(record) - 16) + 3 * rows


@pytest.mark.parametrize("filter", [0, 1])
@each_core
def test_a_false_count_allocates_no_memory(core, filter):
    template = core.Template(1, "s", "int16", 4096, {})
    record = (1).to_bytes(2, "big") + bytes([filter, 0]) + b"\xff" * 4 + bytes(8) + bytes(4096)
    with pytest.raises(core.ProtocolError, match=r"4096 times 4294967295") as caught:
        template.decode(record, max_payload=2**62)
    assert caught.value.check == 11


# --- the shipped ECG ---

LEADS = list(shipped_ecg().leads)


@pytest.mark.skipif(not ecgframe.accelerated, reason="it takes long, and the vectors hold the bytes of every core")
@pytest.mark.parametrize(("every", "count", "most"), [(1, 50, 315), (2, 25, 206), (1, 1000, 4300), (2, 500, 2400)])
def test_sizes_of_the_shipped_ecg(every, count, most):
    """Mean bytes of whole frames, header included: section 15 of the design has a table of them."""
    core = ALL[0]
    signal = shipped_ecg().signal[:, ::every]
    template = core.Template(1, "ecg/1", "int16", 12, {"leads": LEADS})
    cuts = [signal[:, at : at + count] for at in range(0, signal.shape[1], count)]
    sizes = [32 + len(template.encode(cut, 0)) for cut in cuts]
    assert np.mean(sizes) <= most
    assert max(sizes) < 32 + 16 + 12 * count * 2


def test_the_template_of_the_shipped_ecg_is_small():
    record = shipped_ecg()
    fields = {
        "sampling_rate": record.sampling_rate,
        "leads": LEADS,
        "units": record.units,
        "gain": record.gain[0],
        "baseline": 0,
    }
    assert 32 + len(ALL[0].Template(1, "ecg/1", "int16", 12, fields).payload) <= 200


# --- reads beyond the buffer ---


@each_core
def test_every_prefix_is_refused_and_nothing_after_it_is_read(core):
    """Each cut in memory of its own size, for a sanitizer to see what is read behind it."""
    signal = shipped_ecg().signal[:, :70]
    template = core.Template(1, "s", "int16", 12, {"leads": LEADS})
    record = template.encode(signal, 0, 7, bound=True)
    for size in range(len(record)):
        with pytest.raises(core.ProtocolError):
            template.decode(bytes(bytearray(record[:size])))
    assert oracle.same(template.decode(bytes(bytearray(record))).counts, np.ascontiguousarray(signal))


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["write", "read"])
def test_another_thread_changes_the_buffer(direction):
    """The result is undefined, but no byte outside the buffers may be accessed, which a sanitizer detects."""
    core = ALL[0]
    template = core.Template(1, "s", "int16", 12, {"leads": LEADS})
    samples = np.ascontiguousarray(shipped_ecg().signal[:, :1000])
    noise = np.random.default_rng(5).integers(-(2**15), 2**15, samples.shape, dtype=np.int16)
    record = bytearray(template.encode(samples, 0))
    sound, damaged = bytes(record), bytes(octet ^ 0x55 for octet in record)
    done = threading.Event()

    def change():
        calm = samples.copy()
        while not done.is_set():
            for one, other in ((noise, damaged), (calm, sound)):
                samples[:] = one
                record[16:] = other[16:]

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(2000):
            if direction == "write":
                written = template.encode(samples, 0)
                assert len(written) <= 16 + samples.nbytes
            else:
                twin.outcome(template.decode, record)
    finally:
        done.set()
        thread.join()


@each_core
def test_random_bytes(core):
    print("seed", SEED)
    draw = random.Random(SEED)
    accepted = 0
    for _ in range(2000):
        dtype = draw.choice(rs.INTEGERS)
        template = core.Template(1, "s", dtype, draw.choice([0, 1, 3]), {})
        body = bytes(draw.choice([0, 0, 1, 2, 33, 34, 66, 129, draw.randrange(256)]) for _ in range(draw.randrange(40)))
        head = b"\0\1\1\0" + draw.randrange(80).to_bytes(4, "big") + bytes(8)
        found = twin.outcome(template.decode, head + body)
        assert not isinstance(found, twin.Refusal) or found.check == 11
        accepted += not isinstance(found, twin.Refusal)
    assert accepted


@each_core
def test_each_message_has_lists_and_maps_of_its_own(core):
    fields = {"leads": ["I"], "device": {"name": "a", "parts": [1]}, "gain": np.array([2.0])}
    template = core.Template(1, "ecg/1", "int16", 1, fields)
    frame = PLAIN.encode(
        MessageType.ECG_DATA,
        template.encode(np.array([[1, 2]], "int16"), 0),
        stream_id=7,
        sequence=1,
        form=Form.RECORD,
    )
    read = [core.Codec().decode(frame, templates={(7, 1): template}).data for _ in range(2)]
    read[0]["leads"].append("II")
    read[0]["device"]["parts"].append(2)
    read[0]["gain"][0] = 3
    read[0]["more"] = 1
    del read[0]["stream"]
    expected = {**fields, "stream": "ecg/1", "signal": np.array([[1, 2]], "int16"), "timestamp": 0.0}
    assert oracle.same(read[1], expected)
    assert oracle.same(core.Codec().decode(frame, templates={(7, 1): template}).data, expected)
