"""The description on PyPI is the README with links that work anywhere."""

from __future__ import annotations

import re

import pytest
from release_package import FOLDER, load

absolute = load("description").with_absolute_links
project = load("project").project()["project"]
ROOT = FOLDER.parent
HOME = "https://example.org/ecgframe"


@pytest.fixture
def folder(tmp_path):
    for name in ("README.md", "docs/page.md", "docs/picture.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("[a](docs/page.md)", f"[a]({HOME}/blob/v1.2.3/docs/page.md)"),
        ("[a](docs/page.md#part)", f"[a]({HOME}/blob/v1.2.3/docs/page.md#part)"),
        ('[a](docs/page.md "title")', f'[a]({HOME}/blob/v1.2.3/docs/page.md "title")'),
        ("[a](docs/)", f"[a]({HOME}/tree/v1.2.3/docs)"),
        ("[client/](client/)", f"[client/]({HOME}/tree/v1.2.3/client)"),
        ("[a](#part)", f"[a]({HOME}/blob/v1.2.3/README.md#part)"),
        ("![a](docs/picture.png)", f"![a]({HOME}/raw/v1.2.3/docs/picture.png)"),
        (
            "[![a](docs/picture.png)](docs/page.md)",
            f"[![a]({HOME}/raw/v1.2.3/docs/picture.png)]({HOME}/blob/v1.2.3/docs/page.md)",
        ),
        ('<img src="docs/picture.png">', f'<img src="{HOME}/raw/v1.2.3/docs/picture.png">'),
        ("[a]: docs/page.md", f"[a]: {HOME}/blob/v1.2.3/docs/page.md"),
        ("[a](https://example.com/x)", "[a](https://example.com/x)"),
        ("[a](mailto:a@example.com)", "[a](mailto:a@example.com)"),
        ("`x[0](docs/none)`", "`x[0](docs/none)`"),
        ("```\n[a](docs/none)\n```", "```\n[a](docs/none)\n```"),
    ],
)
def test_links(text, made, folder):
    assert absolute(text, HOME, "1.2.3", folder) == made


@pytest.mark.parametrize("target", ["docs/none.md", "../secret", "docs/../../secret"])
def test_a_link_to_nothing_is_refused(target, folder):
    with pytest.raises(ValueError, match="which does not exist"):
        absolute(f"[a]({target})", HOME, "1.2.3", folder)


def test_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    made = absolute(readme, project["urls"]["Homepage"], project["version"], ROOT)
    assert not re.search(r"\]\((?!https?://)", re.sub(r"^```.*?^```$", "", made, flags=re.M | re.S))
    assert made.count("\n") == readme.count("\n")


def test_all_addresses_are_of_one_place():
    home = project["urls"]["Homepage"]
    assert home.startswith("https://github.com/")
    _, _, _, owner, name = home.split("/")
    assert all(url.startswith((home, f"https://{owner}.github.io/{name}/")) for url in project["urls"].values())
