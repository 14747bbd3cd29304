"""Recordings with signatures, and what is found when one is changed."""

import asyncio
import io
import json
import time
from zlib import crc32

import numpy as np
import pytest
from command_line import run as invoke
from running import run
from server.test_sealed_streams import serving
from server.test_signed_streams import OTHER, SIGNER, STREAM, alert, signing_handler

import ecgframe
from ecgframe import MessageType
from ecgframe._core import build_frame
from ecgframe.protocol import MAX_DIGESTS
from ecgframe.recording import Recorder
from ecgframe.server import attesting
from ecgframe.signing import Attester
from ecgframe.tools.frame_stream import FrameStream
from ecgframe.tools.verification import verify_frames

pytest.importorskip("cryptography")

BEGIN = 1_800_000_000.0
DATA, ALERT = MessageType.ECG_DATA, MessageType.ANOMALY_ALERT


def ecg(second, step):
    signal = np.full((2, 12), 10 * second + step, "int16")
    return {"signal": signal, "sampling_rate": 120, "timestamp": BEGIN + second + step / 10}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A recording of three seconds, attested once a second, with one signed alert, to the last attestation."""
    path = tmp_path_factory.mktemp("signed") / "bed.frames"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attesting, "ATTESTING_SECONDS", 1e6)
        run(record(path))
    return path.read_bytes()


async def record(path):
    handler = signing_handler()
    async with serving(handler) as url:
        recorder = Recorder(url, [STREAM], path, signatures=True, versions=(1, 2, 3, 4))
        task = asyncio.create_task(recorder.run())
        while handler.stats()["streams"].get(STREAM, {}).get("viewers") != 1:
            await asyncio.sleep(0.005)
        for second in range(3):
            for step in range(10):
                await handler.publish(STREAM, DATA, ecg(second, step))
            if second == 1:
                await handler.publish(STREAM, ALERT, alert(timestamp=BEGIN + 1.95))
            for stream in handler._streams:
                stream.attestations.attest(time.time_ns() // 1000, asyncio.get_running_loop().time(), last=second == 2)
        while recorder.summaries[0].attestations < 3:
            await asyncio.sleep(0.005)
        await handler.close()
        task.cancel()
        await asyncio.wait([task])
        assert recorder.summaries[0].signatures == 1
        assert recorder.summaries[0].samples == 360


def frames_of(octets):
    return [bytes(stretch.octets) for stretch in FrameStream(io.BytesIO(octets)).stretches()]


def verified(octets, *signers):
    return verify_frames(io.BytesIO(octets), [one.public for one in signers or (SIGNER,)])


def seconds(found):
    """The kinds of faults, each with the second in which it is."""
    return {(fault.kind, None if fault.time is None else int(fault.time - BEGIN)) for fault in found.faults}


def _with(frame, payload):
    return frame[:7] + crc32(payload).to_bytes(4, "big") + frame[11:32] + bytes(payload)


def is_record(frame):
    return frame[1] == DATA and frame[19] & 4


def test_a_whole_recording(recording):
    found = verified(recording)
    assert found.is_whole, found.faults
    [proof] = found.streams
    assert (proof.stream, proof.messages, proof.signed, proof.attested) == (STREAM, 32, 1, 31)
    assert (proof.attestations, proof.signers, proof.is_ended) == (3, [SIGNER.name.hex()], True)
    assert (proof.begins, proof.ends) == (BEGIN, BEGIN + 2.9)
    assert found.before == 0


@pytest.mark.slow
def test_every_bit_of_a_payload_counts(recording):
    frames = frames_of(recording)
    kinds = set()
    for index, frame in enumerate(frames):
        if not index:
            continue  # the opening is not signed, but its stream and epoch are in all signatures
        for at in range(0, len(frame) - 32, 7):
            changed = [*frames]
            changed[index] = _with(frame, _flipped(frame[32:], at))
            found = verified(b"".join(changed))
            assert not found.is_whole, (index, at)
            kinds |= {fault.kind for fault in found.faults}
    assert {"changed", "signature"} <= kinds


def _flipped(payload, at):
    return bytes(payload[:at]) + bytes([payload[at] ^ 1]) + bytes(payload[at + 1 :])


def test_a_changed_sample_is_named_by_its_second(recording):
    frames = frames_of(recording)
    places = [index for index, frame in enumerate(frames) if is_record(frame)]
    index = places[14]
    frames[index] = _with(frames[index], _flipped(frames[index][32:], -1 % (len(frames[index]) - 32)))
    found = verified(b"".join(frames))
    assert seconds(found) == {("changed", 1)}
    [fault] = found.faults
    assert (fault.frame, fault.offset) == (index + 1, sum(map(len, frames[:index])))


def test_a_bit_without_a_new_checksum_is_damage(recording):
    frames = frames_of(recording)
    octets = bytearray(recording)
    octets[sum(map(len, frames[:20])) + 40] ^= 1
    found = verified(bytes(octets))
    assert ("damaged", 1) in seconds(found)
    assert not found.is_whole


@pytest.mark.parametrize("which", [0, 5, 14, 25])
def test_a_removed_frame_is_missed(recording, which):
    frames = frames_of(recording)
    places = [index for index, frame in enumerate(frames) if is_record(frame)]
    del frames[places[which]]
    found = verified(b"".join(frames))
    assert not found.is_whole
    assert "missing" in {fault.kind for fault in found.faults}
    assert abs(min(second for kind, second in seconds(found) if kind == "missing") - which // 10) <= 1


def test_a_removed_frame_is_missed_even_if_the_others_are_numbered_anew(recording):
    frames = frames_of(recording)
    places = [index for index, frame in enumerate(frames) if is_record(frame)]
    del frames[places[14]]
    numbered = [
        frame[:24] + (int.from_bytes(frame[24:32], "big") - (index >= places[14])).to_bytes(8, "big") + frame[32:]
        for index, frame in enumerate(frames)
    ]
    assert ("missing", 1) in seconds(verified(b"".join(numbered)))


def test_swapped_frames_are_out_of_order(recording):
    frames = frames_of(recording)
    places = [index for index, frame in enumerate(frames) if is_record(frame)]
    one, two = places[12], places[13]
    frames[one], frames[two] = frames[two], frames[one]
    assert ("order", 1) in seconds(verified(b"".join(frames)))
    # Their numbers may be swapped as well.
    first, second = frames[one], frames[two]
    frames[one] = first[:24] + second[24:32] + first[32:]
    frames[two] = second[:24] + first[24:32] + second[32:]
    assert seconds(verified(b"".join(frames))) == {("order", 1)}


def test_repeated_frames_are_reported(recording):
    frames = frames_of(recording)
    alert = next(frame for frame in frames if frame[1] == ALERT)
    assert "order" in {fault.kind for fault in verified(b"".join([*frames, alert])).faults}
    again = [*frames, frames[0], frames[-1]]  # the opening, and the last attestation
    assert "order" in {fault.kind for fault in verified(b"".join(again)).faults}


def test_a_removed_attestation_is_missed(recording):
    frames = frames_of(recording)
    places = [index for index, frame in enumerate(frames) if frame[1] == 0x24]
    del frames[places[1]]
    kinds = {fault.kind for fault in verified(b"".join(frames)).faults}
    assert "missing" in kinds


@pytest.mark.parametrize("left", [1, 5, 12])
def test_a_cut_end_is_told(recording, left):
    frames = frames_of(recording)
    found = verified(b"".join(frames[:-left]))
    assert not found.is_whole
    assert ("cut", 2) in seconds(found) or ("cut", 1) in seconds(found)


def test_the_key_of_another(recording):
    found = verified(recording, OTHER)
    assert not found.is_whole
    assert {fault.kind for fault in found.faults} == {"signer", "unsigned"}
    assert found.streams[0].attested == found.streams[0].signed == 0


def test_no_signature_at_all(tmp_path):
    plain = tmp_path / "plain.frames"
    plain.write_bytes(ecgframe.encode(DATA, ecg(0, 0)) * 3)
    assert {fault.kind for fault in verified(plain.read_bytes()).faults} == {"unsigned"}
    assert {fault.kind for fault in verified(b"").faults} == {"unsigned"}
    assert {fault.kind for fault in verified(b"x" * 5000).faults} == {"damaged", "unsigned"}


def test_signatures_removed(recording):
    frames = [frame for frame in frames_of(recording) if frame[1] != 0x24 and not frame[2] & 0x40]
    found = verified(b"".join(frames))
    assert not found.is_whole
    assert "unsigned" in {fault.kind for fault in found.faults}


def test_the_command(recording, tmp_path):
    path = tmp_path / "bed.frames"
    path.write_bytes(recording)
    key = SIGNER.public.hex()
    told = invoke("verify", path, "--signer", key).output
    assert "32 of 32 messages proven" in told
    assert SIGNER.name.hex() in told
    assert told.endswith("whole: nothing is changed and nothing is missing\n")
    plain = json.loads(invoke("verify", path, "--signer", key, "--json").stdout)
    assert (plain["whole"], plain["streams"][0]["attested"], plain["faults"]) == (True, 31, [])
    path.write_bytes(recording[:-40])
    told = invoke("verify", path, "--signer", key, code=3).output
    assert "2027-01-15T08:00:02" in told
    assert told.endswith("NOT proven: see above\n")
    path.write_bytes(b"".join(frames_of(recording)[:-11]))
    assert "open after them" in invoke("verify", path, "--signer", key, code=3).output
    path.write_bytes(recording[:-40])
    keys = tmp_path / "keys.txt"
    keys.write_text(f"# bed 7\n{key}\n")
    plain = json.loads(invoke("verify", path, "--signer", keys, "--json", code=3).stdout)
    assert {fault["kind"] for fault in plain["faults"]} == {"cut", "damaged"}
    assert plain["faults"][0]["at"].startswith("2027-01-15T08:00:02")
    for arguments, code in (((path,), 2), ((path, "--signer", "12"), 2), ((tmp_path / "no", "--signer", key), 1)):
        assert "Traceback" not in invoke("verify", *arguments, code=code).output


@pytest.mark.slow
def test_hostile_files_cost_bounded_time_and_memory():
    """Claims of many digests, streams and templates are bounded."""
    attester = Attester(SIGNER, "s", 5)
    for number in range(MAX_DIGESTS):
        attester.add_digest(number.to_bytes(32))
    opening = build_frame(4, 0x23, 0, 0, ecgframe.pack({"template": 0, "stream": "s", "epoch": 5}), 0, 1, 0)
    many = build_frame(4, 0x24, 0, 0, attester.attest(), 0, 1, 2)
    found = verified(opening + many)
    assert found.before == MAX_DIGESTS
    data = ecgframe.pack({"features": {}, "timestamp": 1.0})
    flood = b"".join(build_frame(4, 4, 0, 0, data, 0, 1, number) for number in range(1, 3 * MAX_DIGESTS))
    assert not verified(opening + flood).is_whole
    jumps = b"".join(build_frame(4, 4, 0, 0, data, 0, 1, number * 2**40) for number in range(1, 2000))
    found = verified(opening + jumps)
    assert (len(found.faults), found.more_faults > 0) == (1000, True)
    openings = b"".join(
        build_frame(4, 0x23, 0, 0, ecgframe.pack({"template": 0, "stream": "s", "epoch": id}), 0, id, 0)
        for id in range(1, 1300)
    )
    found = verified(openings)
    assert (len(found.streams), len(found.faults)) == (1000, 299)


@pytest.mark.slow
def test_any_bytes_are_judged_without_an_exception(recording):
    """Bytes changed, doubled and swapped at random, with checksums that fit: nothing but faults comes of it."""
    random = np.random.default_rng(0)
    frames = frames_of(recording)
    for _ in range(300):
        changed = [*frames]
        for _ in range(random.integers(1, 4)):
            place, other = random.integers(0, len(changed), 2)
            frame = changed[place]
            match random.integers(0, 5):
                case 0:
                    changed[place] = _with(frame, _flipped(frame[32:], random.integers(0, len(frame) - 32)))
                case 1:
                    at = random.integers(0, 32)
                    changed[place] = frame[:at] + bytes([frame[at] ^ (1 << random.integers(0, 8))]) + frame[at + 1 :]
                case 2:
                    changed[place] = _with(frame, random.bytes(random.integers(1, 200)))
                    changed[place] = frame[:3] + (len(changed[place]) - 32).to_bytes(4, "big") + changed[place][7:]
                case 3:
                    changed[place], changed[other] = changed[other], changed[place]
                case _:
                    changed.insert(place, changed[other])
        if verified(b"".join(changed)).is_whole:  # only what is not signed may have changed: fields of headers
            assert payloads(changed) == payloads(frames)


def payloads(frames):
    """Types and payloads of the messages that have a number."""
    return sorted((frame[1], frame[32:]) for frame in frames if any(frame[24:32]))
