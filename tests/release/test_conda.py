"""The recipe for conda names what the package needs, and the archive from which it is built."""

from __future__ import annotations

import hashlib
import re

import pytest
import yaml
from release_package import FOLDER, load

conda, project = load("conda"), load("project").project()
CONDA_NAMES = {"msgpack": "msgpack-python", "zlib-ng": "python-zlib-ng"}
ABSENT = {"deflate"}
"""What has no package there, and is not needed."""


def named(requirements):
    """Requirements as conda writes them, but for those of Python and its packages."""
    found = {}
    for requirement in requirements:
        name, limits = re.match(r"([a-z-]+) ?(.*)", requirement.partition(";")[0].strip()).groups()
        if name not in ABSENT:
            found[CONDA_NAMES.get(name, name)] = limits
    return found


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "ecgframe-1.2.3.tar.gz"
    path.write_bytes(b"sources")
    return path


def test_the_recipe_names_the_archive(archive):
    recipe = yaml.safe_load(conda.recipe(archive))
    assert recipe["context"]["version"] == "1.2.3"
    assert recipe["source"]["sha256"] == hashlib.sha256(b"sources").hexdigest()


def test_requirements_are_those_of_the_package(archive):
    recipe = yaml.safe_load(conda.recipe(archive))["requirements"]
    assert named(recipe["run"]) == named(project["project"]["dependencies"]) | {"python": ""}
    assert named(recipe["host"]) == named(project["build-system"]["requires"]) | {"python": "", "pip": ""}


def test_the_oldest_python_the_command_and_the_licences_are_those_of_the_package(archive):
    recipe = yaml.safe_load(conda.recipe(archive))
    about = project["project"]
    assert recipe["build"]["skip"] == f'match(python, "<{about["requires-python"].removeprefix(">=")}")'
    assert recipe["build"]["python"]["entry_points"] == [
        f"{name} = {target}" for name, target in about["scripts"].items()
    ]
    assert recipe["about"]["license"] == about["license"]
    assert recipe["about"]["homepage"] == about["urls"]["Homepage"]
    assert all((FOLDER.parent / path).exists() for path in recipe["about"]["license_file"])


def test_another_file_is_refused(tmp_path):
    with pytest.raises(conda.Failed, match=r"numpy-2\.tar\.gz is not a source archive of ecgframe"):
        conda.recipe(tmp_path / "numpy-2.tar.gz")
