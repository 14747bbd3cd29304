"""Wireshark's dissector: the Lua beside this file, with the tables of the protocol filled in, and where it belongs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, get_args

from ..messages import PAYLOADS
from ..protocol import (
    DEFAULT_MAX_PAYLOAD,
    FLAG_SINCE,
    HEADER_FIELDS,
    HEADER_SIZES,
    LAST_FATAL_CHECK,
    MAX_CONTAINERS,
    MAX_DEPTH,
    ErrorCode,
    MessageType,
)
from .capture.wireshark_export import DISSECTOR

FILE_NAME: Final = "ecgframe.lua"

PORT: Final = 8765
"""The port on which WebSocket messages are taken for frames whatever they hold; on others they must look like some."""

_MARK: Final = re.compile("@([A-Z_]+)@")
_FOLDER: Final = re.compile(r"^Personal Lua Plugins:\s+(.+?)\s*$", re.MULTILINE)


def dissector(own_version: str) -> str:
    """The dissector as a file's text. ``own_version`` is named in it, so that an old one is known as such."""
    tables = _tables() | {"OWN_VERSION": own_version}
    template = files(__package__).joinpath("dissector.lua").read_text(encoding="utf-8")
    return _MARK.sub(lambda mark: tables[mark[1]], template)


def plugin_folder() -> Path:
    """Where Wireshark looks for the plugins of this user: where it says so, else where it usually is."""
    for program in ("tshark", "wireshark"):
        found = shutil.which(program)
        if found and (folder := _FOLDER.search(_said_by(found))):
            return Path(folder[1])
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", Path.home())) / "Wireshark" / "plugins"
    return Path.home() / ".local" / "lib" / "wireshark" / "plugins"


def _said_by(program: str) -> str:
    try:
        done = subprocess.run([program, "-G", "folders"], capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def _tables() -> dict[str, str]:
    places, start = {}, 0
    for name, width in HEADER_FIELDS.items():
        places[name] = start
        start += width
    flags = [[int(flag), str(flag.name), since] for flag, since in FLAG_SINCE.items()]
    return {
        "HEADER_SIZES": _lua(HEADER_SIZES),
        "OFFSETS": _lua(places),
        "WIDTHS": _lua(HEADER_FIELDS),
        "TYPES": _lua({int(one): one.name for one in MessageType}),
        "FLAGS": _lua(flags),
        "CODES": _lua({int(one): one.name for one in ErrorCode}),
        "CLOSING": _lua(LAST_FATAL_CHECK),
        "MAX_PAYLOAD": _lua(DEFAULT_MAX_PAYLOAD),
        "MAX_DEPTH": _lua(MAX_DEPTH),
        "MAX_CONTAINERS": _lua(MAX_CONTAINERS),
        "DATA_FIELDS": _lua(data_fields()),
        "NAME": _lua(DISSECTOR),
        "PORT": _lua(PORT),
    }


def data_fields() -> list[str]:
    """All fields that any message type names, in the order of the alphabet."""
    shapes = [shape for payload in PAYLOADS.values() if payload is not Any for shape in get_args(payload) or (payload,)]
    return sorted({name for shape in shapes for name in shape.__required_keys__ | shape.__optional_keys__})


def _lua(value: object) -> str:
    """A table, a text or a number as Lua writes it."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"[{_lua(key)}] = {_lua(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list):
        return "{ " + ", ".join(map(_lua, value)) + " }"
    assert isinstance(value, int), value
    return str(value)
