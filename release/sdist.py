"""The source archive: what it must hold, and that anybody can make the same one again."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from .project import ROOT
from .running import Failed, run

# Written by the build itself, beside what is under version control.
GENERATED = {"PKG-INFO", "setup.cfg"}
# Under version control, and of no use without it.
LEFT_OUT = (".", "client")


def build(python: Path, work: Path, epoch: str) -> Path:
    """Build the archive twice, at two places and times, from what is committed; the path of one.

    Args:
        python: with the package ``build``, and what building ecgframe requires.
        epoch: SOURCE_DATE_EPOCH, the time that all files are given.

    Raises:
        Failed: the two differ, or one lacks a file or has one too many.
    """
    one, two = (_build_once(python, work / name, epoch) for name in ("one", "other-place"))
    if one.read_bytes() != two.read_bytes():
        raise Failed(f"{one.name} differs each time it is built: {one} {two}")
    check_contents(one)
    return one


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack it; the folder of the sources."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def check_contents(archive: Path) -> None:
    """Hold what the archive has against what is under version control.

    Raises:
        Failed: a file is missing, or one is in it that is left out, or that nobody put under version control.
    """
    with tarfile.open(archive) as packed:
        found = {name.partition("/")[2] for name in packed.getnames() if packed.getmember(name).isfile()}
    tracked = set(run("git", "ls-files", cwd=ROOT).splitlines())
    wanted = {path for path in tracked if not path.startswith(LEFT_OUT)}
    if missing := wanted - found:
        raise Failed(f"{archive.name} lacks {', '.join(sorted(missing))}")
    if extra := {path for path in found - wanted - GENERATED if ".egg-info/" not in path}:
        raise Failed(f"{archive.name} holds what it should not: {', '.join(sorted(extra))}")


def _build_once(python: Path, folder: Path, epoch: str) -> Path:
    folder.mkdir()
    checkout = folder / "checkout"
    run("git", "clone", "--quiet", "--no-hardlinks", ROOT, checkout, cwd=folder)
    for path in checkout.rglob("*"):  # another machine's clock and habits
        if folder.name != "one" and not path.is_symlink():
            os.utime(path, (0, 0))
            path.chmod(path.stat().st_mode & 0o700)
    run(
        python,
        "-m",
        "build",
        "--sdist",
        "--no-isolation",
        "--outdir",
        folder,
        checkout,
        cwd=folder,
        environment={"SOURCE_DATE_EPOCH": epoch},
    )
    (archive,) = folder.glob("*.tar.gz")
    return archive
