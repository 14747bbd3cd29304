"""The tag, the version and the changelog of a release have to agree."""

from __future__ import annotations

import pytest
from release_package import FOLDER, load

version = load("version")
disagreements = version.disagreements
disagreements_of_npm, disagreements_of_repository = version.disagreements_of_npm, version.disagreements_of_repository

CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.3] - 2026-11-25

### Added

- Something.
"""


def test_consistent_versions_have_no_disagreement():
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
def test_each_disagreement_is_named(tag, version, changelog, told):
    (found,) = disagreements(tag, version, changelog)
    assert told in found


def test_the_citation_is_of_this_version():
    version = load("project").project()["project"]["version"]
    assert f"\nversion: {version}\n" in (FOLDER.parent / "CITATION.cff").read_text(encoding="utf-8")


HOME = "https://example.org/us/ecgframe"
PACKAGE = {"version": "1.2.3", "repository": {"url": f"git+{HOME}.git"}}


def test_the_npm_package_agrees():
    assert disagreements_of_npm(PACKAGE, "1.2.3", HOME) == []
    assert "the version 1.2.3" in disagreements_of_npm(PACKAGE, "1.2.4", HOME)[0]
    assert "the repository" in disagreements_of_npm(PACKAGE, "1.2.3", "https://example.org/them/ecgframe")[0]


def test_another_repository_is_named():
    assert disagreements_of_repository(HOME, HOME) == disagreements_of_repository(HOME, "") == []
    assert "published from https://example.org/x" in disagreements_of_repository(HOME, "https://example.org/x")[0]
