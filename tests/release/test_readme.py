"""The first command of the README is found, and run with nothing but a compiler."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from release_package import FOLDER, load

readme = load("readme")
README = (FOLDER.parent / "README.md").read_text(encoding="utf-8")


def test_the_first_command_serves():
    command = readme.first_command(README)
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


@pytest.mark.parametrize("readme_text", ["", README.replace("ecgframe serve\n", "ecgframe watch\n")])
def test_a_readme_without_one_is_refused(readme_text):
    with pytest.raises(readme.Failed, match="does not begin with a command that serves"):
        readme.first_command(readme_text)


@pytest.mark.skipif(not (sys.platform == "linux" and shutil.which("gcc")), reason="needs gcc")
def test_only_a_compiler_is_available(tmp_path):
    folder = readme._only_a_compiler(Path(sys.executable), tmp_path / "programs")
    there = set(os.listdir(folder))
    assert there >= {"python3", "gcc", "as", "ld"}
    assert not there & {"git", "make", "g++", "c++", "node", "cython", "sh"}
    assert len(there) < 12
