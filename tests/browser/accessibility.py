"""axe, which finds whom a page shuts out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

AXE = Path(__file__).parents[2] / "client" / "node_modules" / "axe-core" / "axe.min.js"


def with_axe(page):
    """Load axe into a page; without it, the test is skipped. Returns the page."""
    if not AXE.exists():
        missing = f"axe-core is not installed (npm ci in client/): no {AXE}"
        assert "ECGFRAME_REQUIRE_PEERS" not in os.environ, missing
        pytest.skip(missing)
    page.evaluate(AXE.read_text())
    return page


def check_accessible(page):
    """WCAG 2.2 AA and axe's own best practices: names, roles, contrast, order."""
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = page.evaluate("tags => axe.run(document, { runOnly: tags })", tags)
    broken = [
        f"{rule['id']}: {node['html']} {node.get('failureSummary', '')}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
    assert broken == []
    assert len(found["passes"]) > 20
