"""The documentation site: the pages of this folder, and the reference from the docstrings. Built by ``nox -s docs``."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]

project = "ecgframe"
author = "The ecgframe developers"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
release = PROJECT["version"]
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3  # the pages link to headings of one another, and are read on GitHub as well
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"ecgframe {release}"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # else each attribute would be described twice


def setup(app: Sphinx) -> None:
    """What the pages hold that Sphinx does not know by itself."""
    app.add_lexer("frame", TextLexer)  # a frame in hex, which the tests read
    app.add_lexer("haproxy", TextLexer)  # which Pygments does not know
    app.connect("include-read", link_within_the_site)


HOME = PROJECT["urls"]["Homepage"]
BENCH = {"README.md": "measuring.md", "RESULTS.md": "performance.md"}
CLIENT = {"../README.md": "../docs/index.md", "bench/README.md": f"{HOME}/blob/main/client/bench/README.md"}


def link_within_the_site(app: Sphinx, path: Path, parent: str, content: list[str]) -> None:
    """Pages of other folders link to one another; here they have other names."""
    for target, here in (CLIENT if parent == "typescript" else BENCH).items():
        content[0] = content[0].replace(f"]({target})", f"]({here})")
