"""The dissector compared with ``inspect`` on the same bytes: frames, fields and error codes."""

from __future__ import annotations

import io
import json
import re
import zlib
from pathlib import Path

import numpy as np
import oracle
import pytest
from cli.live_server import live
from running import run
from tools.captures import Connection, capture
from tools.tshark import Tshark, assert_alike, examined, tcpdump

from ecgframe import Codec, Flag, MessageType, ProtocolError, connect, encode
from ecgframe._core import build_frame
from ecgframe.frame_file import ecg_messages
from ecgframe.protocol import HEADER_SIZES, SEAL_OVERHEAD, ErrorCode, Form
from ecgframe.records import shipped_ecg
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve
from ecgframe.session import Settings
from ecgframe.tools import dissector as module
from ecgframe.tools.capture.pcap import read_capture
from ecgframe.tools.capture.pcap_file import PcapWriter
from ecgframe.tools.capture.wireshark_export import Recorder
from ecgframe.tools.dissector import data_fields, dissector, plugin_folder
from ecgframe.tools.observation import Delivery, Origin
from ecgframe.tools.record_coder import RecordCoder

VECTORS = Path(__file__).parents[1] / "vectors"
RECORD = bytes.fromhex("00010100 00000004 00060ef981a90fd0 08c8d0dcec 03ed00")
SIGNAL = {"signal": [0.25] * 500, "sampling_rate": 250, "stream": "ecg/1"}


@pytest.fixture(scope="module")
def tshark(tmp_path_factory):
    return Tshark(tmp_path_factory.mktemp("wireshark"))


# --- the text ---


def test_all_tables_are_filled_in():
    text = dissector("1.2.3")
    assert not re.search("@[A-Z_]+@", text)
    assert "(ecgframe 1.2.3)" in text
    for one in MessageType:
        assert f'[{int(one)}] = "{one.name}"' in text
    for code in set(re.findall(r"0x[12]0[0-9a-f]\b", text)):
        assert int(code, 16) in {int(one) for one in ErrorCode}, code
    assert "signal" in data_fields()
    assert "heartbeat_interval" in data_fields()


def test_the_folder_is_where_wireshark_says(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_said_by", lambda program: f"Personal Lua Plugins:\t{tmp_path}/here \nGlobal: x")
    monkeypatch.setattr(module.shutil, "which", lambda name: name)
    assert plugin_folder() == tmp_path / "here"


def test_the_folder_without_wireshark(monkeypatch, tmp_path):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert plugin_folder() == tmp_path / ".local/lib/wireshark/plugins"
    monkeypatch.setenv("APPDATA", str(tmp_path))
    monkeypatch.setattr(module.sys, "platform", "win32")
    assert plugin_folder() == tmp_path / "Wireshark/plugins"
    assert module._said_by(str(tmp_path / "nothing")) == ""


def test_wireshark_tells_its_folder(tshark):
    assert "Personal Lua Plugins" in module._said_by(tshark.path)


# --- the same bytes ---


@pytest.mark.slow
def test_all_vectors_get_the_same_verdict(tshark, tmp_path):
    """Each frame is a record of a recording, so that no other dissector of Wireshark is involved."""
    vectors = json.loads((VECTORS / "refused.json").read_text()) + json.loads((VECTORS / "frames.json").read_text())
    in_v4 = json.loads((VECTORS / "v4.json").read_text())
    vectors += [vector for kind in in_v4.values() for vector in kind]
    vectors = {
        one["name"]: bytes.fromhex(one.get("frame") or one.get("frames") or "")
        for one in vectors
        if "max_payload" not in one
        and one["name"] != "version 4"  # to a reader of versions 1 to 3
        and not one["name"].startswith(("inflates past the default limit", "payload: too many"))
    }  # Wireshark takes seconds for each of those
    vectors = {name: octets for name, octets in vectors.items() if octets}
    with (tmp_path / "vectors.pcap").open("wb") as file:
        recorder = Recorder(file)
        for number, octets in enumerate(vectors.values()):
            recorder.write(Delivery(octets, Origin(number, "127.0.0.1:5000", "127.0.0.1:8765", bool(number % 2))))
    verdicts = {
        name: [
            one.check for one in Codec().decode_each(octets) if isinstance(one, ProtocolError) and is_told(one, octets)
        ]
        for name, octets in vectors.items()
    }
    lines = tshark.frames(tmp_path / "vectors.pcap")
    assert len(lines) == len(verdicts) > 1000
    differ = {
        name
        for (name, checks), line in zip(verdicts.items(), lines, strict=True)
        if "|".join(map(str, checks)) != line["ecgframe.error.check"]
    }
    # The dissector says of itself that it does not judge wrappers; and Wireshark inflates the first of two streams.
    differ = {name for name in differ if not name.startswith("lie: ")}
    # A codec refuses signed frames unread (check 14), and the dissector reads the payloads of these, which are damaged.
    damaged = {f"V4 {name}" for name in ("header: signed", "signed", "signed and compressed")}
    damaged.add("V4 two faults: signed and a damaged stream")
    assert differ == {"stream: two streams v2", "stream: two streams v3"} | damaged


def is_told(error, octets):
    """Return True if the dissector makes the check: neither of fields, nor of templates, seals and signatures."""
    if error.check == 8:
        return len(octets) < HEADER_SIZES[3] + SEAL_OVERHEAD
    return error.check not in (12, 14) and "is not known: its STREAM_TEMPLATE" not in str(error)


def test_sealed_and_signed_frames(tshark, tmp_path):
    """They are shown as such, and are no errors: Wireshark has neither keys nor signers."""
    pytest.importorskip("cryptography")
    from tools.test_signed_frames import SIGNER, signed_alert

    payload = bytes(range(16)) + bytes(40)
    sealed = build_frame(4, 1, 0x02, 0, payload, 0, 7, 1)
    connection = Connection().open()
    for octets in (sealed, bytes(signed_alert()), build_frame(4, 1, 0x02, 0, bytes(31), 0, 7, 1)):
        connection.send(octets)
    path = tmp_path / "sealed.pcap"
    path.write_bytes(capture(connection.packets))
    names = ["sealed.key", "sealed.sender", "sealed.counter", "signer", "data.kind", "error.check"]
    wanted = [word for name in names for word in ("-e", f"ecgframe.{name}")]
    lines = [line.split("\t") for line in tshark.run(path, "-Y", "ecgframe", "-T", "fields", *wanted).splitlines()]
    sender = bytes(range(4, 12)).hex()
    assert lines == [
        ["66051", sender, str(0x0C0D0E0F), "", "", ""],
        ["", "", "", SIGNER.name.hex(), "asystole", ""],
        ["", "", "", "", "", "8"],
    ]
    columns = tshark.run(path, "-Y", "ecgframe", "-T", "fields", "-e", "_ws.col.Info").splitlines()
    assert columns[0] == "ECG_DATA (sealed) #7/1"


def test_sealed_frames_are_opened_with_keys(tshark, tmp_path):
    """Where the Lua of Wireshark has a cipher (since 4.6); elsewhere it is said that there is none."""
    pytest.importorskip("cryptography")
    from ecgframe.seal import Key, Sealer

    stream = 'ecg/bed 7 µ \U0001fac0 "{}'
    key, other = Key(9, stream, bytes(range(32))), Key(10, stream, bytes(32))
    sealer = Sealer(key)
    codec = Codec(version=4, ndarray="binary")
    signed_bits = int(Flag.SIGNED)
    alert = codec.encode_frame(
        MessageType.ANOMALY_ALERT, {"kind": "asystole", "timestamp": 1.5}, stream_id=7, sequence=1
    )
    packed = alert.frame[HEADER_SIZES[4] :]
    large = b"\xdb" + (80_000).to_bytes(4, "big") + b"a" * 80_000
    deflated = zlib.compress(packed)
    trailer = bytes(range(72))
    cases = [
        (4, 2, 0, 0, packed),
        (4, 1, 0, int(Form.RECORD), RECORD),
        (4, 2, signed_bits, 0, packed + trailer),
        (4, 2, int(Flag.COMPRESSED), 0, deflated),
        (3, 2, int(Flag.PRIORITY), 0, packed),
        (4, 2, 0, 0, b""),
        (4, 2, 0, 0, large),
    ]
    frames = [
        build_frame(
            version,
            type,
            flags | Flag.ENCRYPTED,
            0,
            sealer.seal(payload, version=version, type=type, flags=flags, form=form),
            form,
            *((7, number) if version == 4 else (0, 0)),
        )
        for number, (version, type, flags, form, payload) in enumerate(cases, 1)
    ]
    changed = bytearray(sealer.seal(packed, version=4, type=2))
    changed[20] ^= 1
    frames.append(build_frame(4, 2, Flag.ENCRYPTED, 0, bytes(changed), 0, 7, 20))
    frames.append(build_frame(4, 2, Flag.ENCRYPTED, 0, Sealer(other).seal(packed, version=4, type=2), 0, 7, 21))
    with (tmp_path / "sealed.pcap").open("wb") as file:
        recorder = Recorder(file)
        for number, octets in enumerate(frames):
            recorder.write(Delivery(octets, Origin(number, "127.0.0.1:5000", "127.0.0.1:8765", True)))
    path = tmp_path / "keys.json"
    path.write_text(json.dumps([{"stream": stream, "id": 9, "key": key.secret.hex(), "begins": 1.5}]))
    names = ["data.kind", "record.count", "signer", "error.check", "sealed.not_opened"]
    wanted = [word for name in names for word in ("-e", f"ecgframe.{name}")]

    def shown(*options):
        output = tshark.run(tmp_path / "sealed.pcap", *options, "-Y", "ecgframe", "-T", "fields", *wanted)
        return [line.split("\t") for line in output.splitlines()]

    without = shown()
    assert {line[-1] for line in without} == {"no file of keys is set (preferences, protocol ecgframe)"}
    found = shown("-o", f"ecgframe.keys:{path}")
    if "has no cipher" in found[0][-1]:
        assert tshark.version < (4, 6)
        assert {line[-1] for line in found} == {
            "this Wireshark has no cipher for its plugins; 4.6 has",
            "the file of keys has no key 10",
        }
        return
    assert found == [
        ["asystole", "", "", "", ""],
        ["", "4", "", "", ""],
        ["asystole", "", bytes(range(8)).hex(), "", ""],
        ["asystole", "", "", "", ""],
        ["asystole", "", "", "", ""],
        ["", "", "", "", ""],
        ["", "", "", "", ""],
        ["", "", "", "8", ""],
        ["", "", "", "", "the file of keys has no key 10"],
    ]
    for text, why in (("[]", "has none"), ('[{"stream": "a", "id": 9, "key": "12"}]', "not whole")):
        path.write_text(text)
        assert all(why in line[-1] for line in shown("-o", f"ecgframe.keys:{path}"))
    assert all("cannot be read" in line[-1] for line in shown("-o", f"ecgframe.keys:{tmp_path / 'nothing'}"))


def test_a_header_of_version_4(tshark, tmp_path):
    template = {"template": 1, "stream": "ecg/1", "dtype": "int16", "rows": 2, "fields": {"sampling_rate": 500}}
    place = {"version": 4, "stream_id": 7}
    frames = [
        encode(MessageType.STREAM_TEMPLATE, template, sequence=2**53 - 1, form=Form.BULK, **place),
        encode(MessageType.ECG_DATA, RECORD, sequence=57, form=Form.RECORD, **place),
        encode(MessageType.PING, None, version=4),
    ]
    signed = bytes([*frames[2][:2], 0x40, *frames[2][3:]])
    reserved = bytes([*frames[2][:19], 0x08, *frames[2][20:]])
    connection = Connection().open()
    for frame in (*frames, signed, signed[:2] + b"\x20" + signed[3:], reserved):
        connection.send(frame)
    path = tmp_path / "v4.pcap"
    path.write_bytes(capture(connection.packets))
    names = ["form", "form.record", "form.bulk", "form.algorithm", "stream", "sequence", "error", "error.check"]
    names += ["record.template", "record.filter", "record.count", "record.time_us", "data.stream", "flags.signed"]
    wanted = [word for name in names for word in ("-e", f"ecgframe.{name}")]
    lines = [line.split("\t") for line in tshark.run(path, "-Y", "ecgframe", "-T", "fields", *wanted).splitlines()]
    found = [
        {name: cell for name, cell in zip(names, line, strict=True) if cell not in ("0", "False")} for line in lines
    ]
    # What is set is 1; True since Wireshark 4.2.
    found = [{name: "1" if cell == "True" else cell for name, cell in line.items() if cell} for line in found]
    largest = str(2**53 - 1)
    assert found == [
        {"form": "0x10", "form.bulk": "1", "stream": "7", "sequence": largest, "data.stream": "ecg/1"},
        {
            **{"form": "0x04", "form.record": "1", "stream": "7", "sequence": "57"},
            **{"record.template": "1", "record.filter": "1", "record.count": "4"},
            "record.time_us": "1705314645250000",
        },
        {"form": "0x00"},
        {"form": "0x00", "error": "0x0200", "error.check": "11", "flags.signed": "1"},
        {"form": "0x00", "error": "0x0200", "error.check": "13"},
        {"form": "0x08", "error": "0x0200", "error.check": "6"},
    ]
    text = tshark.run(path, "-Y", "ecgframe.form.record == 1", "-V")
    assert "Form: 0x04" in text
    assert "Filter: delta (1)" in text
    assert "Info" not in text
    columns = tshark.run(path, "-Y", "ecgframe", "-T", "fields", "-e", "_ws.col.Info").splitlines()
    assert columns[:3] == ["STREAM_TEMPLATE ecg/1", "ECG_DATA #7/57", "PING"]


def test_zstd_is_named_and_lz4_is_inflated(tshark, tmp_path):
    """Wireshark inflates zstd from 4.4 on; before that, only what the first bytes show is refused."""
    vectors = json.loads((VECTORS / "v4-compression.json").read_text())
    accepted = [vector for vector in vectors["accepted"] if vector["algorithm"] == 2 or "text" in vector["name"]]
    wrong = {"zstd: nothing", "zstd: a skippable frame"}
    refused = [vector for vector in vectors["refused"] if vector["algorithm"] == 2 or vector["name"] in wrong]
    connection = Connection().open()
    for vector in (*accepted, *refused):
        payload, form = bytes.fromhex(vector["payload"]), vector["algorithm"]
        connection.send(oracle.frame(4, 0x04, oracle.COMPRESSED, payload, 9, form=form, stream=7, sequence=1))
    path = tmp_path / "compressed.pcap"
    path.write_bytes(capture(connection.packets))
    names = ["form.algorithm", "compressed_by", "inflated", "error.check"]
    wanted = [word for name in names for word in ("-e", f"ecgframe.{name}")]
    lines = tshark.run(path, "-Y", "ecgframe", "-T", "fields", *wanted).splitlines()
    found = [line.split("\t") for line in lines]
    names = {1: "ZSTD", 2: "LZ4"}
    for vector, line in zip(accepted, found[: len(accepted)], strict=True):
        algorithm = vector["algorithm"]
        size = str(vector["nbytes"])
        assert line[:2] == [str(algorithm), names[algorithm]], vector["name"]
        assert line[2] in ({size} if algorithm == 2 else {"", size}), vector["name"]
        assert line[3] in ("", "11", "12"), vector["name"]  # the text inside may be no map
    checks = {vector["name"]: line[3] for vector, line in zip(refused, found[len(accepted) :], strict=True)}
    assert checks == {vector["name"]: str(vector["check"]) for vector in refused}
    text = tshark.run(path, "-Y", 'ecgframe.compressed_by == "LZ4"', "-V")
    assert "lead III, lead aVF" in text
    assert "compressed with ZSTD" in tshark.run(path, "-Y", 'ecgframe.compressed_by == "ZSTD"', "-V")


def test_masks_fragments_and_deflate(tshark, tmp_path):
    """Wireshark 4.0 joins messages that are both fragmented and compressed, but does not inflate them."""
    connection = Connection(deflate="permessage-deflate").open()
    frames = [encode(MessageType.ECG_DATA, SIGNAL, timestamp=time) for time in range(1, 4)]
    ping = encode(MessageType.PING, {"n": 1}, version=1)
    broken = bytes([*ping[:-1], ping[-1] ^ 1])
    connection.send(ping, "client").send(frames[0], deflated=True).send(frames[1], "client", fragments=3)
    connection.send(frames[2] + frames[0]).send(broken, "client").send(ping[:-2], "client")
    path = tmp_path / "session.pcap"
    path.write_bytes(capture(connection.packets))
    assert_alike(tshark, path)
    assert "".join(line["ecgframe.error"] for line in tshark.frames(path)) == "0x01010x0200"


def test_fragments(tshark, tmp_path):
    """Which bytes of the message a fragment has; an error only where the fragment alone is invalid."""
    cases = json.loads((VECTORS / "v4-fragments.json").read_text())
    named = {one["name"]: [bytes.fromhex(octets) for octets in one["frames"]] for one in cases}
    invalid = ["no piece", "no total", "more than the total", "a payload of 0 bytes", "a payload of 7 bytes"]
    invalid += ["of a control message, PING", "the worked fragments"]
    connection = Connection().open()
    for octets in named["three pieces, the last one short"]:
        connection.send(octets)
    for name in invalid:
        connection.send(named[name][0])
    path = tmp_path / "fragments.pcap"
    path.write_bytes(capture(connection.packets))
    names = ["fragment.total", "fragment.offset", "fragment.bytes", "error.check"]
    wanted = [word for name in names for word in ("-e", f"ecgframe.{name}")]
    lines = [line.split("\t") for line in tshark.run(path, "-Y", "ecgframe", "-T", "fields", *wanted).splitlines()]
    assert lines[:3] == [
        ["3000", offset, size, ""] for offset, size in (("0", "1024"), ("1024", "1024"), ("2048", "952"))
    ]
    assert [line[3] for line in lines[3:]] == ["13"] * len(invalid)
    columns = tshark.run(path, "-Y", "ecgframe", "-T", "fields", "-e", "_ws.col.Info").splitlines()
    assert columns[1] == "FEATURE_DATA (from byte 1024 of 3000) #7/1"


@pytest.mark.slow
def test_faults_are_expert_infos_that_can_be_filtered(tshark, tmp_path):
    ping = encode(MessageType.PING, {"n": 1}, version=1)
    faults = {
        "ecgframe.expert.checksum": bytes([*ping[:-1], ping[-1] ^ 1]),
        "ecgframe.expert.length": ping[:-1],
        "ecgframe.expert.version": b"\x09" + ping[1:],
        "ecgframe.expert.type": b"\x01\x13" + ping[2:],
        "ecgframe.expert.flags": b"\x01\x11\x01" + ping[3:],
        "ecgframe.expert.encrypted": b"\x03\x11\x02" + encode(MessageType.PING, {"n": 1})[3:],
        "ecgframe.expert.payload": bytes.fromhex("011100 00000003 d621ece1 81c0c3"),
        "ecgframe.expert.inflate": b"\x02\x11\x01" + encode(MessageType.PING, {"n": 1}, version=2)[3:],
    }
    connection = Connection().open()
    for octets in faults.values():
        connection.send(octets, "client")
    connection.send(b"hello", "client", opcode=1)
    path = tmp_path / "faults.pcap"
    path.write_bytes(capture(connection.packets))
    names = [*faults, "ecgframe.expert.text"]
    wanted = [word for name in names for word in ("-e", name)]
    table = [line.split("\t") for line in tshark.run(path, "-Y", "ecgframe", "-T", "fields", *wanted).splitlines()]
    assert [[bool(cell) for cell in row] for row in table] == [[one == other for other in names] for one in names]
    assert "The length lies: 3 of 4 bytes are there" in tshark.run(path, "-V", "-Y", "ecgframe.expert.length")


@pytest.mark.slow
def test_the_receivers_limit_can_be_set(tshark, tmp_path):
    frame = encode(MessageType.ECG_DATA, SIGNAL)
    path = tmp_path / "large.pcap"
    path.write_bytes(capture(Connection().open().send(frame).packets))
    assert [line["ecgframe.error.check"] for line in tshark.frames(path)] == [""]
    for limit, check in ((len(frame), "10"), (10, "4")):
        [line] = tshark.frames(path, "-o", f"ecgframe.max_payload:{limit}")
        assert (line["ecgframe.error"], line["ecgframe.error.check"]) == ("0x0102", check)


# --- a real session ---


@pytest.mark.slow
def test_a_real_session_is_seen_alike_frame_for_frame(tshark, tmp_path):
    """A session over the loopback interface, captured by tcpdump, is read by both."""
    path = tmp_path / "session.pcap"

    async def converse():
        async with WebSocketBinaryHandler() as handler, serve(handler, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with tcpdump(port, path):
                async with connect(f"ws://127.0.0.1:{port}/ws") as client, client.subscribe("ecg/1") as stream:
                    for number in range(20):
                        await handler.publish("ecg/1", MessageType.ECG_DATA, {**SIGNAL, "sequence": number})
                    alert = {"kind": "asystole", "timestamp": 1.5}
                    await handler.publish("ecg/1", MessageType.ANOMALY_ALERT, alert, Flag.PRIORITY)
                    seen = 0
                    async for _ in stream:
                        seen += 1
                        if seen == 21:
                            break

    run(converse())
    frames = examined(path)
    names = [frame.type_name for frame in frames]
    assert names.count("ECG_DATA") == 20
    assert names.count("ANOMALY_ALERT") == 1
    assert names[:2] == ["PROTOCOL_NEGOTIATION"] * 2
    assert all(frame.error is None for frame in frames)
    assert_alike(tshark, path)
    only = tshark.run(path, "-Y", 'ecgframe.data.stream == "ecg/1" && ecgframe.type == ANOMALY_ALERT', "-V")
    assert "kind: asystole" in only
    assert "PRIORITY: True" in only


# --- recordings ---


def test_a_recording_is_read_back(tmp_path):
    deliveries = [
        Delivery(b"\x01\x02", Origin(1.5, "10.0.0.1:1", "10.0.0.2:2", from_server=True)),
        Delivery(b"", Origin(2.25, "[::1]:1", "[::2]:2", from_server=False)),
    ]
    file = io.BytesIO()
    recorder = Recorder(file)
    for delivery in deliveries:
        recorder.write(delivery)
    recorder.write(Delivery(b"x", Origin(3.0, "a.name:5", None, from_server=False)))
    octets = file.getvalue()
    *found, last = read_capture(io.BytesIO(octets))
    assert found == deliveries
    assert last == Delivery(b"x", Origin(3.0, "?:5", "?:0", from_server=False))
    cut = list(read_capture(io.BytesIO(octets[:-3])))
    assert cut[:2] == deliveries


def test_records_of_others_are_left_out_and_damaged_ones_told():
    file = io.BytesIO()
    writer = PcapWriter(file, 252)
    writer.write(b"\0\x0c\0\4http\0\0\0\0GET", 1.0)
    writer.write(b"\0\x0c\0\4http", 2.0)
    writer.write(b"\0\x0c\0\x08ecgframe\0\x14\0\1\x0a\0\0\0\0x", 3.0)  # an address of one byte
    remark, delivery = read_capture(io.BytesIO(file.getvalue()))
    assert remark.text == "a record whose tags are cut short"
    assert (delivery.octets, delivery.origin.client) == (b"x", "?:0")


@pytest.mark.slow
def test_live_frames_of_version_4_have_the_size_that_compare_measures(tshark, tmp_path):
    """A whole turn of the shipped ECG, 200 frames of 50 ms, between ``serve`` and a viewer."""
    path = tmp_path / "session.pcap"

    async def watch(port):
        settings = Settings(versions=(1, 2, 3, 4))
        async with connect(f"ws://127.0.0.1:{port}/ws", settings=settings) as client:
            assert client.version == 4
            messages = client.subscribe("ecg/1")
            return [await anext(messages) for _ in range(200)]

    with live("--protocol", 4, "--whole", "--speed", 5) as server, tcpdump(server.port, path):
        received = run(watch(server.port))
    fields = ("ecgframe.type", "ecgframe.version", "ecgframe.length", "ecgframe.record.template")
    wanted = [word for field in fields for word in ("-e", field)]
    is_record = "ecgframe.form.record == 1 && !ecgframe.error"
    lines = tshark.run(path, "-d", f"tcp.port=={server.port},http", "-Y", is_record, "-T", "fields", *wanted)
    rows = [[value.split(",") for value in line.split("\t")] for line in lines.splitlines()]
    lengths = [
        int(length) for types, _, each, _ in rows for type, length in zip(types, each, strict=True) if type == "0x01"
    ][:200]
    assert len(lengths) == 200
    assert {number for _, versions, _, _ in rows for number in versions} == {"4"}
    mean = sum(lengths) / 200 + HEADER_SIZES[4]
    assert mean <= 315
    coder = RecordCoder("delta", compressed=False)
    assert mean == sum(len(coder.encode(message)) for message in ecg_messages(shipped_ecg(), 50)) / 200
    played = np.concatenate([message.data["signal"] for message in received], axis=1)
    assert sorted(played[0]) == sorted(shipped_ecg().signal[0])  # from anywhere in the turn
