"""Making, rotating and listing the keys in a file."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import typer

from ...plural import counted
from ...private_files import keep_access, whole_file
from ...protocol import LARGEST_KEY_ID, MAX_STREAM_NAME, STREAM_KEY_SIZE
from ...seal import Key, StoredKeys, keys_from_file, keys_to_json
from ..console import print_json, say

FORGOTTEN_AFTER: Final = 24 * 3600.0
"""Seconds after its end in which a key stays in the file."""


def make_keys(file: Path, streams: Sequence[str]) -> None:
    """Add a key for each stream. Raises as the others."""
    kept = list(read_keys(file, "KEYS")) if file.exists() else []
    for stream in dict.fromkeys(streams):
        if not 0 < len(stream) <= MAX_STREAM_NAME:
            raise typer.BadParameter(f"a stream's name has 1 to {MAX_STREAM_NAME} characters", param_hint="STREAM")
        if any(key.stream == stream for key in kept):
            message = f"{stream} has a key already; ecgframe keys rotate gives it another one"
            raise typer.BadParameter(message, param_hint="STREAM")
        kept.append(_new_key(kept, stream))
    _write(file, kept)
    say(f"{file}: {counted(len(set(streams)), 'key')} made, {counted(len(kept), 'key')} in it")


def rotate_keys(file: Path, streams: Sequence[str], after: float) -> None:
    """Let the present keys of streams end, and add keys that begin then.

    Raises:
        typer.BadParameter: the file has no keys of a stream, or one that begins later than the new ones would.
        OSError: the file cannot be read or written.
    """
    kept = list(read_keys(file, "KEYS"))
    known = {key.stream for key in kept}
    if unknown := [stream for stream in streams if stream not in known]:
        message = f"the file has no key of {unknown[0]}; ecgframe keys new makes one"
        raise typer.BadParameter(message, param_hint="STREAM")
    now = time.time()
    begins = round(now + after, 3)
    rotated = known if not streams else set(streams)
    changed = [_ended(key, begins) if key.stream in rotated else key for key in kept]
    for stream in sorted(rotated):
        changed.append(_new_key(changed, stream, begins))
    whole = [key for key in changed if key.ends is None or key.ends > now - FORGOTTEN_AFTER]
    _write(file, whole)
    removed = len(changed) - len(whole)
    say(
        f"{file}: {counted(len(rotated), 'key')} made, from {_moment(begins)} on"
        + (f"; {counted(removed, 'key')} removed, which ended more than a day ago" if removed else "")
    )


def show_keys(file: Path, *, as_json: bool) -> None:
    """Print the keys of a file without their secrets."""
    found = sorted(read_keys(file, "KEYS"), key=lambda key: (key.stream, key.begins or 0.0, key.id))
    now = time.time()
    if as_json:
        print_json({"keys": [_shown(key, now) for key in found]})
        return
    for key in found:
        parts = [f"{key.stream}: {key.id}", _state(key, now)]
        parts += [f"begins {_moment(key.begins)}"] if key.begins is not None else []
        parts += [f"ends {_moment(key.ends)}"] if key.ends is not None else []
        say(", ".join(parts))


def read_keys(file: Path, option: str) -> StoredKeys:
    """Read a file of keys that an option names.

    Raises:
        typer.BadParameter: it is not of this form. The text has no secret.
        OSError: it cannot be read.
    """
    try:
        return keys_from_file(file)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _new_key(others: Sequence[Key], stream: str, begins: float | None = None) -> Key:
    used = {key.id for key in others}
    while (id := secrets.randbelow(LARGEST_KEY_ID + 1)) in used:
        pass
    return Key(id, stream, secrets.token_bytes(STREAM_KEY_SIZE), begins)


def _ended(key: Key, moment: float) -> Key:
    """Return the key with an end; one that ends before stays as it is."""
    if key.ends is not None and key.ends <= moment:
        return key
    if key.begins is not None and key.begins >= moment:
        message = f"a key of {key.stream} begins at {_moment(key.begins)} already, later than the new one would"
        raise typer.BadParameter(message, param_hint="--after")
    return Key(key.id, key.stream, key.secret, key.begins, moment)


def _shown(key: Key, now: float) -> dict[str, Any]:
    return {"stream": key.stream, "id": key.id, "begins": key.begins, "ends": key.ends, "state": _state(key, now)}


def _state(key: Key, now: float) -> str:
    if key.ends is not None and key.ends <= now:
        return "ended"
    return "not in use yet" if key.begins is not None and key.begins > now else "in use"


def _write(file: Path, keys: Sequence[Key]) -> None:
    text = keys_to_json(keys).encode()
    before = file.stat() if file.exists() else None
    with whole_file(file) as target:
        target.write(text)
        is_as_before = before is None or keep_access(target, before)
    if not is_as_before:
        say(f"{file} belonged to another user: now only you can read it, and a server of that user cannot", err=True)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
