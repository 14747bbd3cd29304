"""Keyrings in JSON: read from a file or a variable of the environment, and written."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from ..protocol import STREAM_KEY_SIZE
from .keys import Key, StoredKeys, fault_of_key

__all__ = ["keys_from_environment", "keys_from_file", "keys_to_json"]

_MAX_KEY_FILE: Final = 4 * 1024 * 1024


def keys_from_file(
    path: str | os.PathLike[str], *, opens_after: float | None = None, now: Callable[[], float] = time.time
) -> StoredKeys:
    """Read a keyring from a file.

    The file is a JSON list of maps ``{"stream": "ecg/1", "id": 9, "key": "<64 hexadecimal digits>"}``, with ``begins``
    and ``ends`` in Unix seconds if keys change.

    Args:
        path: path of the file, at most 4 MiB.
        opens_after: as for ``StoredKeys``.
        now: as for ``StoredKeys``.

    Raises:
        ValueError: the file is not of this form, or the keys as for ``StoredKeys``. The text has no secret.
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as file:
        return _keys_in(file.read(_MAX_KEY_FILE + 1), f"the keys in {os.fspath(path)}", opens_after, now)


def keys_from_environment(
    name: str, *, opens_after: float | None = None, now: Callable[[], float] = time.time
) -> StoredKeys:
    """Read a keyring from a variable of the environment, whose text is as in a file of keys.

    Programs that this process starts inherit the variable, unless it is removed from ``os.environ``.

    Raises:
        ValueError: the variable is not set, or as ``keys_from_file``.
    """
    if name not in os.environ:
        raise ValueError(f"the variable {name}, which should have the stream keys, is not set")
    return _keys_in(os.environ[name].encode("utf-8", "surrogateescape"), f"the keys in {name}", opens_after, now)


def keys_to_json(keys: Iterable[Key]) -> str:
    """Return the text of a file of keys. It has their secrets."""
    entries = []
    for key in keys:
        times = {"begins": key.begins, "ends": key.ends}
        entries.append(
            {
                "stream": key.stream,
                "id": key.id,
                "key": key.secret.hex(),
                **{name: moment for name, moment in times.items() if moment is not None},
            }
        )
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


def _keys_in(text: bytes, place: str, opens_after: float | None, now: Callable[[], float]) -> StoredKeys:
    """Read keys. An error leaves no secret behind: neither as its cause nor in the variables of its traceback."""
    keys, fault = _parsed(text)
    del text
    if not fault:
        try:
            return StoredKeys(keys, opens_after=opens_after, now=now)
        except ValueError as error:  # whose text has ids only
            fault = str(error)
    del keys
    raise ValueError(f"{place}: {fault}")


def _parsed(text: bytes) -> tuple[list[Key], str]:
    """Return the keys, or what is wrong."""
    if len(text) > _MAX_KEY_FILE:
        return [], f"more than {_MAX_KEY_FILE} bytes"
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return [], "not JSON"
    if not isinstance(entries, list):
        return [], "not a JSON list"
    keys = []
    for index, entry in enumerate(entries):
        key, fault = _key_of(entry)
        if key is None:
            return [], f"entry {index}: {fault}"
        keys.append(key)
    return keys, ""


def _key_of(entry: Any) -> tuple[Key | None, str]:
    if not isinstance(entry, dict):
        return None, "not a map"
    missing = [name for name in ("stream", "id", "key") if name not in entry]
    if missing:
        return None, f"{missing[0]!r} is missing"
    if unknown := sorted(entry.keys() - {"stream", "id", "key", "begins", "ends"}):
        return None, f"unknown field {unknown[0][:32]!r}"
    digits = entry["key"]
    if not isinstance(digits, str) or len(digits) != 2 * STREAM_KEY_SIZE or not digits.isascii():
        return None, f"'key' must be {2 * STREAM_KEY_SIZE} hexadecimal digits"
    try:
        secret = bytes.fromhex(digits)
    except ValueError:
        secret = b""
    times = entry.get("begins"), entry.get("ends")
    fault = fault_of_key(entry["id"], entry["stream"], secret, *times)
    return (None, fault) if fault else (Key(entry["id"], entry["stream"], secret, *times), "")
