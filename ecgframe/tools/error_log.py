"""A log of the errors that were sent to peers, as JSON lines in rotated files.

handler = WebSocketBinaryHandler(on_error=ErrorLog("errors.jsonl"))

A line has the code, the time, the peer and the header of the frame. The payload is patient data: its bytes, and the
text of the error, which may quote it, are logged only on request. New files have the mode 0600.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..errors import ProtocolError
from ..private_files import PrivateRotatingFile
from ..protocol import DEFAULT_MAX_PAYLOAD, Check
from .frame_analysis import Examined, Examiner
from .observation import Delivery

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["ErrorLog"]

FILE_BYTES: Final = 10 * 1024 * 1024
"""Size of a file, in bytes, after which the next one is started."""

FILES_KEPT: Final = 5
"""Number of older files that are kept."""

FIRST_BYTES: Final = 64
"""Bytes of a frame that are logged if payloads may be."""


class Peer(Protocol):
    """What is logged of a connection. ``ecgframe.server.ConnectionInfo`` has these attributes."""

    @property
    def id(self) -> str:
        """Identifier of the connection."""
        ...

    @property
    def peer(self) -> str:
        """Address of the peer."""
        ...

    @property
    def version(self) -> int:
        """Protocol version of the connection."""
        ...


class ErrorLog:
    """An ``on_error`` hook for a handler that logs each error as one line.

    Args:
        path: the log file; older files are beside it, as ``errors.jsonl.1``.
        payload: whether to log the first bytes of the payload and the text of the error, which may be patient data.
        max_payload: limit of a payload of the handler, in bytes.
        file_bytes: size of a file, in bytes, after which the next one is started.
        files_kept: number of older files that are kept.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        payload: bool = False,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        file_bytes: int = FILE_BYTES,
        files_kept: int = FILES_KEPT,
    ) -> None:
        self._payload = payload
        self._max_payload = max_payload
        self._file = PrivateRotatingFile(path, maxBytes=file_bytes, backupCount=files_kept, encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, connection: Peer, error: ProtocolError, message: bytes | str | None) -> None:
        """Log an error.

        Args:
            connection: the connection to the peer.
            error: the error that was sent.
            message: the WebSocket message that caused it; None if there is none.
        """
        line = {
            "time": time.time(),
            "code": int(error.code),
            "name": error.code.name,
            "check": error.check,
            "offset": error.offset,
            "connection": connection.id,
            "peer": connection.peer,
            "version": connection.version,
            **self._of_message(error, message),
        }
        if self._payload or error.check == Check.FIELDS:
            line["path"] = error.path if self._payload else _field(error.path)
        if self._payload:
            line["message"] = str(error)
        self._file.handle(logging.makeLogRecord({"msg": json.dumps(line)}))

    def close(self) -> None:
        """Close the log file."""
        self._file.close()

    def _of_message(self, error: ProtocolError, message: bytes | str | None) -> dict[str, Any]:
        """Return the entries that describe the frame that caused the error."""
        if message is None:
            return {}
        if isinstance(message, str):
            return {"nbytes": len(message.encode()), "text": True}
        frame = self._frame_at_fault(error, message)
        if frame is None:
            return {"nbytes": len(message)}
        shown = frame.octets[: FIRST_BYTES if self._payload else frame.header_size]
        header = frame.fields | {"type": frame.type_name, "flags": frame.flag_names} if frame.fields else {}
        return {"nbytes": len(message), "frame": frame.number, "header": header, "bytes": shown.hex()}

    def _frame_at_fault(self, error: ProtocolError, message: bytes) -> Examined | None:
        """Return the frame of the message that fails with the same code, or else the first that fails."""
        if error.check is None:  # not caused by the contents of a frame: log the first one
            return next(Examiner(max_payload=0).examine(Delivery(message)), None)
        examiner = Examiner(max_payload=self._max_payload, validate=error.check == Check.FIELDS)
        broken = [frame for frame in examiner.examine(Delivery(message)) if frame.error is not None]
        alike = (frame for frame in broken if frame.error is not None and frame.error.code is error.code)
        return next(alike, broken[0] if broken else None)


def _field(path: str | None) -> str | None:
    """Return the first field of a path. Names below it may be the peer's, and so patient data."""
    if path is None:
        return None
    field, bracket, _ = path.partition("]")
    return field + bracket
