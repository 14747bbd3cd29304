"""Holds workflows, templates, the citation and the containers against their schemas; and which wheels would be built.

    python -m release.workflows

Needs the dependency group ``workflows``, and no network.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from .project import ROOT
from .running import Failed, run

SCHEMAS = {
    "vendor.github-workflows": ".github/workflows/*.yml",
    "custom.github-workflows-require-timeout": ".github/workflows/*.yml",
    "vendor.dependabot": ".github/dependabot.yml",
    "vendor.github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "vendor.github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "vendor.citation-file-format": "CITATION.cff",
    "vendor.compose-spec": "examples/deployment/compose.yaml",
}
PYTHONS = ("cp311", "cp312", "cp313", "cp314", "cp314t", "cp315", "cp315t")
PLATFORMS = (
    "manylinux_x86_64",
    "manylinux_aarch64",
    "musllinux_x86_64",
    "musllinux_aarch64",
    "macosx_arm64",
    "macosx_x86_64",
    "win_amd64",
    "win_arm64",
)
BUILT_ON = {"manylinux": "linux", "musllinux": "linux", "macosx": "macos", "win": "windows"}


def check_schemas() -> None:
    """Hold each file against its schema.

    Raises:
        Failed: one does not keep to it, or a pattern finds no file.
    """
    for schema, pattern in SCHEMAS.items():
        files = sorted(ROOT.glob(pattern))
        if not files:
            raise Failed(f"there is no {pattern}")
        _tool("check-jsonschema", "--builtin-schema", schema, *files)


def check_safety() -> None:
    """Actions pinned by their hashes, no more rights than needed, no text of strangers in a shell, and the like.

    Raises:
        Failed: zizmor has found something.
    """
    _tool("zizmor", "--offline", "--no-progress", "--persona", "pedantic", ".github")


def check_wheels() -> None:
    """Every wheel that we promise is built by one of the release's jobs, and no other.

    Raises:
        Failed: one is missing, or one would be built that nobody asked for.
    """
    promised = {f"{python}-{platform}" for python in PYTHONS for platform in PLATFORMS}
    built = [wheel for row in _matrix() for wheel in _wheels_of(row)]
    if wrong := promised ^ set(built):
        raise Failed(f"promised or built, and not both: {', '.join(sorted(wrong))}")
    if len(built) > len(promised):
        raise Failed(f"{len(built) - len(promised)} wheels would be built twice")


def _matrix() -> list[dict[str, Any]]:
    release = YAML(typ="safe").load(ROOT / ".github" / "workflows" / "release.yml")
    rows: list[dict[str, Any]] = release["jobs"]["wheels"]["strategy"]["matrix"]["include"]
    return rows


def _wheels_of(row: dict[str, Any]) -> list[str]:
    platform = BUILT_ON[row["platform"].partition("_")[0]]
    environment = {"CIBW_ARCHS": row["archs"], "CIBW_SKIP": row["skip"]}
    return _tool("cibuildwheel", "--print-build-identifiers", "--platform", platform, environment=environment).split()


def _tool(name: str, *arguments: object, environment: dict[str, str] | None = None) -> str:
    program = Path(sys.executable).with_name(name + (".exe" if os.name == "nt" else ""))
    return run(program, *arguments, cwd=ROOT, environment=environment)


def main() -> int:
    """Check the workflows, and return the exit code."""
    try:
        check_schemas()
        check_safety()
        check_wheels()
    except Failed as failed:
        print(failed, file=sys.stderr)
        return 1
    print(f"{len(SCHEMAS)} schemas are kept to, and {len(PYTHONS) * len(PLATFORMS)} wheels would be built")
    return 0


if __name__ == "__main__":
    sys.exit(main())
