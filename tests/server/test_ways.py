"""The quick tests together use every way, although each of them uses only some."""

from __future__ import annotations

import re
from pathlib import Path

from server.engines import WAYS, quick_ways

EACH_WAY = re.compile(r"^@each_way\n(?:@.*\n)*def (test_\w+)", re.M)


def test_the_quick_tests_together_use_every_way():
    """The ways depend on the tests' names: after renaming a test, one way may be missing."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("test_*.py"))]
    # Tests that are slow themselves do not count.
    names = [name for text in texts for name in EACH_WAY.findall(text.replace("@pytest.mark.slow\n@each_way", ""))]
    assert len(names) > 15
    gone = [way for name in names for way in quick_ways(name)]
    assert set(gone) == WAYS.keys()
    assert len(gone) == 2 * len(names)
