"""The history on disk: what is in it after a restart, what is deleted, and what is damaged."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import time
from contextlib import asynccontextmanager

import numpy as np
import pytest
from cli.live_server import LiveServer, live

from ecgframe import MessageType
from ecgframe.client import connect
from ecgframe.frame_file import FrameFileError, read_frames
from ecgframe.seal import Key, StoredKeys
from ecgframe.server import Limits, WebSocketBinaryHandler, disk_history
from ecgframe.server.adapters.websockets import serve
from ecgframe.server.disk_history import DiskHistory, HistoryBusy, folder_of
from ecgframe.server.prometheus import Exposition
from ecgframe.server.sealing import Sealing
from ecgframe.session import Settings
from ecgframe.signing import SigningKey

ALL = (1, 2, 3, 4)
ECG, ALERT = MessageType.ECG_DATA, MessageType.ANOMALY_ALERT
STREAM = "ecg/1"
NOISE = np.random.default_rng(1).integers(-(2**15), 2**15, (2, 1000), "int16")


@asynccontextmanager
async def served(folder, *, ring_seconds=0.2, clock=None, **options):
    """A server with a history in the folder, and a client of it."""
    async with DiskHistory(folder, **options) as disk:
        handler = WebSocketBinaryHandler(
            settings=Settings(versions=ALL), limits=Limits(ring_seconds=ring_seconds), disk_history=disk, clock=clock
        )
        async with handler, serve(handler, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}/ws") as client:
                yield handler, client, disk


async def publish(handler, first, last, *, pause=0.0, stream=STREAM, samples=25):
    for n in range(first, last):
        counts = NOISE[:, :samples] | n
        await handler.publish(stream, ECG, {"signal": counts, "sampling_rate": 500, "timestamp": n / 20, "sequence": n})
        await asyncio.sleep(pause)


async def past_of(client, start=0, stop=None, stream=STREAM):
    """The sequence numbers of a history, and the number of messages that are lost."""
    history = client.history(stream, start, stop)
    found = [message async for message in history]
    return [message.data.get("sequence", message.data.get("kind")) for message in found], history.lost


def files_of(folder, stream=STREAM):
    return sorted((folder / folder_of(stream)).glob("*.frames"))


class Minutes:
    """A clock that is set forward between the messages, so that they fill several files."""

    def __init__(self):
        self.ahead = 0

    def __call__(self):
        return time.time_ns() // 1000 + self.ahead


def test_what_the_memory_does_not_have_comes_from_disk_and_both_are_one_history(tmp_path):
    async def course():
        async with served(tmp_path) as (handler, client, disk):
            await publish(handler, 0, 40, pause=0.02)
            await handler.publish(STREAM, ALERT, {"kind": "pause", "severity": "info", "timestamp": time.time()})
            await publish(handler, 40, 60, pause=0.02)
            assert handler.stats()["streams"][STREAM]["frames"] < 50
            found, lost = await past_of(client)
            assert sorted(found, key=str) == sorted([*range(60), "pause"], key=str)
            assert [each for each in found if each != "pause"] == list(range(60))
            assert lost == 0
            assert disk.written + 60 >= disk.stats()["written"] > 0
            assert "ecgframe_disk_history_written_total" in Exposition(handler).answer("")[0].decode()

    asyncio.run(course())


def test_after_a_restart_the_past_is_there_and_every_tool_reads_the_files(tmp_path):
    async def course():
        async with served(tmp_path) as (handler, _, _disk):
            await publish(handler, 0, 30)
        async with served(tmp_path) as (handler, client, _disk):
            assert await past_of(client) == (list(range(30)), 0)
            await publish(handler, 30, 50)
            assert await past_of(client) == (list(range(50)), 0)
            assert await past_of(client, stream="ecg/2") == ([], 0)

    asyncio.run(course())
    first, second = files_of(tmp_path)
    assert read_frames(first).record.signal.shape == (2, 30 * 25)
    with pytest.raises(FrameFileError, match=r"0 to 29 are missing.*--skip-broken"):
        read_frames(second)
    assert os.stat(first).st_mode & 0o077 == 0
    assert os.stat(first.parent).st_mode & 0o077 == 0


def test_a_range_over_several_files_is_asked_for_part_by_part(tmp_path):
    async def course():
        clock = Minutes()
        async with served(tmp_path, clock=clock) as (handler, client, _disk):
            times = []
            for minute in range(5):
                times.append(clock())
                await publish(handler, 10 * minute, 10 * minute + 10)
                clock.ahead += 61_000_000
            await asyncio.sleep(0.3)  # the memory forgets it
            assert await past_of(client) == (list(range(50)), 0)
            found, _ = await past_of(client, times[1], times[3] - 1)
            assert found == list(range(10, 30))
        assert len(files_of(tmp_path)) == 5

    asyncio.run(course())


def damage_middle(content):
    return content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 0xFF]) + content[len(content) // 2 + 1 :]


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (damage_middle, 1),
        (lambda content: content[:-7], 1),
        (lambda content: content[5:], 1),
        (lambda content: content + bytes(100), 1),
        (lambda content: content[:40] + os.urandom(3000) + content[40:], None),
        (lambda _: b"", 0),
        (lambda _: bytes(5000), 0),
    ],
)
def test_what_is_damaged_is_skipped_counted_and_told(tmp_path, caplog, damage, lost):
    async def course():
        clock = Minutes()
        async with served(tmp_path, clock=clock) as (handler, _, _disk):
            await publish(handler, 0, 30)
            clock.ahead += 61_000_000
            await publish(handler, 30, 60)
        first = files_of(tmp_path)[0]
        first.write_bytes(damage(first.read_bytes()))
        async with served(tmp_path, clock=clock) as (_, client, disk):
            found, told = await past_of(client)
            assert found[-30:] == list(range(30, 60))
            missing = 60 - len(found)
            if lost is None:
                assert told >= missing >= 1
            elif lost:
                assert (told, missing) == (lost, lost) or (told, missing) == (lost, 0)
            else:  # nothing of the file is there
                assert missing == 30
            assert disk.damaged == told
            assert ("damaged" in caplog.text) == (told > 0)

    asyncio.run(course())


def test_the_oldest_is_deleted_beyond_a_size_and_an_age(tmp_path, caplog):
    async def course():
        clock = Minutes()
        async with served(tmp_path, clock=clock, nbytes=100_000) as (handler, client, disk):
            for minute in range(8):
                await publish(handler, 10 * minute, 10 * minute + 10, samples=1000)
                await disk.read(STREAM, 0, 0)  # is written
                clock.ahead += 61_000_000
            on_disk = sum(path.stat().st_size for path in files_of(tmp_path))
            assert disk.nbytes == on_disk <= 100_000
            await asyncio.sleep(0.3)  # the memory forgets it
            found, _ = await past_of(client)
            assert found == list(range(80 - len(found), 80))
            assert 10 <= len(found) < 80
            assert "reaches less than" in caplog.text
        for path in files_of(tmp_path)[:-1]:
            path.rename(path.with_name(f"{int(path.stem) - 3 * 3_600_000_000}.frames"))
        async with DiskHistory(tmp_path, hours=2):
            assert len(files_of(tmp_path)) == 1

    asyncio.run(course())


def test_a_folder_is_of_one_server_and_other_files_in_it_stay(tmp_path):
    async def course():
        (tmp_path / "notes.txt").write_text("mine")
        async with DiskHistory(tmp_path):
            with pytest.raises(ValueError, match="another server"):
                DiskHistory(tmp_path)
        async with DiskHistory(tmp_path, hours=1e-9):
            assert (tmp_path / "notes.txt").read_text() == "mine"

    asyncio.run(course())


def test_a_sealed_stream_is_not_kept_which_is_logged(tmp_path, caplog):
    pytest.importorskip("cryptography")
    keys = StoredKeys([Key(9, STREAM, bytes(range(32)))])

    async def course():
        async with DiskHistory(tmp_path) as disk:
            sealing = Sealing(keyring=keys)
            handler = WebSocketBinaryHandler(settings=Settings(versions=ALL), sealing=sealing, disk_history=disk)
            async with handler:
                await publish(handler, 0, 3)
                await publish(handler, 0, 3, stream="ecg/2")
                await disk.read(STREAM, 0, 0)
            assert (disk.written, files_of(tmp_path)) == (3, [])
            assert caplog.text.count("sealed, and not kept on disk") == 1

    asyncio.run(course())


def test_a_signer_goes_with_no_history_on_disk(tmp_path):
    pytest.importorskip("cryptography")

    async def course():
        async with DiskHistory(tmp_path) as disk:
            with pytest.raises(ValueError, match="no signatures"):
                WebSocketBinaryHandler(signer=SigningKey(bytes(32)), disk_history=disk)

    asyncio.run(course())


def test_too_much_at_once_is_denied(tmp_path, monkeypatch):
    async def course():
        async with served(tmp_path) as (handler, _, disk):
            await publish(handler, 0, 10)
            pieces = []

            async def read_all():
                while piece := await disk.read(STREAM, 0, 2**62):
                    pieces.append(piece)

            with pytest.raises(HistoryBusy):
                await read_all()
            for piece in pieces:
                disk.release(piece)
            assert await disk.read(STREAM, 0, 2**62) is not None

    asyncio.run(course())


@pytest.mark.parametrize("name", ["ecg/1", "..", "a" * 255, "ü/ż", "CON", "a/../../b", "Bed", "bed"])
def test_each_stream_has_a_folder_within_the_history(tmp_path, name):
    folder = folder_of(name)
    assert (tmp_path / folder).parent == tmp_path
    assert len(folder) <= 200
    assert folder.lower() != folder_of(name.swapcase() + "x").lower()


def test_the_folders_of_names_that_differ_in_case_differ_anyway():
    assert folder_of("bed").lower() != folder_of("Bed").lower()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root mounts a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_on_a_full_disk_the_oldest_is_deleted_and_what_is_not_kept_is_counted(small_disk, caplog):
    async def course():
        clock = Minutes()
        async with served(small_disk, clock=clock) as (handler, client, disk):
            for minute in range(20):
                await publish(handler, 10 * minute, 10 * minute + 10, samples=1000)
                await disk.read(STREAM, 0, 0)
                clock.ahead += 61_000_000
            assert "the oldest history is deleted" in caplog.text
            await asyncio.sleep(0.3)
            found, lost = await past_of(client)
            assert found == list(range(200 - len(found), 200))
            assert len(found) > 20
            assert (lost, disk.dropped) == (0, 0)
            (small_disk / "filled").write_bytes(bytes(disk_free(small_disk)))
            noise = np.frombuffer(os.urandom(400_000), "int16").reshape(2, -1)
            await handler.publish(STREAM, ECG, {"signal": noise, "sampling_rate": 500, "sequence": 200})
            await disk.read(STREAM, 0, 0)
            assert disk.dropped == 1
            assert "messages are not kept" in caplog.text
            await asyncio.sleep(0.3)
            await publish(handler, 201, 202)
            found, _ = await past_of(client)
            assert found[-1] == 201

    asyncio.run(course())


def test_an_error_other_than_a_full_disk_deletes_nothing(tmp_path, caplog):
    async def course():
        async with served(tmp_path) as (handler, _, disk):
            await publish(handler, 0, 10)
            await disk.read(STREAM, 0, 0)
            (tmp_path / folder_of("ecg/2")).write_text("in the way")
            await publish(handler, 0, 3, stream="ecg/2")
            assert await disk.read("ecg/2", 0, 2**62) is None
            assert (disk.written, disk.dropped) == (10, 3)
            assert len(files_of(tmp_path)) == 1
            assert "messages are not kept" in caplog.text

    asyncio.run(course())


def test_messages_that_a_slow_disk_does_not_take_are_lost_messages_for_the_viewer(tmp_path, monkeypatch, caplog):
    async def course():
        async with served(tmp_path) as (handler, client, disk):
            await publish(handler, 0, 3)
            monkeypatch.setattr(disk_history, "MOST_WAITING", 0)
            await publish(handler, 3, 7)
            monkeypatch.undo()
            await publish(handler, 7, 10)
            assert disk.dropped == 4
            await publish(handler, 10, 13, stream="ecg/2")
            assert await past_of(client) == (list(range(10)), 0)  # the memory still has them
            await asyncio.sleep(0.3)
            await publish(handler, 10, 11)  # the memory forgets them
            assert await past_of(client) == ([0, 1, 2, 7, 8, 9, 10], 4)
            assert await past_of(client, stream="ecg/2") == ([10, 11, 12], 0)

    asyncio.run(course())
    assert [path.name.partition("-")[2] for path in files_of(tmp_path)] == ["", "4.frames"]

    async def after_a_restart():
        async with served(tmp_path) as (_, client, _):
            assert await past_of(client) == ([0, 1, 2, 7, 8, 9, 10], 4)

    asyncio.run(after_a_restart())
    assert "too slow" in caplog.text


def test_messages_that_could_not_be_written_are_lost_messages_for_the_viewer(tmp_path, monkeypatch):
    append = disk_history._append

    def failing(path, content):
        path.touch()  # the file is made, and nothing can be written to it
        raise OSError(errno.EIO, "Input/output error")

    async def course():
        async with served(tmp_path) as (handler, client, disk):
            for first, last, function in ((0, 3, append), (3, 5, failing), (5, 7, failing), (7, 9, append)):
                monkeypatch.setattr(disk_history, "_append", function)
                await publish(handler, first, last)
                await asyncio.sleep(0.3)
                await disk.read(STREAM, 0, 1)  # writes what waits
            assert disk.dropped == 4
            await publish(handler, 9, 10)
            assert await past_of(client) == ([0, 1, 2, 7, 8, 9], 4)

    asyncio.run(course())
    assert [path.name.partition("-")[2] for path in files_of(tmp_path)] == ["", "4.frames"]

    async def after_a_restart():
        async with served(tmp_path) as (_, client, _):
            assert await past_of(client) == ([0, 1, 2, 7, 8, 9], 4)

    asyncio.run(after_a_restart())


def disk_free(folder):
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


@pytest.mark.slow
def test_a_server_that_is_killed_loses_a_second_at_most(tmp_path):
    async def past(port):
        async with connect(f"ws://127.0.0.1:{port}/ws") as client:
            history = client.history(STREAM, 0)
            found = [message async for message in history if message.type is ECG]
            return [message.timestamp for message in found], history.lost

    options = ("--history", tmp_path / "kept", "--ring-seconds", 2)
    server = LiveServer(*options)
    time.sleep(8)
    before, lost = asyncio.run(past(server.port))
    killed_at = time.time()
    server.end(signal.SIGKILL)
    assert lost == 0
    assert len(before) > 100
    with live(*options) as server:
        after, lost = asyncio.run(past(server.port))
        assert lost == 0
        old = [one for one in after if one < killed_at * 1e6]
        assert old == sorted(set(old))
        assert killed_at - old[-1] / 1e6 < 2.5
        assert set(old) <= set(before) | {one for one in old if one > before[-1]}
        assert [one for one in before if one <= old[-1]] == [one for one in old if one <= before[-1]]
