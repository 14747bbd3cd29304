"""The tag, the version and the changelog of a release have to agree."""

from __future__ import annotations

import pytest
from release_package import FOLDER, load

disagreements = load("version").disagreements

CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.3] - 2026-11-25

### Added

- Something.
"""


def test_they_agree():
    assert disagreements("v1.2.3", "1.2.3", CHANGELOG) == []


@pytest.mark.parametrize(
    ("tag", "version", "changelog", "told"),
    [
        ("v1.2.4", "1.2.3", CHANGELOG, "the tag is v1.2.4"),
        ("1.2.3", "1.2.3", CHANGELOG, "the tag is 1.2.3"),
        ("v1.2.4", "1.2.4", CHANGELOG, r"no heading '## [1.2.4] - "),
        ("v1x2.3", "1x2.3", CHANGELOG, "no heading"),
        ("v1.2.3", "1.2.3", CHANGELOG.replace("2026-11-25", "soon"), "no heading"),
        ("v1.2.3", "1.2.3", CHANGELOG.replace("[Unreleased]\n", "[Unreleased]\n\n- One more.\n"), "empty section"),
        ("v1.2.3", "1.2.3", CHANGELOG.replace("## [Unreleased]\n", ""), "empty section"),
    ],
)
def test_what_does_not_is_told(tag, version, changelog, told):
    (found,) = disagreements(tag, version, changelog)
    assert told in found


def test_the_citation_is_of_this_version():
    version = load("project").project()["project"]["version"]
    assert f"\nversion: {version}\n" in (FOLDER.parent / "CITATION.cff").read_text(encoding="utf-8")
