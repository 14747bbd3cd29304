"""Third-party parts: those in a wheel, as a bill of materials, and those that are installed beside it.

``setup.py`` puts the bill into each wheel (PEP 770). ``python -m release.parts`` writes the tables of
docs/third-party.md.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from .project import ROOT, project

PAGE = ROOT / "docs" / "third-party.md"
BILL = "ecgframe.cdx.json"
"""Name of the bill in the folder ``sboms`` of a wheel's metadata."""


class Part(NamedTuple):
    """Something in a wheel that others have written.

    Attributes:
        name: its name at its registry.
        version: its version; empty for a build tool, whose version is known when it has built.
        licence: SPDX expression.
        url: package URL, without the version.
        where: what of it is in the wheel.
        notice: file with the text of the licence.
        is_compiled: only in wheels with a compiled core.
    """

    name: str
    version: str
    licence: str
    url: str
    where: str
    notice: str
    is_compiled: bool = False


PARTS = (
    Part(
        "fflate",
        "0.8.3",
        "MIT",
        "pkg:npm/fflate",
        "deflate in JavaScript, in the monitor page (`ecgframe/server/monitor/monitor.js`)",
        "licenses/fflate.txt",
    ),
    Part(
        "pydicom",
        "3.0.2",
        "MIT",
        "pkg:pypi/pydicom",
        "the samples of one of its test files (`ecgframe/data/ecg12.npz`)",
        "ecgframe/data/README.md",
    ),
    Part(
        "Cython",
        "",
        "Apache-2.0",
        "pkg:pypi/cython",
        "helper functions that it writes into the C of each compiled module; they are free of its licence",
        "",
        is_compiled=True,
    ),
    Part(
        "numpy",
        "",
        "BSD-3-Clause",
        "pkg:pypi/numpy",
        "its C headers, in the compiled module `ndarrays`",
        "",
        is_compiled=True,
    ),
)

# SPDX expressions of what pip installs beside ecgframe, of itself alone.
LICENCES = {
    "aiohttp": "Apache-2.0 AND MIT",
    "backports-zstd": "PSF-2.0",
    "cryptography": "Apache-2.0 OR BSD-3-Clause",
    "deflate": "MIT",
    "edfio": "Apache-2.0",
    "matplotlib": "PSF-2.0",
    "mcap": "MIT",
    "mne": "BSD-3-Clause",
    "msgpack": "Apache-2.0",
    "nats-py": "Apache-2.0",
    "numpy": "BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0",
    "opentelemetry-api": "Apache-2.0",
    "orjson": "MPL-2.0 AND (Apache-2.0 OR MIT)",
    "pandas": "BSD-3-Clause",
    "picows": "MIT",
    "prometheus-client": "Apache-2.0 AND BSD-2-Clause",
    "pydicom": "MIT",
    "pylsl": "MIT",
    "python-json-logger": "BSD-2-Clause",
    "redis": "MIT",
    "rich": "MIT",
    "starlette": "BSD-3-Clause",
    "textual": "MIT",
    "typer": "MIT",
    "websockets": "BSD-3-Clause",
    "wfdb": "MIT",
    "zlib-ng": "PSF-2.0",
}


def bill_of_materials(version: str, built_with: Mapping[str, str], epoch: str | None) -> dict[str, Any]:
    """Return the bill of a wheel, in CycloneDX 1.6.

    Args:
        version: version of ecgframe.
        built_with: versions of the build tools whose code is in the wheel, by their names; empty for the plain wheel.
        epoch: SOURCE_DATE_EPOCH, if set: the same bill comes out then each time.
    """
    parts = [part for part in PARTS if built_with or not part.is_compiled]
    components = [_component(part, part.version or built_with[part.name]) for part in parts]
    licence = project()["project"]["license"]
    itself = {
        "type": "library",
        "bom-ref": f"pkg:pypi/ecgframe@{version}",
        "name": "ecgframe",
        "version": version,
        "licenses": [{"expression": licence}],
        "purl": f"pkg:pypi/ecgframe@{version}",
    }
    metadata: dict[str, Any] = {"component": itself, "lifecycles": [{"phase": "build"}]}
    if epoch is not None:
        metadata["timestamp"] = datetime.fromtimestamp(int(epoch), UTC).isoformat()
    number = uuid5(NAMESPACE_URL, json.dumps([itself, components], sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        "metadata": metadata,
        "components": components,
        "dependencies": [{"ref": itself["bom-ref"], "dependsOn": [one["bom-ref"] for one in components]}],
    }


def _component(part: Part, version: str) -> dict[str, Any]:
    url = f"{part.url}@{version}"
    return {
        "type": "library",
        "bom-ref": url,
        "name": part.name,
        "version": version,
        "description": part.where.replace("`", ""),
        "licenses": [{"expression": part.licence}],
        "purl": url,
    }


def write_bill(folder: Path, version: str, built_with: Mapping[str, str], epoch: str | None) -> Path:
    """Write the bill into a wheel's metadata; return its path."""
    path = folder / "sboms" / BILL
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(bill_of_materials(version, built_with, epoch), indent=1) + "\n", encoding="utf-8")
    return path


def requirements() -> dict[str, tuple[str, list[str]]]:
    """Return the packages that pip may install: the oldest release of each, and the extras that name it."""
    metadata = project()["project"]
    found: dict[str, tuple[str, list[str]]] = {}
    for extra, wanted in [("", metadata["dependencies"]), *metadata["optional-dependencies"].items()]:
        for requirement in wanted:
            named = re.fullmatch(r"([\w.-]+)>=([\w.]+)(?:;.*)?", requirement)
            if named is None:
                continue  # ecgframe[...]: the extra that names others
            name, oldest = named.groups()
            versions, extras = found.setdefault(name, (oldest, []))
            found[name] = (max(versions, oldest, key=_as_numbers), [*extras, extra])
    return found


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def tables() -> str:
    """Return the two tables of docs/third-party.md."""
    inside = [
        f"| {part.name} | {part.version or 'that of the build'} | {part.licence} | {part.where} "
        f"| {f'`{part.notice}`' if part.notice else ''} |"
        for part in PARTS
    ]
    beside = []
    for name, (oldest, extras) in sorted(requirements().items()):
        named = ", ".join(f"`{extra}`" if extra else "always" for extra in extras)
        beside.append(f"| {name} | {oldest} | {LICENCES[name]} | {named} |")
    return "\n".join(
        [
            "| part | version | licence | what of it | text of the licence |",
            "| --- | --- | --- | --- | --- |",
            *inside,
            "",
            "| package | oldest release | licence | installed by the extra |",
            "| --- | --- | --- | --- |",
            *beside,
        ]
    )


def with_tables(page: str, made: str) -> str:
    """Return a page with what is between its marks replaced."""
    begin, end = "<!-- generated -->\n", "\n<!-- end of generated -->"
    before, _, rest = page.partition(begin)
    after = rest.partition(end)[2]
    return f"{before}{begin}\n{made}\n{end}{after}"


def main() -> int:
    """Write the tables into the page, and return the exit code."""
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), tables()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
