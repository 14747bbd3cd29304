"""The source archive: checks that it is complete and reproducible."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from .project import ROOT
from .running import Failed, run

# Files that the build adds to those under version control.
GENERATED = {"PKG-INFO", "setup.cfg"}
# Files under version control that are not in the archive.
LEFT_OUT = (".", "client")


def build(python: Path, work: Path, epoch: str) -> Path:
    """Build the archive twice from the committed sources, in different folders; return the path of one.

    Args:
        python: interpreter with the package ``build`` and the build requirements of ecgframe.
        work: folder for temporary files.
        epoch: SOURCE_DATE_EPOCH, the modification time of all files.

    Raises:
        Failed: the two archives differ, or files are missing or unexpected.
    """
    one, two = (_build_once(python, work / name, epoch) for name in ("one", "other-place"))
    if one.read_bytes() != two.read_bytes():
        raise Failed(f"{one.name} differs each time it is built: {one} {two}")
    check_contents(one)
    return one


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack the archive; return the folder of the sources."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def check_contents(archive: Path) -> None:
    """Compare the contents of the archive with the files under version control.

    Raises:
        Failed: a file is missing or unexpected.
    """
    with tarfile.open(archive) as packed:
        found = {name.partition("/")[2] for name in packed.getnames() if packed.getmember(name).isfile()}
    tracked = set(run("git", "ls-files", cwd=ROOT).splitlines())
    wanted = {path for path in tracked if not path.startswith(LEFT_OUT)}
    if missing := wanted - found:
        raise Failed(f"{archive.name} lacks {', '.join(sorted(missing))}")
    if extra := {path for path in found - wanted - GENERATED if ".egg-info/" not in path}:
        raise Failed(f"{archive.name} contains unexpected files: {', '.join(sorted(extra))}")


def _build_once(python: Path, folder: Path, epoch: str) -> Path:
    folder.mkdir()
    checkout = folder / "checkout"
    run("git", "clone", "--quiet", "--no-hardlinks", ROOT, checkout, cwd=folder)
    for path in checkout.rglob("*"):  # like on a machine with another clock and umask
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
