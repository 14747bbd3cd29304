"""Build the files of a release from the committed sources, and test them as installed by a user.

    python -m release [--python PATH ...] [--whole] [--output FOLDER]

The source archive is built twice, with identical bytes. From it, a wheel is built for each installed CPython from
3.11 on, and the plain wheel. Each wheel is inspected, installed without a compiler, and tested outside the sources. The
first command of the README is run in the unpacked archive, with little more than a compiler. The exit code is 1 at the
first failure. Packages are installed from the index that pip is configured for.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import conda, metadata, readme, sdist, wheel
from .project import ROOT, group, oldest, project
from .pythons import Python, examine, installed
from .running import Failed, run, venv
from .trial import Trial

OF_THE_OLDEST_NUMPY = "cp311"  # newer Pythons came after it, or are tried without


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m release", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", type=Path, action="append", metavar="PATH", help="only this Python; repeatable")
    parser.add_argument("--whole", action="store_true", help="also run the whole test suite on each wheel")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="copy the archive and the wheels to this folder")
    return parser.parse_args(arguments)


class Rehearsal:
    """Performs all steps of a release except publishing.

    Args:
        work: folder for temporary files.
        pythons: the interpreters to build wheels for, the oldest first.
        whole: whether the whole test suite is run on each wheel.
    """

    def __init__(self, work: Path, pythons: list[Python], whole: bool) -> None:
        self.work = work
        self.pythons = pythons
        self.whole = whole
        self.epoch = run("git", "log", "-1", "--format=%ct", cwd=ROOT).strip()
        self.begin = time.monotonic()

    def run(self) -> list[Path]:
        """Build and test everything; return the paths of the files to publish.

        Raises:
            Failed: a check has failed.
        """
        self.tools = venv(
            self.pythons[-1].path, self.work / "tools", [*group("release"), *project()["build-system"]["requires"]]
        )
        archive = sdist.build(self.tools / "python", self.work, self.epoch)
        shown = metadata.check_archive(archive, self.tools, self.work)
        shown += conda.check(archive, self.tools, self.work)
        self.say(archive.name, [f"{archive.stat().st_size / 1000:,.0f} kB", "twice the same", *shown])
        self.archive, self.sources = archive, sdist.unpack(archive, self.work)
        with ThreadPoolExecutor(2) as pool:
            typed = pool.submit(self.as_the_readme_says)
            jobs = [pool.submit(self.compiled, python) for python in self.pythons] + [pool.submit(self.plain)]
            try:
                typed.result()
                return [archive, *(job.result() for job in jobs)]
            except Failed:
                pool.shutdown(cancel_futures=True)
                raise

    def as_the_readme_says(self) -> None:
        """Run the first command of the README with little more than a compiler (on Linux only)."""
        if sys.platform == "linux":
            folder = self.work / "readme"
            folder.mkdir()
            sources = sdist.unpack(self.archive, folder)
            self.say(self.archive.name, readme.try_first_command(self.pythons[-1], sources, folder / "programs"))

    def compiled(self, python: Python) -> Path:
        """Build and test the wheel for one interpreter; the oldest one is tested with the oldest NumPy as well."""
        built = wheel.build(python, self.archive, self.tools, self.work, self.epoch)
        pins = [oldest("numpy")] if python.tag == OF_THE_OLDEST_NUMPY else []
        trial = Trial(python.path, built.path, self.sources, self.work / f"trial-{python.tag}", *pins)
        remarks = [*built.remarks, *trial.quick()]
        remarks += trial.with_newest_numpy() if pins else []
        remarks += [trial.whole()] if self.whole else []
        self.say(built.path.name, remarks)
        return built.path

    def plain(self) -> Path:
        """Build the plain wheel, and test it with the newest interpreter; return its path."""
        built = wheel.build_plain(self.pythons[-1], self.archive, self.tools, self.work, self.epoch)
        trial = Trial(self.pythons[-1].path, built.path, self.sources, self.work / "trial-plain")
        self.say(built.path.name, [*built.remarks, *trial.quick()])
        return built.path

    def say(self, name: str, remarks: list[str]) -> None:
        """Print a finished step and its remarks."""
        print(f"{time.monotonic() - self.begin:4.0f} s  {name}", *remarks, sep="\n          ", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    options = options_of(arguments)
    asked_for = {path: examine(path) for path in options.python or ()}
    if unfit := [str(path) for path, found in asked_for.items() if found is None]:
        print(f"not a supported CPython: {', '.join(unfit)}", file=sys.stderr)
        return 2
    pythons = [found for found in asked_for.values() if found] or installed()
    with tempfile.TemporaryDirectory(prefix="ecgframe-release-") as folder:
        try:
            built = Rehearsal(Path(folder), pythons, options.whole).run()
        except Failed as failed:
            print(failed, file=sys.stderr)
            return 1
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
            for path in built:
                shutil.copy2(path, options.output)
    print(f"{len(built)} files could be published")
    return 0


if __name__ == "__main__":
    sys.exit(main())
