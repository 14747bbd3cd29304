"""docs/design.md: each file that it names exists."""

import re

import pytest
from pages import ROOT, read

PATHS = sorted(set(re.findall(r"`([\w./-]+/[\w.-]+\.(?:pyx|py|h|ts))`", read("docs/design.md"))))


def test_the_page_names_files():
    assert len(PATHS) > 25


@pytest.mark.parametrize("path", PATHS)
def test_each_file_exists(path):
    if path.startswith(("client/src", "client/monitor")) and not (ROOT / "client").exists():
        pytest.skip("the client is not here")
    assert (ROOT / path).exists() or (ROOT / "ecgframe" / path).exists()
