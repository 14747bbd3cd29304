"""Check that a tag, the versions of both packages and the changelog name the same release, of this repository.

python -m release.version v1.2.3
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

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


def disagreements_of_npm(package: dict[str, Any], version: str, home: str) -> list[str]:
    """Return what must be corrected in client/package.json before a release."""
    found = []
    if package["version"] != version:
        found.append(f"client/package.json has the version {package['version']}, and pyproject.toml {version}")
    if package["repository"]["url"] != f"git+{home}.git":
        found.append(f"client/package.json has the repository {package['repository']['url']}, not git+{home}.git")
    return found


def disagreements_of_repository(home: str, published_from: str) -> list[str]:
    """Return what must be corrected if pyproject.toml names another repository than the one that publishes.

    Args:
        home: the URL ``Homepage`` of pyproject.toml.
        published_from: address of the repository that publishes; empty if unknown.
    """
    if published_from and home != published_from:
        return [f"pyproject.toml says that the project is at {home}, and it is published from {published_from}"]
    return []


def main(tag: str) -> int:
    """Check the tag, and return the exit code."""
    changelog = Path(ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    metadata = project()["project"]
    version, home = metadata["version"], metadata["urls"]["Homepage"]
    package = json.loads((ROOT / "client" / "package.json").read_text(encoding="utf-8"))
    server, name = os.environ.get("GITHUB_SERVER_URL", ""), os.environ.get("GITHUB_REPOSITORY", "")
    found = [
        *disagreements(tag, version, changelog),
        *disagreements_of_npm(package, version, home),
        *disagreements_of_repository(home, f"{server}/{name}" if name else ""),
    ]
    print(*found, sep="\n", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
