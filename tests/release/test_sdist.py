"""A source archive contains exactly the files under version control."""

from __future__ import annotations

import io
import subprocess
import tarfile

import pytest
from release_package import FOLDER, load

sdist = load("sdist")
if not (FOLDER.parent / ".git").exists():
    pytest.skip("not under version control", allow_module_level=True)


def archive_of(folder, names):
    path = folder / "ecgframe-0.0.0.tar.gz"
    with tarfile.open(path, "w:gz") as packed:
        for name in names:
            packed.addfile(tarfile.TarInfo(f"ecgframe-0.0.0/{name}"), io.BytesIO())
    return path


@pytest.fixture(scope="module")
def wanted():
    listed = subprocess.run(["git", "ls-files"], cwd=FOLDER.parent, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if not name.startswith(sdist.LEFT_OUT)]


def test_all_that_is_wanted_and_what_the_build_writes(tmp_path, wanted):
    sdist.check_contents(archive_of(tmp_path, [*wanted, "PKG-INFO", "setup.cfg", "ecgframe.egg-info/SOURCES.txt"]))


@pytest.mark.parametrize("name", ["README.md", "ecgframe/_core/_header.pyx", "tests/vectors/frames.json"])
def test_a_file_that_is_missing(tmp_path, wanted, name):
    with pytest.raises(sdist.Failed, match=f"lacks {name}$"):
        sdist.check_contents(archive_of(tmp_path, [other for other in wanted if other != name]))


@pytest.mark.parametrize("name", ["ecgframe/_core/_header.c", ".env", "client/README.md"])
def test_a_file_too_many(tmp_path, wanted, name):
    with pytest.raises(sdist.Failed, match=f"contains unexpected files: {name}$"):
        sdist.check_contents(archive_of(tmp_path, [*wanted, name]))


def test_the_archive_is_unpacked(tmp_path, wanted):
    sources = sdist.unpack(archive_of(tmp_path, wanted), tmp_path)
    assert (sources / "ecgframe" / "__init__.py").exists()
