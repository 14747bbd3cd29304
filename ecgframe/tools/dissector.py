"""The dissector for Wireshark: dissector.lua with the tables of the protocol filled in, and where to install it."""

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
    BINARY_VALUES,
    DEFAULT_MAX_PAYLOAD,
    FLAG_SINCE,
    FRAGMENT_HEADER,
    HEADER_FIELDS,
    HEADER_SIZES,
    KEY_NAME_SIZE,
    LAST_FATAL_CHECK,
    LEAST_FRAGMENT,
    MAX_DEPTH,
    MAX_SENDERS,
    MAX_VALUES,
    NDARRAY_VALUES,
    RECORD_HEADER,
    SEAL_OVERHEAD,
    SENDER_SIZE,
    STREAM_TYPES,
    TRAILER_SIZE,
    TYPE_SINCE,
    Algorithm,
    ErrorCode,
    Form,
    MessageType,
)
from .capture.wireshark_export import DISSECTOR

FILE_NAME: Final = "ecgframe.lua"

PORT: Final = 8765
"""The port on which all WebSocket messages are decoded as frames; on other ports they have to look like frames."""

_MARK: Final = re.compile("@([A-Z_]+)@")
_FOLDER: Final = re.compile(r"^Personal Lua Plugins:\s+(.+?)\s*$", re.MULTILINE)


def dissector(own_version: str) -> str:
    """Return the Lua source of the dissector. It states ``own_version``, so that an old one can be recognized."""
    tables = _tables() | {"OWN_VERSION": own_version}
    template = files(__package__).joinpath("dissector.lua").read_text(encoding="utf-8")
    return _MARK.sub(lambda mark: tables[mark[1]], template)


def plugin_folder() -> Path:
    """Return the folder of this user's Wireshark plugins: as Wireshark reports it, or else the usual one."""
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
        "TYPE_SINCE": _lua({int(one): since for one, since in TYPE_SINCE.items()}),
        "STREAM_TYPES": _lua({int(one): 1 for one in sorted(STREAM_TYPES)}),
        "FLAGS": _lua(flags),
        "ALGORITHMS": _lua({int(one): one.name for one in Algorithm}),
        "FORM_ALGORITHM": _lua(int(Form.ALGORITHM)),
        "FRAGMENT_HEADER": _lua(FRAGMENT_HEADER),
        "LEAST_FRAGMENT": _lua(LEAST_FRAGMENT),
        "FORM_RECORD": _lua(int(Form.RECORD)),
        "FORM_BULK": _lua(int(Form.BULK)),
        "RECORD_HEADER": _lua(RECORD_HEADER),
        "SEAL_OVERHEAD": _lua(SEAL_OVERHEAD),
        "SENDER_SIZE": _lua(SENDER_SIZE),
        "MAX_SENDERS": _lua(MAX_SENDERS),
        "TRAILER_SIZE": _lua(TRAILER_SIZE),
        "KEY_NAME_SIZE": _lua(KEY_NAME_SIZE),
        "CODES": _lua({int(one): one.name for one in ErrorCode}),
        "CLOSING": _lua(LAST_FATAL_CHECK),
        "MAX_PAYLOAD": _lua(DEFAULT_MAX_PAYLOAD),
        "MAX_DEPTH": _lua(MAX_DEPTH),
        "MAX_VALUES": _lua(MAX_VALUES),
        "BINARY_VALUES": _lua(BINARY_VALUES),
        "NDARRAY_VALUES": _lua(NDARRAY_VALUES),
        "DATA_FIELDS": _lua(data_fields()),
        "NAME": _lua(DISSECTOR),
        "PORT": _lua(PORT),
    }


def data_fields() -> list[str]:
    """Return the names of all fields of all message types, sorted."""
    shapes = [shape for payload in PAYLOADS.values() if payload is not Any for shape in get_args(payload) or (payload,)]
    return sorted({name for shape in shapes for name in shape.__required_keys__ | shape.__optional_keys__})


def _lua(value: object) -> str:
    """Format a mapping, a list, a string or an integer as Lua."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"[{_lua(key)}] = {_lua(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list):
        return "{ " + ", ".join(map(_lua, value)) + " }"
    assert isinstance(value, int), value
    return str(value)
