"""The version of the installed package."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """Return the version of the installed package; "unknown" in a source tree that was only built in place."""
    try:
        return version("ecgframe")
    except PackageNotFoundError:
        return "unknown"
