"""The npm package, built and packed as it is published, and the examples of docs/parts.md, which install it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CLIENT = Path(__file__).parents[2] / "client"
EXAMPLES = CLIENT / "examples"
SOURCES = ("src", "monitor", "examples", "package.json", "tsconfig.json", "tsconfig.build.json", "README.md", "LICENSE")
SECONDS = 400
"""Time that one command may take: the registry may be slow."""


def run(folder: Path, *command: str) -> str:
    """Run a command in a folder, and return its output."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"CI": "1", "NG_CLI_ANALYTICS": "false", "npm_config_yes": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-4000:]}"
    return done.stdout


def packed(folder: Path) -> Path:
    """Build and pack the package in a folder; return the archive. Without its tools, the test is skipped."""
    if not (CLIENT / "node_modules").is_dir() or shutil.which("npm") is None:
        missing = "the tools of the client are not installed (cd client && npm ci)"
        assert "ECGFRAME_REQUIRE_PEERS" not in os.environ, missing
        pytest.skip(missing)
    for name in SOURCES:
        source = CLIENT / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)
    (folder / "node_modules").symlink_to(CLIENT / "node_modules")
    run(folder, "npm", "run", "--silent", "build")
    run(folder, "npm", "pack", "--silent", "--ignore-scripts")
    [archive] = folder.glob("*.tgz")
    return archive


def unpacked(archive: Path, folder: Path) -> Path:
    """Unpack the archive into a folder; return the package in it."""
    shutil.unpack_archive(archive, folder, filter="data")
    return folder / "package"


def example(name: str, folder: Path) -> Path:
    """Copy an example, without what was installed or built in it."""
    return shutil.copytree(
        EXAMPLES / name, folder / name, ignore=shutil.ignore_patterns("node_modules", "dist", ".angular")
    )
