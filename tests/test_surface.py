"""The public interface changes only where the changelog says so: names, signatures, options, bytes of frames."""

from __future__ import annotations

import json

import pytest
import surface
from interpreter import python

RECORDED = {
    "ecgframe.Codec": "class of object",
    "ecgframe.Codec.__init__": "(self, *, version=3)",
    "ecgframe.Codec.encode": "(self, type, data)",
    "ecgframe.Codec.decode": "(self, buffer)",
    "ecgframe watch since": "option --since",
    "vector PING v1": "0123",
}
CHANGELOG = """# Changelog

## [Unreleased]

### Added

- An old entry about `Codec.encode`
  and more.
- `frobnicate`, of which
  nobody knew.

### Fixed

- A new one.

## [0.1.0] - 2026-01-01

- `decode` of a release.
"""


@pytest.mark.slow
@pytest.mark.skipif(not surface.CHANGELOG.exists(), reason="installed without the changelog")
def test_what_differs_is_told(monkeypatch):
    for library in ("typer", "starlette", "aiohttp", "picows", "websockets", "redis"):
        pytest.importorskip(library)
    monkeypatch.setenv("ECGFRAME_PLAIN", "1")
    done = python(surface.TESTS / "surface.py", "--json")
    assert done.returncode == 0, done.stderr
    recorded = json.loads(surface.RECORD.read_text(encoding="utf-8"))
    told_before = set(recorded["told"])
    now = surface.entries(surface.CHANGELOG.read_text(encoding="utf-8"))
    new = [entry for entry in now if surface.digest(entry) not in told_before]
    untold = surface.untold(surface.differences(recorded["surface"], json.loads(done.stdout)), new)
    assert not untold, "CHANGELOG.md does not tell of these, by name, in an entry of its own below Unreleased"


def test_nothing_differs_from_itself():
    assert surface.differences(RECORDED, RECORDED) == {}


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("ecgframe.Codec.encode", "(self, type, data, *, flags=0)", "changed from (self, type, data) to"),
        ("ecgframe.Codec.encode", None, "removed"),
        ("ecgframe.Codec.frobnicate", "(self)", "added"),
        ("ecgframe.frobnicate", "()", "added"),
        ("ecgframe watch since", None, "removed"),
        ("ecgframe watch since", "option --since -s", "changed"),
        ("vector PING v1", "0124", "changed from 0123 to 0124"),
        ("vector PING v1", None, "removed"),
    ],
)
def test_a_difference_is_found_and_must_be_told(name, value, what):
    current = {key: said for key, said in (RECORDED | {name: value}).items() if said is not None}
    found = surface.differences(RECORDED, current)
    assert list(found) == [name]
    assert found[name].startswith(what)
    assert surface.untold(found, ["Something else, encoded."]) == found
    assert surface.untold(found, [f"Now `{surface.word_for(name)}` does it."]) == {}


def test_a_new_vector_changes_nothing():
    assert surface.differences(RECORDED, RECORDED | {"vector PING v2": "0000"}) == {}


def test_members_go_with_their_class():
    new = {"ecgframe.Other": "class of object", "ecgframe.Other.__init__": "(self)", "ecgframe.Other.x": "attribute"}
    assert surface.differences(RECORDED, RECORDED | new) == {"ecgframe.Other": "added"}
    without = {name: value for name, value in RECORDED.items() if not name.startswith("ecgframe.Codec")}
    assert surface.differences(RECORDED, without) == {"ecgframe.Codec": "removed"}


def test_the_entries_of_what_is_not_released():
    assert surface.entries(CHANGELOG) == [
        "An old entry about `Codec.encode` and more.",
        "`frobnicate`, of which nobody knew.",
        "A new one.",
    ]
    assert surface.entries("# Changelog\n") == []


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("ecgframe.Codec.encode", "encode"),
        ("ecgframe.Codec.__init__", "Codec"),
        ("ecgframe watch max_age", "max-age"),
        ("vector ECG_DATA v3", "ECG_DATA v3"),
    ],
)
def test_how_an_entry_names_it(name, word):
    assert surface.word_for(name) == word
