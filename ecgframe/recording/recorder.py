"""Recording streams of a server over one connection, each stream into its own files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..client import Client, State
from ..errors import ProtocolError
from ..protocol import SESSION_VERSIONS
from ..records import RecordError
from ..records.wfdb_writer import check_name
from ..records.write import files_to_save
from ..session import Settings
from .file_series import FORMATS, FileSeries
from .mcap_writer import mcap_library
from .signed_frames import SignedRecorder
from .stream_recorder import Rotation, StreamRecorder, StreamSummary

if TYPE_CHECKING:
    from ..session.sealed_streams import KeptMessage

FLUSH_SECONDS: Final = 0.5
"""Interval in seconds at which the headers of WFDB are rewritten."""

LEAVING_SECONDS: Final = 3.0
"""Maximum time in seconds to wait until the server has confirmed the end of the subscriptions."""

ATTESTED_WITHIN: Final = 1.5
"""Maximum time in seconds to wait, at the end of a recording with signatures, for the next attestation."""

FOLDER_MODE: Final = 0o700

_BY_SUFFIX: Final = {suffix: form for form, suffix in FORMATS.items()}


class Recorder:
    """Records streams of one server. When ``run`` returns or raises, all files are complete.

    Args:
        url: URL of the server, ``ws://`` or ``wss://``.
        streams: names of the streams.
        output: a folder, which is created if it does not exist; or, for one stream, a file that ends in ``.edf``,
            ``.bdf``, ``.hea``, ``.mcap`` or ``.frames``.
        format: "edf", "bdf", "wfdb", "mcap" or "frames"; by default the format of the file's suffix, or "edf" in a
            folder.
        rotation: limits at which a new file is started.
        since: where to begin in the server's history: seconds ago, or a time by the server's clock; None to record
            only what is published from now on.
        patient: patient code for the headers of EDF+ and BDF+.
        signatures: whether to record messages as they came, with their signatures and attestations, so that
            ``verify_frames`` can prove the recording. The format is "frames" then, and version 4 is needed; gaps are
            not filled, and there is one file for each stream.
        overwrite: whether ``output`` may be replaced if it is a file.
        versions: protocol versions to speak.
        on_state: called with each new state of the client.
        on_error: called with each error that the server reports, and with each error in its frames.
        websockets_options: further arguments of ``ecgframe.connect``.

    Raises:
        ValueError: ``streams`` is empty or names a stream twice; or output, format or rotation is invalid.
        RecordError: the format does not allow this file name.
        MissingLibrary: the format is "mcap", and mcap is not installed.
        FileExistsError: the file exists.
        OSError: the folder cannot be created.
    """

    def __init__(
        self,
        url: str,
        streams: Sequence[str],
        output: str | os.PathLike[str],
        *,
        format: str | None = None,
        rotation: Rotation | None = None,
        since: float | datetime | None = None,
        patient: str = "",
        signatures: bool = False,
        overwrite: bool = False,
        versions: tuple[int, ...] = SESSION_VERSIONS,
        on_state: Callable[[State], object] | None = None,
        on_error: Callable[[ProtocolError], object] | None = None,
        **websockets_options: Any,
    ) -> None:
        path = Path(output)
        self._is_folder = path.is_dir() or path.suffix.lower() not in _BY_SUFFIX
        form = format or ("edf" if self._is_folder else _BY_SUFFIX[path.suffix.lower()])
        if signatures:
            form = format or ("frames" if self._is_folder else form)
            _check_signatures(form, rotation, versions)
        _check(streams, path, form, rotation, is_folder=self._is_folder, overwrite=overwrite)
        if self._is_folder:
            path.mkdir(FOLDER_MODE, exist_ok=True)
        self._since = since
        self._is_open = False
        self._ending = asyncio.Event()
        series = [
            FileSeries(stream, path, form, is_folder=self._is_folder, patient=patient, overwrite=overwrite)
            for stream in streams
        ]
        self._signed = {
            stream: SignedRecorder(stream, one.next_path)
            for stream, one in zip(streams, series, strict=True)
            if signatures
        }
        self._recorders: list[StreamRecorder | SignedRecorder] = [
            self._signed.get(stream) or StreamRecorder(stream, one, rotation)
            for stream, one in zip(streams, series, strict=True)
        ]
        self._failure: OSError | None = None
        settings = Settings(versions=versions, numeric_lists="ndarray", validate=True)
        keeper = self._keep if signatures else None
        self._client = Client(
            url, settings=settings, on_state=on_state, on_error=on_error, keeper=keeper, **websockets_options
        )

    @property
    def client(self) -> Client:
        """The client, with its state and its counters."""
        return self._client

    @property
    def summaries(self) -> tuple[StreamSummary, ...]:
        """What has been recorded of each stream; ``run`` updates the summaries while it records."""
        return tuple(recorder.summary for recorder in self._recorders)

    async def run(self, seconds: float | None = None, stop: asyncio.Event | None = None) -> None:
        """Record until ``seconds`` have passed, ``stop`` is set, or the server ends all streams. Call it once only.

        After a lost connection the client reconnects, and each stream continues where it stopped if the server's
        history still has it.

        Raises:
            OSError: the first connection failed, or a file cannot be written.
            websockets.exceptions.WebSocketException: the server refused the WebSocket handshake.
            ConnectionLost: the client has given up reconnecting.
            ProtocolError: the server denies a stream.
            RecordError: the format cannot store the samples of a stream.
        """
        recording = asyncio.create_task(self._record())
        stopping = asyncio.create_task((stop or asyncio.Event()).wait())
        try:
            await asyncio.wait([recording, stopping], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not recording.done() and self._is_open:
                self._ending.set()
                await asyncio.wait([recording], timeout=LEAVING_SECONDS)
        finally:
            recording.cancel()
            stopping.cancel()
            await asyncio.wait([recording, stopping])
            self._close()
        if not recording.cancelled():
            recording.result()

    async def _record(self) -> None:
        async with self._client:
            self._is_open = True
            begin = await self._begin()
            followers = [asyncio.create_task(self._follow(recorder, begin)) for recorder in self._recorders]
            others = [asyncio.create_task(self._flush()), asyncio.create_task(self._until_the_end())]
            try:
                await _first_of(followers, others)
                await self._leave(followers)
                if self._failure is not None:
                    raise self._failure
            finally:
                for task in (*followers, *others):
                    task.cancel()
                await asyncio.wait([*followers, *others])
            for task in (*followers, *others):
                if not task.cancelled():
                    task.result()

    async def _until_the_end(self) -> None:
        await self._ending.wait()

    async def _leave(self, followers: Sequence[asyncio.Task[None]]) -> None:
        """Unsubscribe, and record what has already arrived."""
        if not self._ending.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(ATTESTED_WITHIN):
                while any(recorder.waits for recorder in self._signed.values()):
                    await asyncio.sleep(0.02)
        left = [
            self._client.unsubscribe(recorder.summary.stream)
            for recorder, task in zip(self._recorders, followers, strict=True)
            if not task.done()
        ]
        await asyncio.gather(*left)
        await asyncio.wait(followers)

    def _keep(self, kept: KeptMessage) -> None:
        """Write a message of a recording with signatures. A file that cannot be written ends the recording."""
        recorder = self._signed.get(kept.stream)
        if recorder is None or self._failure is not None:
            return
        try:
            recorder.keep(kept)
        except OSError as error:
            self._failure = error
            self._ending.set()

    async def _follow(self, recorder: StreamRecorder | SignedRecorder, since: datetime | None) -> None:
        stream = recorder.summary.stream
        async for message in self._client.subscribe(stream, since, on_gap=recorder.take_gap):
            recorder.take(message)

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            for recorder in self._recorders:
                recorder.flush()

    async def _begin(self) -> datetime | None:
        """Return the time at which to start, by the server's clock; None for now."""
        if self._since is None or isinstance(self._since, datetime):
            return self._since
        await self._client.ping()
        now = datetime.now(UTC).timestamp() + (self._client.clock_offset or 0.0)
        return datetime.fromtimestamp(max(now - self._since, 0.0), UTC)

    def _close(self) -> None:
        """Close all files, even if closing one of them fails."""
        failures = []
        attestations = self._client.stats()["received"].get("STREAM_ATTESTATION", 0)
        for summary in self.summaries if attestations and not self._signed else ():
            summary.remark("the server attests what it sends; only recordings with signatures hold that")
        for recorder in self._recorders:
            try:
                recorder.close()
            except OSError as error:
                failures.append(error)
        if failures:
            raise failures[0]


async def _first_of(followers: Sequence[asyncio.Task[None]], others: Sequence[asyncio.Task[None]]) -> None:
    """Wait until all tasks of ``followers`` have ended, one of them has failed, or one of ``others`` has ended."""
    waiting = {*followers, *others}
    while not waiting.isdisjoint(followers):
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not done.isdisjoint(others) or any(task.cancelled() or task.exception() for task in done):
            return


async def record(
    url: str,
    streams: str | Sequence[str],
    output: str | os.PathLike[str],
    *,
    seconds: float | None = None,
    stop: asyncio.Event | None = None,
    **options: Any,
) -> tuple[StreamSummary, ...]:
    """Record live streams until ``seconds`` have passed or ``stop`` is set.

    >>> [summary] = await record("wss://monitor.example/ws", "ecg/bed-7", "bed-7.edf", seconds=3600)
    >>> summary.files, summary.gaps, summary.alerts

    The files can be read at any moment. If the process is killed, at most the last second is lost. Gaps are filled with
    missing samples, so that every sample is at its time; alerts become annotations.

    Args:
        url: URL of the server, ``ws://`` or ``wss://``.
        streams: the name of a stream, or several names.
        output: a folder, or, for one stream, a file; see ``Recorder``.
        seconds: how long to record; None to record until ``stop`` is set or the task is cancelled.
        stop: ends the recording when it is set.
        options: the other arguments of ``Recorder``.

    Returns:
        A summary of each stream.

    Raises:
        Exception: as ``Recorder`` and ``Recorder.run`` raise. The files are complete in any case.
    """
    recorder = Recorder(url, [streams] if isinstance(streams, str) else streams, output, **options)
    await recorder.run(seconds, stop)
    return recorder.summaries


def _check_signatures(form: str, rotation: Rotation | None, versions: Sequence[int]) -> None:
    if form != "frames":
        raise ValueError(f"files of the format {form} cannot hold signatures and attestations; files of frames can")
    if rotation is not None and (rotation.seconds is not None or rotation.nbytes is not None):
        raise ValueError("a recording with signatures is one file for each stream, without rotation")
    if 4 not in versions:
        raise ValueError("signatures and attestations need version 4 of the protocol")


def _check(
    streams: Sequence[str],
    path: Path,
    form: str,
    rotation: Rotation | None,
    *,
    is_folder: bool,
    overwrite: bool,
) -> None:
    if not streams or len(set(streams)) < len(streams):
        raise ValueError("name at least one stream, and each stream only once")
    if form not in FORMATS:
        raise ValueError(f"unknown format {form!r}; the formats are {', '.join(FORMATS)}")
    if form == "mcap":
        mcap_library()
    if rotation is not None and any(part is not None and part <= 0 for part in (rotation.seconds, rotation.nbytes)):
        raise ValueError("the seconds and bytes of a rotation must be above 0")
    if is_folder:
        if not path.is_dir() and path.suffix:
            raise RecordError(f"{path}: no such folder, and the name of a file must end in {', '.join(_BY_SUFFIX)}")
        return
    if len(streams) > 1:
        raise ValueError(f"{path} is a file and can hold only one stream; name a folder for several streams")
    if _BY_SUFFIX[path.suffix.lower()] != form:
        raise RecordError(f"{path}: the name of a file in the format {form} must end in {FORMATS[form]}")
    if form == "wfdb":
        check_name(path)
    for file in files_to_save(path):
        if os.path.lexists(file) and not overwrite:
            raise FileExistsError(17, "the file exists", str(file))
