"""The site's own pages: each of their programs runs, as it stands, and each page can be reached."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest
from pages import ROOT, blocks
from server.redis_server import redis_server

import ecgframe

DOCS = Path(__file__).parents[2] / "docs"
PROGRAMS = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Those with tests of their own know more of what their examples should do.
TESTED_ELSEWHERE = {"protocol", "servers", "frameworks", "monitor", "debugging", "troubleshooting"}
REDIS = "redis://127.0.0.1:6379/0"
PAGES = {page.stem: page for page in DOCS.glob("*.md")}


def run(name, capsys, **replaced):
    """Run the programs of a page, one after the other, with other texts for some; what they printed."""
    names = {}
    page = PAGES[name].read_text(encoding="utf-8")
    for old, new in replaced.items():
        page = page.replace(old, new)
    for program in PROGRAMS.findall(page):
        exec(compile(program, f"{name}.md", "exec"), names)
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return printed.out


@pytest.mark.parametrize("name", sorted(PAGES.keys() - TESTED_ELSEWHERE - {"several-servers"}))
def test_the_programs_of_a_page_run(name, capsys):
    if name == "tutorial":
        pytest.importorskip("websockets")
    if name == "formats":
        pytest.importorskip("pandas")
    if name == "opentelemetry":
        pytest.importorskip("opentelemetry.sdk")
    if name == "sealing":
        pytest.importorskip("cryptography")
    run(name, capsys)


def test_the_program_of_several_servers(tmp_path, capsys):
    pytest.importorskip("websockets")
    pytest.importorskip("redis")
    with redis_server(tmp_path) as server:
        printed = run("several-servers", capsys, **{REDIS: server.url})
    assert "'sampling_rate': 250" in printed


def test_the_pages_with_programs():
    found = {name for name, page in PAGES.items() if PROGRAMS.search(page.read_text(encoding="utf-8"))}
    assert found >= {"index", "tutorial", "moving-over"}


def test_the_example_of_the_package_prints_what_it_shows():
    assert doctest.testmod(ecgframe) == (0, 4)


# Who runs the blocks of each kind. Those in braces are Sphinx's, which builds the site with warnings as errors.
KINDS = {
    "python": "test_readme.py, the test of the page, or test_the_programs_of_a_page_run",
    "sh": "test_shell_blocks.py",
    "frame": "test_protocol_page.py",
    "nginx": "server/test_proxies.py",
    "c": "examples/test_device.py",
    "toml": "server/test_token_file.py",
    "haproxy": "server/test_proxies.py",
    "caddy": "server/test_proxies.py",
    "yaml": "examples/test_deployment.py; those of docs/proxies.md nobody, which the page says",
    "ts": "client/test/readme.test.ts, browser/test_page_frameworks.py",
    "html": "browser/test_element.py, whose page is client/examples/html",
    "text": "test_protocol_page.py, which compares it with the package",
    "{eval-rst}": "sphinx",
    "{include}": "sphinx",
    "{toctree}": "sphinx",
}
PLAIN = {
    "docs/debugging.md": "test_debugging_page.py",
    "docs/troubleshooting.md": "test_troubleshooting_page.py",
    "docs/design.md": "a drawing",
}
ALL_PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "client/*.md", "bench/*.md", "docs/*.md", "docs/reference/*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("page", ALL_PAGES)
def test_every_block_is_of_a_kind_that_something_runs(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    found = blocks(page)
    assert 2 * len(found) == len(re.findall(r"^ *```", text, re.M))
    for block in found:
        [kind, *_] = block.words.split() or [""]
        assert kind in KINDS or (kind == "" and page in PLAIN), f"{page}, line {block.line}"
    if page not in ("docs/proxies.md", "docs/deployment.md"):
        assert not {"nginx", "haproxy", "caddy", "yaml"} & {block.words for block in found}
    if page.startswith(("docs/reference", "client", "bench", "CONTRIBUTING")):  # whose programs nobody would run
        assert not [block for block in found if block.words == "python"]


def test_every_page_can_be_reached_from_the_first():
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```$", PAGES["index"].read_text(encoding="utf-8"), re.M | re.S)
    listed = {line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")}
    assert listed == (PAGES.keys() - {"index"}) | {"reference/index"}
