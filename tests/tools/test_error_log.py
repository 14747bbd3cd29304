from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
from recordings import optional
from running import run

from ecgframe import Codec, InvalidDataFormat, MessageType, PermissionDenied, ProtocolError, RateLimitExceeded, encode
from ecgframe.protocol import ErrorCode
from ecgframe.tools import ToolError
from ecgframe.tools.error_log import ErrorLog
from ecgframe.tools.error_report import ADVICE, read_error_log

PEER = SimpleNamespace(id="c1", peer="10.0.0.7:5000", version=3)
PING = encode(MessageType.PING, {"patient": "Anna"}, timestamp=5)
BROKEN = bytes([*PING[:-1], PING[-1] ^ 1])


def refused(octets, **options):
    """Return the error that a codec raises for the bytes."""
    with pytest.raises(ProtocolError) as error:
        Codec(**options).decode(octets)
    return error.value


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "errors.jsonl"


def logged(path, error, message, **options):
    with ErrorLog(path, **options) as log:
        log(PEER, error, message)
    [line] = lines_of(path)
    return line


def test_a_line_has_the_header_and_no_payload(path):
    line = logged(path, refused(BROKEN), BROKEN)
    assert abs(line.pop("time") - time.time()) < 10
    assert line == {
        "code": 0x101,
        "name": "CHECKSUM_MISMATCH",
        "check": 7,
        "offset": 7,
        "connection": "c1",
        "peer": "10.0.0.7:5000",
        "version": 3,
        "nbytes": len(BROKEN),
        "frame": 1,
        "header": {
            "version": 3,
            "type": "PING",
            "flags": [],
            "length": len(BROKEN) - 19,
            "checksum": int.from_bytes(BROKEN[7:11], "big"),
            "timestamp": 5,
        },
        "bytes": BROKEN[:19].hex(),
    }
    assert "Anna" not in path.read_text()


def test_the_payload_is_kept_where_that_is_asked_for(path):
    line = logged(path, refused(BROKEN), BROKEN, payload=True)
    assert line["bytes"] == BROKEN[:64].hex()
    assert "CRC-32" in line["message"]
    assert b"patient".hex() in line["bytes"]


def test_a_path_ends_where_the_peers_own_names_begin(path):
    message = encode(MessageType.FEATURE_DATA, {"features": {"Anna": "x"}})
    error = refused(message, validate=True)
    assert error.path == 'data["features"]["Anna"]'
    line = logged(path, error, message)
    assert line["path"] == 'data["features"]'
    assert "Anna" not in json.dumps(line)
    path.unlink()
    assert logged(path, error, message, payload=True)["path"] == error.path


def test_the_frame_at_fault_is_found_in_a_batch(path):
    line = logged(path, refused(BROKEN), PING + PING + BROKEN + PING)
    assert (line["frame"], line["nbytes"], line["bytes"]) == (3, 4 * len(PING), BROKEN[:19].hex())


@pytest.mark.parametrize(
    ("error", "message", "fields"),
    [
        (PermissionDenied("no"), None, {}),
        (InvalidDataFormat("text"), "hällo", {"nbytes": 6, "text": True}),
        (refused(b""), b"", {"nbytes": 0, "frame": 1, "header": {}, "bytes": ""}),
        (refused(BROKEN), PING, {"nbytes": len(PING)}),
    ],
)
def test_errors_of_other_kinds(path, error, message, fields):
    line = logged(path, error, message)
    common = {"time", "code", "name", "check", "offset", "connection", "peer", "version"}
    assert {name: value for name, value in line.items() if name not in common} == fields


def test_errors_above_the_rate_are_not_unpacked(path):
    line = logged(path, RateLimitExceeded("slower"), PING)
    assert (line["header"]["type"], line["bytes"]) == ("PING", PING[:19].hex())


def test_files_are_rotated(path):
    with ErrorLog(path, file_bytes=2000, files_kept=2) as log:
        for _ in range(40):
            log(PEER, refused(BROKEN), BROKEN)
    assert sorted(one.name for one in path.parent.iterdir()) == [
        "errors.jsonl",
        "errors.jsonl.1",
        "errors.jsonl.2",
    ]
    assert all(one.stat().st_size <= 2000 for one in path.parent.iterdir())
    [group] = read_error_log(path).groups
    assert 3 < group.count < 40


# --- on a handler ---


@pytest.mark.slow
def test_a_handler_writes_what_its_peers_are_answered(path):
    websockets = optional("websockets")
    from ecgframe.server import WebSocketBinaryHandler
    from ecgframe.server.adapters.websockets import serve

    async def denied(connection, action, stream):
        return False

    async def talk():
        with ErrorLog(path) as log:
            handler = WebSocketBinaryHandler(on_error=log, authorize=denied)
            async with handler, serve(handler, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                async with websockets.connect(f"ws://127.0.0.1:{port}") as client:
                    await client.recv()  # the offer
                    for message in (
                        BROKEN,
                        "text",
                        encode(MessageType.SUBSCRIBE, {"stream": "ecg/1"}),
                        encode(MessageType.SUBSCRIBE, {}),
                        encode(MessageType.ECG_DATA, {"stream": "ecg/1"}),
                    ):
                        await client.send(message)
                        await client.recv()  # what is answered is in the log
                    await client.send(b"\x05" * 20)
                    with suppress(websockets.ConnectionClosedError):
                        async for _ in client:
                            pass

    run(talk())
    lines = lines_of(path)
    checked = sorted((line["code"], line["check"]) for line in lines if line["check"])
    assert checked == [(0x100, 2), (0x101, 7), (0x201, 12)]
    assert sorted(line["code"] for line in lines if not line["check"]) == [0x200, 0x203, 0x203]
    assert len({line["connection"] for line in lines}) == 1
    assert {line["peer"].partition(":")[0] for line in lines} == {"127.0.0.1"}


@pytest.mark.slow
def test_a_log_that_fails_costs_nobody(caplog):
    websockets = optional("websockets")
    from ecgframe.server import WebSocketBinaryHandler
    from ecgframe.server.adapters.websockets import serve

    def fail(*_):
        raise OSError("the disk is full of Anna")

    async def talk():
        handler = WebSocketBinaryHandler(on_error=fail)
        async with handler, serve(handler, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with websockets.connect(f"ws://127.0.0.1:{port}") as client:
                await client.recv()
                await client.send(BROKEN)
                assert (await client.recv())[1] == MessageType.ERROR
                await client.send(PING)
                assert (await client.recv())[1] == MessageType.PONG
            await asyncio.sleep(0)

    run(talk())
    assert "on_error failed: OSError" in caplog.text
    assert "Anna" not in caplog.text


# --- the report ---


def test_errors_are_grouped(path):
    other = SimpleNamespace(id="c2", peer="10.0.0.8:6000", version=1)
    with ErrorLog(path) as log:
        for _ in range(3):
            log(PEER, refused(BROKEN), BROKEN)
        log(other, refused(BROKEN), BROKEN)
        log(other, refused(encode(0x20, {}), validate=True), encode(0x20, {}))
    report = read_error_log(path)
    assert (report.count, report.strangers) == (5, 0)
    first, second = report.groups
    assert (first.code, first.count, dict(first.peers)) == (0x101, 4, {"10.0.0.7": 3, "10.0.0.8": 1})
    assert (dict(first.checks), dict(first.types)) == ({7: 4}, {"PING": 4})
    assert first.first <= first.last == first.latest["time"]
    assert dict(second.fields) == {"data": 1}
    assert first.advice is ADVICE[ErrorCode.CHECKSUM_MISMATCH]


def test_every_code_has_advice():
    assert ADVICE.keys() == set(ErrorCode)


def test_strange_lines_are_counted(path):
    path.write_text('nonsense\n[1]\n{"code": "x"}\n\n{"code": 999}\n')
    report = read_error_log(path)
    assert (report.strangers, [group.code for group in report.groups]) == (3, [999])
    assert report.groups[0].advice is None


def test_a_file_of_something_else(path):
    path.write_text("hello\n")
    with pytest.raises(ToolError, match="not an error log"):
        read_error_log(path)
    path.write_text("")
    assert read_error_log(path).groups == []
