"""Check that a tag, the version in pyproject.toml and the changelog name the same release.

python -m release.version v1.2.3
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from .project import ROOT, project


def disagreements(tag: str, version: str, changelog: str) -> list[str]:
    """Return what must be corrected before this tag may be released; empty if nothing."""
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, and pyproject.toml has the version {version}")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.M):
        found.append(f"CHANGELOG.md has no heading '## [{version}] - YEAR-MONTH-DAY'")
    unreleased = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    if unreleased is None or unreleased[1].strip():
        found.append("CHANGELOG.md must have an empty section [Unreleased] above the release's own")
    return found


def main(tag: str) -> int:
    """Check the tag, and return the exit code."""
    changelog = Path(ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = disagreements(tag, project()["project"]["version"], changelog)
    print(*found, sep="\n", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
