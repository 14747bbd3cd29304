"""Every place that names the supported Pythons names the same ones."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from release_package import load

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ONE_VERSION = "Programming Language :: Python :: 3."
FREE_THREADED = "Programming Language :: Python :: Free Threading"
SUPPORTED = [line.rpartition(" ")[2] for line in PYPROJECT["project"]["classifiers"] if line.startswith(ONE_VERSION)]
WHEELS = [pattern.partition("-")[0] for pattern in PYPROJECT["tool"]["cibuildwheel"]["build"]]
WITH_GIL = [tag for tag in WHEELS if not tag.endswith("t")]


def test_every_python_of_the_classifiers_gets_a_wheel():
    assert [f"cp{version.replace('.', '')}" for version in SUPPORTED] == WITH_GIL


def test_free_threading_is_claimed_and_built():
    assert any(line.startswith(FREE_THREADED) for line in PYPROJECT["project"]["classifiers"])
    assert set(WHEELS) - set(WITH_GIL) == {"cp314t", "cp315t"}


def test_the_first_and_the_last_python():
    pythons = load("pythons")
    versions = [tuple(int(part) for part in version.split(".")) for version in SUPPORTED]
    assert (versions[0], versions[-1]) == (pythons.OLDEST, pythons.NEWEST)
    assert PYPROJECT["project"]["requires-python"] == f">={SUPPORTED[0]}"


def test_every_python_with_a_wheel_is_tested():
    yaml = pytest.importorskip("yaml")
    path = ROOT / ".github" / "workflows" / "ci.yml"
    if not path.exists():
        pytest.skip("the source archive has no workflows")
    matrix = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]["tests"]["strategy"]["matrix"]
    tested = {*matrix["python"], *(row["python"] for row in matrix["include"])}
    assert {f"cp{version.replace('.', '')}" for version in tested} == set(WHEELS)
