"""What error messages say to install holds wherever ecgframe is imported from."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from ecgframe import libraries


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The package as if it lay in a clone."""
    (tmp_path / "ecgframe").mkdir()
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(libraries, "__file__", str(tmp_path / "ecgframe" / "libraries.py"))
    return tmp_path


def metadata_in(monkeypatch, *folders):
    """What is installed as ecgframe, by the folders in which its metadata are."""
    found = [importlib.metadata.PathDistribution(folder / "ecgframe-0.1.0.dist-info") for folder in folders]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda *, name: found)


def test_a_clone_that_is_not_installed_is_named_by_its_folder(clone, monkeypatch):
    metadata_in(monkeypatch)
    assert libraries.how_to_install("edf") == f'pip install "{clone}[edf]"'


def test_metadata_that_a_build_has_left_are_no_installation(clone, monkeypatch):
    metadata_in(monkeypatch, clone)
    assert libraries.how_to_install("edf") == f'pip install "{clone}[edf]"'


def test_an_editable_installation_of_a_clone_is_named_as_any(clone, monkeypatch):
    metadata_in(monkeypatch, clone, Path("/usr/lib/python3/site-packages"))
    assert libraries.how_to_install("edf") == 'pip install "ecgframe[edf]"'


def test_an_installed_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(libraries, "__file__", str(tmp_path / "ecgframe" / "libraries.py"))
    metadata_in(monkeypatch, tmp_path)
    assert libraries.how_to_install("edf") == 'pip install "ecgframe[edf]"'


def test_the_error_says_so(clone, monkeypatch):
    metadata_in(monkeypatch)
    with pytest.raises(libraries.MissingLibrary) as missing:
        libraries.library("ecgframe_has_no_such_library", extra="edf", purpose="reading EDF")
    assert str(missing.value) == (
        f'reading EDF needs ecgframe_has_no_such_library, which is not installed: pip install "{clone}[edf]"'
    )
