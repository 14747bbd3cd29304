"""Build what would be published, from what is committed, and try it as a stranger would.

    python -m release [--python PATH ...] [--whole] [--output FOLDER]

The source archive twice, byte for byte the same; from it a wheel for each CPython from 3.11 on that is installed, and
the plain one; each looked through, installed where there is no compiler, and tested from outside the sources. The
README's first command as well, in the unpacked archive, where there is a compiler and little else. Ends with 1 at the
first thing that does not hold. Packages are taken from the index that pip is set up for.
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

from . import readme, sdist, wheel
from .project import ROOT, group, oldest, project
from .pythons import Python, examine, installed
from .running import Failed, run, venv
from .trial import Trial

OF_THE_OLDEST_NUMPY = "cp311"  # newer Pythons came after it, or are tried without


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m release", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", type=Path, action="append", metavar="PATH", help="for this one alone; repeatable")
    parser.add_argument("--whole", action="store_true", help="run the whole suite on each wheel as well")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="keep the archive and the wheels there")
    return parser.parse_args(arguments)


class Rehearsal:
    """A release up to the point where it would be published.

    Args:
        work: a folder for all that is made on the way.
        pythons: the interpreters that get a wheel, from the oldest on.
        whole: whether the whole suite runs on each wheel.
    """

    def __init__(self, work: Path, pythons: list[Python], whole: bool) -> None:
        self.work = work
        self.pythons = pythons
        self.whole = whole
        self.epoch = run("git", "log", "-1", "--format=%ct", cwd=ROOT).strip()
        self.begin = time.monotonic()

    def run(self) -> list[Path]:
        """Everything; the paths of what would be published.

        Raises:
            Failed: something does not hold.
        """
        self.tools = venv(
            self.pythons[-1].path, self.work / "tools", [*group("release"), *project()["build-system"]["requires"]]
        )
        archive = sdist.build(self.tools / "python", self.work, self.epoch)
        self.say(archive.name, [f"{archive.stat().st_size / 1000:,.0f} kB", "twice the same"])
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
        """The README's first command, typed where there is a compiler and little else; on Linux, where we know what."""
        if sys.platform == "linux":
            folder = self.work / "readme"
            folder.mkdir()
            sources = sdist.unpack(self.archive, folder)
            self.say(self.archive.name, readme.try_first_command(self.pythons[-1], sources, folder / "programs"))

    def compiled(self, python: Python) -> Path:
        """The wheel of one interpreter, built and tried, beside the oldest NumPy where that can be had."""
        built = wheel.build(python, self.archive, self.tools, self.work, self.epoch)
        pins = [oldest("numpy")] if python.tag == OF_THE_OLDEST_NUMPY else []
        trial = Trial(python.path, built.path, self.sources, self.work / f"trial-{python.tag}", *pins)
        remarks = [*built.remarks, *trial.quick()]
        remarks += trial.with_newest_numpy() if pins else []
        remarks += [trial.whole()] if self.whole else []
        self.say(built.path.name, remarks)
        return built.path

    def plain(self) -> Path:
        """The wheel for anywhere, tried with the newest interpreter."""
        built = wheel.build_plain(self.pythons[-1], self.archive, self.tools, self.work, self.epoch)
        trial = Trial(self.pythons[-1].path, built.path, self.sources, self.work / "trial-plain")
        self.say(built.path.name, [*built.remarks, *trial.quick()])
        return built.path

    def say(self, name: str, remarks: list[str]) -> None:
        """One finished thing, and what was found."""
        print(f"{time.monotonic() - self.begin:4.0f} s  {name}", *remarks, sep="\n          ", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = options_of(arguments)
    asked_for = {path: examine(path) for path in options.python or ()}
    if unfit := [str(path) for path, found in asked_for.items() if found is None]:
        print(f"no CPython that is supported: {', '.join(unfit)}", file=sys.stderr)
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
