"""The errors that peers were answered, as JSON lines in files that are rotated.

handler = WebSocketBinaryHandler(on_error=ErrorLog("errors.jsonl"))

A line says which code, when, to whom, and what the frame's header was. The payload is a patient's: neither its bytes
nor the error's text, which may quote it, are kept unless that is asked for.
"""

from __future__ import annotations

import json
import logging
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..errors import ProtocolError
from ..protocol import DEFAULT_MAX_PAYLOAD, Check
from .frame_analysis import Examined, Examiner
from .observation import Delivery

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

FILE_BYTES: Final = 10 * 1024 * 1024
"""Bytes of a file after which the next is begun."""

FILES_KEPT: Final = 5
"""Older files that are kept."""

FIRST_BYTES: Final = 64
"""Bytes of a frame that are kept where the payload may be."""


class Peer(Protocol):
    """What is told of a connection; ``ecgframe.server.ConnectionInfo`` does."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def peer(self) -> str:
        """Address of the other side."""
        ...

    @property
    def version(self) -> int:
        """Protocol version in which it is served."""
        ...


class ErrorLog:
    """The ``on_error`` hook of a handler that writes each error as a line.

    Args:
        path: the file; older ones are beside it, as ``errors.jsonl.1``.
        payload: keep the first bytes of the payload and the error's text, too. They may be a patient's.
        max_payload: the handler's limit, in bytes.
        file_bytes: bytes after which the next file is begun.
        files_kept: older files that are kept.

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
        self._file = RotatingFileHandler(path, maxBytes=file_bytes, backupCount=files_kept, encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, connection: Peer, error: ProtocolError, message: bytes | str | None) -> None:
        """Write a line."""
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
        """Close the file."""
        self._file.close()

    def _of_message(self, error: ProtocolError, message: bytes | str | None) -> dict[str, Any]:
        """What the frame at fault was."""
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
        """The frame of the message that fails so; the first that fails, where none does exactly so."""
        if error.check is None:  # not for what it says: the first frame will do
            return next(Examiner(max_payload=0).examine(Delivery(message)), None)
        examiner = Examiner(max_payload=self._max_payload, validate=error.check == Check.FIELDS)
        broken = [frame for frame in examiner.examine(Delivery(message)) if frame.error is not None]
        alike = (frame for frame in broken if frame.error is not None and frame.error.code is error.code)
        return next(alike, broken[0] if broken else None)


def _field(path: str | None) -> str | None:
    """Of a path, the field of the message: what is below it may have names that the peer made up."""
    if path is None:
        return None
    field, bracket, _ = path.partition("]")
    return field + bracket
