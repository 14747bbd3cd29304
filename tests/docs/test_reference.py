"""The reference: every public module has its place in it, and no page tells of an import that it does not have."""

from __future__ import annotations

import re

import pytest
import surface
from pages import ROOT

REFERENCE = ROOT / "docs" / "reference"
NAMED = re.compile(r"^\.\. (?:automodule|currentmodule):: (\S+)$", re.M)
TREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.M | re.S)
IMPORTED = re.compile(r"^\s*from (ecgframe[\w.]*) import (.+)$|^\s*import (ecgframe[\w.]*)", re.M)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def documented() -> list[str]:
    """The modules that the reference describes, page by page in the order of its table of contents."""
    [tree] = TREE.findall((REFERENCE / "index.md").read_text(encoding="utf-8"))
    pages = [line for line in tree.splitlines() if line and not line.startswith(":")]
    assert sorted(pages) == sorted(path.stem for path in REFERENCE.glob("*.md") if path.stem != "index")
    return [name for page in pages for name in NAMED.findall((REFERENCE / f"{page}.md").read_text(encoding="utf-8"))]


def test_the_reference_describes_every_public_module_and_no_other():
    assert documented() == list(surface.MODULES)


@pytest.mark.parametrize("path", [*PAGES, *EXAMPLES], ids=lambda path: path.name)
def test_imported_modules_are_public(path):
    """All names that a page or an example imports are in the reference, so that no change of them is unannounced."""
    for module, names, whole in IMPORTED.findall(path.read_text(encoding="utf-8")):
        assert (module or whole) in surface.MODULES, path.name
        public = surface.public_names(module) if names else []
        for name in re.split(r"\s*,\s*", names.partition("#")[0].strip("() ")) if names else []:
            assert name.partition(" as ")[0] in public, f"{path.name}: {module}.{name}"
