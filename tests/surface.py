"""The public interface: every public name with its signature, every option of the commands, every byte of the vectors.

    python tests/surface.py              tells what differs from tests/surface.json
    python tests/surface.py --release    records what there is, once the changelog tells of all that differs

``test_surface.py`` holds the two against each other: what differs must be told in CHANGELOG.md, below "Unreleased", by
an entry that was not there when the surface was recorded.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import GenericAlias
from typing import Any

TESTS = Path(__file__).parent
RECORD = TESTS / "surface.json"
CHANGELOG = TESTS.parent / "CHANGELOG.md"

# Those of docs/reference, in its order: what matters most comes first.
MODULES = (
    "ecgframe",
    "ecgframe.protocol",
    "ecgframe.errors",
    "ecgframe.messages",
    "ecgframe.compression",
    "ecgframe.seal",
    "ecgframe.signing",
    "ecgframe.server",
    "ecgframe.server.adapters.starlette",
    "ecgframe.server.adapters.asgi",
    "ecgframe.server.adapters.uvicorn",
    "ecgframe.server.adapters.aiohttp",
    "ecgframe.server.adapters.websockets",
    "ecgframe.server.adapters.picows",
    "ecgframe.server.hooks",
    "ecgframe.server.identity",
    "ecgframe.server.token_file",
    "ecgframe.server.forwarding",
    "ecgframe.server.presence",
    "ecgframe.server.redis",
    "ecgframe.server.nats",
    "ecgframe.server.monitor_files",
    "ecgframe.server.origins",
    "ecgframe.server.detection",
    "ecgframe.server.alarms",
    "ecgframe.server.alarm_file",
    "ecgframe.server.disk_history",
    "ecgframe.server.prometheus",
    "ecgframe.server.worker_metrics",
    "ecgframe.server.opentelemetry",
    "ecgframe.metrics",
    "ecgframe.tools.error_log",
    "ecgframe.server.audit",
    "ecgframe.audit_events",
    "ecgframe.tools.audit_log",
    "ecgframe.server.event_loop",
    "ecgframe.client",
    "ecgframe.session",
    "ecgframe.testing",
    "ecgframe.testing.fixtures",
    "ecgframe.records",
    "ecgframe.frame_file",
    "ecgframe.recording",
    "ecgframe.notebook",
    "ecgframe.bridges.lsl",
    "ecgframe.features",
)
SPECIAL = {"__init__", "__call__", "__aenter__", "__aexit__", "__enter__", "__exit__", "__iter__", "__aiter__"}


def surface() -> dict[str, str]:
    """Each public thing by its name, and what of it a user may rely on; read from the core in plain Python."""
    found: dict[str, str] = {}
    classes: dict[type, str] = {}
    for module in map(importlib.import_module, MODULES):
        for public in _public_names(module):
            name, value = f"{module.__name__}.{public}", getattr(module, public)
            first = classes.setdefault(value, name) if isinstance(value, type) else name
            found |= _described(name, value) if first == name else {name: f"the same as {first}"}
    return found | dict(_options()) | dict(_bytes_on_the_wire())


def public_names(name: str) -> list[str]:
    """Return the names of a public module that others may import."""
    return _public_names(importlib.import_module(name))


def _public_names(module: Any) -> list[str]:
    if hasattr(module, "__all__"):
        handed_out_when_asked = (
            ["Client", "SyncClient", "connect", "connect_sync", "__version__"] if module.__name__ == "ecgframe" else []
        )
        return [*module.__all__, *handed_out_when_asked]
    names = [name for name in vars(module) if not name.startswith("_") and name != "TYPE_CHECKING"]
    return sorted(name for name in names if name.isupper() or _is_at_home(getattr(module, name), module))


def _is_at_home(value: object, module: Any) -> bool:
    return getattr(value, "__module__", None) == module.__name__


def _described(name: str, value: object) -> dict[str, str]:
    if isinstance(value, type):
        return {name: _bases(value)} | dict(_members(name, value))
    if isinstance(value, GenericAlias):
        return {name: "a type"}
    if callable(value) and not isinstance(value, type(Any)):
        return {name: _signature(value)}
    return {name: "" if name.endswith("__version__") else _constant(value)}


def _bases(cls: type) -> str:
    return "class of " + ", ".join(base.__name__ for base in cls.__bases__)


def _members(name: str, cls: type) -> Iterator[tuple[str, str]]:
    if issubclass(cls, Enum):
        yield from ((f"{name}.{member.name}", str(member.value)) for member in cls)
        return
    for key, value in vars(cls).items():
        if key.startswith("_") and key not in SPECIAL:
            continue
        function = getattr(value, "__func__", value)
        yield f"{name}.{key}", _signature(function) if inspect.isfunction(function) else "attribute"
    for key in getattr(cls, "__annotations__", {}):
        if not key.startswith("_"):
            yield f"{name}.{key}", "attribute"


def _signature(function: object) -> str:
    """Names, kinds and defaults; what they are annotated with is mypy's to guard."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    return str(inspect.Signature([_bare(parameter) for parameter in signature.parameters.values()]))


def _bare(parameter: inspect.Parameter) -> inspect.Parameter:
    default = parameter.default
    said = default if default is inspect.Parameter.empty else _Said(_constant(default))
    return parameter.replace(annotation=inspect.Parameter.empty, default=said)


class _Said(str):
    """A text that is its own representation."""

    __slots__ = ()
    __repr__ = str.__str__


def _constant(value: object) -> str:
    if isinstance(value, set | frozenset):  # which are written in any order
        return f"{{{', '.join(sorted(map(_constant, value)))}}}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_constant(key)}: {_constant(item)}' for key, item in value.items())}}}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant, value))})"
    said = repr(value)
    return said if " at 0x" not in said else type(value).__name__


def _options() -> Iterator[tuple[str, str]]:
    from typer.main import get_command

    from ecgframe.cli.app import app

    yield from _options_of("ecgframe", get_command(app))


def _options_of(name: str, group: Any) -> Iterator[tuple[str, str]]:
    for word, child in group.commands.items():
        if hasattr(child, "commands"):
            yield from _options_of(f"{name} {word}", child)
            continue
        for parameter in child.params:
            words = [*parameter.opts, *parameter.secondary_opts]
            yield f"{name} {word} {parameter.name}", f"{parameter.param_type_name} {' '.join(words)}"


def _bytes_on_the_wire() -> Iterator[tuple[str, str]]:
    for file in ("frames", "refused"):
        for vector in json.loads((TESTS / "vectors" / f"{file}.json").read_text(encoding="utf-8")):
            octets = vector.get("frames", vector.get("frame"))
            yield f"vector {vector['name']}", hashlib.sha256(octets.encode()).hexdigest()[:16]


# --- against what was recorded ---


def differences(recorded: Mapping[str, str], current: Mapping[str, str]) -> dict[str, str]:
    """Return what was added, removed or changed, by name. New vectors change nothing; new classes include members."""
    found = {}
    for name in sorted(recorded.keys() | current.keys()):
        if name not in recorded:
            if not name.startswith("vector ") and name.rpartition(".")[0] not in found:
                found[name] = "added"
        elif name not in current:
            if found.get(name.rpartition(".")[0]) != "removed":
                found[name] = "removed"
        elif recorded[name] != current[name]:
            found[name] = f"changed from {recorded[name]} to {current[name]}"
    return found


def entries(changelog: str) -> list[str]:
    """Return the entries of the changelog below "Unreleased", each in one line."""
    section = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## \[|\Z)", changelog, re.M | re.S)
    items = re.split(r"^- ", section[1], flags=re.M)[1:] if section else []
    return [" ".join(re.split(r"^#", item, maxsplit=1, flags=re.M)[0].split()) for item in items]


def untold(found: Mapping[str, str], new_entries: list[str]) -> dict[str, str]:
    """The differences that no entry names: the last part of the name, as a word of its own."""
    told = " ".join(new_entries)
    return {
        name: what for name, what in found.items() if not re.search(rf"(?<!\w){re.escape(word_for(name))}(?!\w)", told)
    }


def word_for(name: str) -> str:
    """Return the name in an entry: of a method its own, of a constructor its class, of an option the option."""
    if name.startswith("vector "):
        return name.removeprefix("vector ")
    if name.startswith("ecgframe "):
        return name.rpartition(" ")[2].replace("_", "-")
    *_, outer, last = name.split(".")
    return outer if last in SPECIAL else last


def digest(entry: str) -> str:
    """An entry, to be known again."""
    return hashlib.sha256(entry.encode()).hexdigest()[:12]


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", action="store_true", help="record what there is")
    parser.add_argument("--json", action="store_true", help="what there is, and nothing else")
    options = parser.parse_args()
    if os.environ.get("ECGFRAME_PLAIN") != "1":
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"ECGFRAME_PLAIN": "1"})
    current = surface()
    if options.json:
        json.dump(current, sys.stdout)
        return 0
    now = entries(CHANGELOG.read_text(encoding="utf-8"))
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {"surface": current, "told": []}
    found = differences(record["surface"], current)
    missing = untold(found, [entry for entry in now if digest(entry) not in record["told"]])
    for name, what in found.items():
        print(f"{'NOT TOLD  ' if name in missing else 'told      '}{name}: {what}")
    if missing:
        return 1
    if options.release:
        text = json.dumps({"told": [digest(entry) for entry in now], "surface": current}, indent=1, sort_keys=True)
        RECORD.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
