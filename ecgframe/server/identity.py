"""What the server reads from an identity: the name of a person or device, and when the identity expires.

``authenticate`` may return any object. The server looks for ``name`` and ``expires_at``, as attributes or as keys; the
claims of a JSON Web Token have ``sub`` and ``exp`` for the same. A str is its own name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Final

_NAME: Final = ("name", "sub")
_EXPIRY: Final = ("expires_at", "exp")


def name_of(identity: object) -> str | None:
    """Return the name of an identity; None if it has none."""
    if isinstance(identity, str):
        return identity
    name = _first(identity, _NAME)
    return name if isinstance(name, str) else None


def expiry_of(identity: object) -> float | None:
    """Return when an identity expires, in seconds since 1970; None if it does not.

    Raises:
        ValueError: its expiry is a datetime without a time zone, or not finite.
        TypeError: it is neither a number nor a datetime.
    """
    expiry = _first(identity, _EXPIRY)
    if expiry is None:
        return None
    if isinstance(expiry, datetime):
        if expiry.tzinfo is None:
            raise ValueError("expires_at is a datetime without a time zone")
        return expiry.timestamp()
    if isinstance(expiry, bool) or not isinstance(expiry, (int, float)):
        raise TypeError(f"expires_at is a datetime or a number of seconds since 1970, not {type(expiry).__name__}")
    if not math.isfinite(expiry):
        raise ValueError("expires_at is not finite")
    return float(expiry)


def _first(identity: object, names: tuple[str, ...]) -> object:
    if isinstance(identity, Mapping):
        return next((identity[name] for name in names if identity.get(name) is not None), None)
    return getattr(identity, names[0], None)
