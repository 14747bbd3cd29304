"""Builds the compiled core; everything else about the package stands in pyproject.toml.

ECGFRAME_BUILD=plain builds no extension, for the wheel that runs anywhere, slower; the default is "compiled".
ECGFRAME_BUILD=sanitized watches every access and every sum of the core at run time, four times slower.

ECGFRAME_COVERAGE=cython compiles with line tracing, which measures the lines that the tests reach and is twenty times
slower. CFLAGS=-DECGFRAME_PORTABLE_LOOPS leaves out what only some processors can do, for testing on those what the
others run.

With SOURCE_DATE_EPOCH set, the source archive comes out the same, byte for byte, wherever and whenever it is built.

The description of the package is its README with absolute links. Each wheel holds a bill of its third-party parts.
"""

import gzip
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import Cython
import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.sdist import sdist

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))  # a build in an environment of its own does not look here

from release.description import with_absolute_links  # noqa: E402
from release.parts import write_bill  # noqa: E402
from release.project import project  # noqa: E402

BUILD = os.environ.get("ECGFRAME_BUILD", "compiled")
COVERAGE = os.environ.get("ECGFRAME_COVERAGE")
TRACED = COVERAGE == "cython"
KERNELS = sorted(path.as_posix() for path in Path("ecgframe/_core").glob("*.pyx"))
CODEC = [path.with_suffix(".py").as_posix() for path in sorted(Path("ecgframe/codec").glob("*.pxd"))]
SOURCES = [*KERNELS, *CODEC]
WITH_NUMPY = {"ecgframe/_core/ndarrays.pyx"}
# Python's own flags make sums wrap around; the sanitizer shall see where one would.
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-wrapv"]
if "clang" in os.environ.get("CC", ""):  # which minds, other than gcc, that Python calls functions by another type
    SANITIZERS += ["-fno-sanitize=function"]

if BUILD not in {"compiled", "plain", "sanitized"}:
    raise SystemExit(f"ECGFRAME_BUILD is compiled, plain or sanitized, not {BUILD!r}")


def compiler_flags() -> list[str]:
    """Speed, and no debugging symbols: they would be three quarters of a wheel."""
    if sys.platform == "win32":
        return []
    if BUILD == "sanitized":
        return [*SANITIZERS, "-O1", "-g1", "-fno-omit-frame-pointer"]
    return ["-g0", "-O1" if TRACED else "-O3"]


class ReproducibleSdist(sdist):
    """The source archive without a trace of who packed it, when and where, if SOURCE_DATE_EPOCH says what to write."""

    def make_archive(self, base_name: str, format: str, root_dir: Any = None, base_dir: str = "", **who: Any) -> str:
        """Pack ``base_dir``; the path of the archive."""
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if epoch is None or format != "gztar":
            return super().make_archive(base_name, format, root_dir, base_dir, **who)

        def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.mtime = int(epoch)
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            return member

        path = base_name + ".tar.gz"
        with (
            open(path, "wb") as file,
            gzip.GzipFile("", "wb", compresslevel=9, fileobj=file, mtime=int(epoch)) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(base_dir, filter=anonymous)  # adds a folder's files in the order of their names
        return path


class WheelWithBill(bdist_wheel):
    """A wheel, or the metadata of an editable installation, with a bill of its third-party parts."""

    def write_wheelfile(self, wheelfile_base: Any, *arguments: Any, **options: Any) -> None:
        """Write the file WHEEL, and the bill beside it."""
        super().write_wheelfile(wheelfile_base, *arguments, **options)
        tools = {"Cython": Cython.__version__, "numpy": numpy.__version__} if BUILD != "plain" else {}
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        write_bill(Path(wheelfile_base), self.distribution.get_version(), tools, epoch)


def description() -> str:
    """The README, with links for PyPI."""
    metadata = project()["project"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return with_absolute_links(readme, metadata["urls"]["Homepage"], metadata["version"], ROOT)


setup(
    long_description=description(),
    long_description_content_type="text/markdown",
    cmdclass={"sdist": ReproducibleSdist, "bdist_wheel": WheelWithBill},
    options={
        # A folder for each kind of build, lest one link what another has compiled.
        "build": {"build_base": "build/" + "-".join(filter(None, (BUILD, COVERAGE)))},
        "build_ext": {"parallel": os.cpu_count() or 1},
    },
    ext_modules=cythonize(
        [
            Extension(
                path.partition(".")[0].replace("/", "."),
                [path],
                include_dirs=["ecgframe/_core", *([numpy.get_include()] if path in WITH_NUMPY else [])],
                define_macros=[("CYTHON_TRACE_NOGIL", "1")] if TRACED else [],
                extra_compile_args=compiler_flags(),
                extra_link_args=SANITIZERS[:1] if BUILD == "sanitized" else [],
            )
            for path in (SOURCES if BUILD != "plain" else [])
        ],
        compiler_directives={
            "language_level": 3,
            "binding": False,  # what Python can look into weighs a tenth of a wheel; public functions ask for it
            "annotation_typing": False,  # annotations are for people and mypy; C types stand in the .pxd files
            "freethreading_compatible": True,
            "linetrace": TRACED,
        },
        force=TRACED,  # what was translated without tracing is as new as its source
        nthreads=(os.cpu_count() or 1) if sys.platform == "linux" else 0,  # by processes, which elsewhere run this file
    ),
)
