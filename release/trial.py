"""Tests a wheel as a user would install it: in an empty environment, without a compiler and without the sources."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from pathlib import Path

from .live import serve_and_watch
from .project import group
from .running import Failed, run, venv

# These check that a wheel is complete and works when installed: all vectors, the import rules, and the kernels that are
# selected at run time. Correctness is checked by all tests, on the same sources.
BRIEF = ("tests/codec/test_vectors.py", "tests/codec/test_refusals.py", "tests/test_house.py")
KERNELS = ("tests/codec/test_float_rows.py", "tests/codec/test_zero_copy.py")
SMOKE = (*BRIEF, *KERNELS, "tests/messages")
ASKED = """
import json, shutil, ecgframe, numpy
compilers = [name for name in ("cc", "gcc", "clang", "c++", "cl") if shutil.which(name)]
codec = ecgframe.codec.codec.__file__
print(json.dumps([ecgframe.__version__, ecgframe.accelerated, codec, numpy.__version__, compilers]))
"""


class Trial:
    """A wheel that is installed in a separate environment.

    Args:
        python: a compatible interpreter.
        wheel: the wheel.
        sources: the unpacked source archive, which has the tests.
        folder: working folder; must not exist.
        pins: further requirements, such as ``numpy==1.26.*``.
    """

    def __init__(self, python: Path, wheel: Path, sources: Path, folder: Path, *pins: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.accelerated = "-none-any" not in wheel.name
        self.version = wheel.name.split("-")[1]
        self.programs = venv(python, folder / "venv")
        self.environment = {"PATH": str(self.programs), "HYPOTHESIS_PROFILE": "brief"}
        wanted = (f"ecgframe[cli,server,client] @ {wheel.as_uri()}", *group("wheel-test"), *pins)
        self._pip("install", "--only-binary", ":all:", *wanted)
        self.tests = shutil.copytree(
            sources, folder / "elsewhere", ignore=shutil.ignore_patterns("ecgframe", "*.egg-info")
        )

    def quick(self) -> list[str]:
        """Run a short test of about twenty seconds; return remarks on the result.

        Raises:
            Failed: a check or a test has failed.
        """
        seen = [*self._identity(), self._pytest(*(SMOKE if self.accelerated else BRIEF)), *self._on_an_old_processor()]
        return [*seen, self._compare(), self._serve_and_watch(), self._extra()]

    def with_newest_numpy(self) -> list[str]:
        """Try it again beside the newest NumPy there is: one wheel must do for all, whichever it was built with.

        Raises:
            Failed: a test failed.
        """
        self._pip("install", "--only-binary", ":all:", "--upgrade", "numpy")
        return [*self._identity()[1:], self._pytest(*BRIEF)]

    def whole(self) -> str:
        """Run the whole suite, with everything that it can be run with.

        Raises:
            Failed: a test failed.
        """
        self._pip("install", f"ecgframe[all]=={self.version}", *group("test"))
        self.environment |= {"PATH": f"{self.programs}:{os.environ['PATH']}", "HYPOTHESIS_PROFILE": "whole"}
        return self._pytest("tests", "--slow", seconds=3600)

    def _pip(self, *arguments: str) -> None:
        pip = (self.programs / "python", "-m", "pip", "--quiet", "--disable-pip-version-check")
        run(*pip, *arguments, cwd=self.folder, environment=self.environment)

    def _extra(self) -> str:
        """Check the command of error messages: pip keeps the installed ecgframe, and adds what an extra needs."""
        pip = (self.programs / "python", "-m", "pip", "--disable-pip-version-check", "install", "--dry-run")
        said = run(*pip, "ecgframe[edf]", cwd=self.folder, environment=self.environment)
        last = said.rstrip().rpartition("\n")[2]
        if not re.match(r"Would install .*edfio-", last) or "ecgframe-" in last:
            raise Failed(f'pip install "ecgframe[edf]" says: {last}')
        return 'pip install "ecgframe[edf]" adds edfio'

    def _command(self, *arguments: str) -> str:
        return run(self.programs / "ecgframe", *arguments, cwd=self.tests, environment=self.environment, seconds=240)

    def _identity(self) -> list[str]:
        answer = run(self.programs / "python", "-I", "-c", ASKED, cwd=self.tests, environment=self.environment)
        version, accelerated, path, numpy, compilers = json.loads(answer)
        if not Path(path).is_relative_to(self.folder / "venv") or version != self.version:
            raise Failed(f"{path} of version {version} was imported, not the wheel {self.version}")
        if accelerated is not self.accelerated or accelerated is not (Path(path).suffix in {".so", ".pyd"}):
            raise Failed(f"the core in use is {'the compiled' if accelerated else 'the plain'} one: {path}")
        if compilers:
            raise Failed(f"there are compilers on the PATH: {', '.join(compilers)}")
        return ["compiled" if accelerated else "plain", f"NumPy {numpy}"]

    def _on_an_old_processor(self) -> list[str]:
        """Return the kernels on a processor of 2008, the oldest that NumPy supports; nothing without an emulator."""
        emulator = shutil.which("qemu-x86_64")
        if emulator is None or not self.accelerated or platform.machine() != "x86_64":
            return []
        on_nehalem = (emulator, "-cpu", "Nehalem-v1", "-E", "OPENBLAS_CORETYPE=Nehalem")
        return [f"on Nehalem: {self._pytest(*KERNELS, before=on_nehalem)}"]

    def _pytest(self, *paths: str, before: tuple[str, ...] = (), seconds: float = 600) -> str:
        environment = self.environment | ({} if self.accelerated else {"ECGFRAME_PLAIN": "1"})
        pytest = (self.programs / "python", "-P", "-m", "pytest", "--quiet", "-p", "no:cacheprovider")
        said = run(*before, *pytest, *paths, cwd=self.tests, environment=environment, seconds=seconds)
        last = said.rstrip().rpartition("\n")[2]
        if not re.match(r"\d+ passed", last):
            raise Failed(f"pytest ended with: {last}")
        return last

    def _compare(self) -> str:
        found = self._command("compare", "--json", "--budget", "0")
        return f"compare: {len(found) / 1000:.0f} kB of measurements" if json.loads(found) else ""

    def _serve_and_watch(self) -> str:
        ecgframe = self.programs / "ecgframe"
        return serve_and_watch([ecgframe, "serve", "--port", "0"], ecgframe, self.tests, self.environment)
