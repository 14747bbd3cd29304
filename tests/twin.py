"""The compiled core and the plain one, side by side in one process, and what each makes of the same bytes or object.

Needs a build with extension modules; without one, or with ECGFRAME_PLAIN=1, there is no second core to compare with.
"""

import os
import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

import numpy as np
import oracle

import ecgframe


@cache
def load_plain():
    """The package once more, under another name, from its sources alone: as an installation without extensions."""
    house = Path(ecgframe.__file__).parent
    places = [str(house)]
    # A name within the first copy, so that coverage sees what is run of it.
    spec = spec_from_file_location("ecgframe.as_plain", house / "__init__.py", submodule_search_locations=places)
    package = module_from_spec(spec)
    before = os.environ.get("ECGFRAME_PLAIN")
    os.environ["ECGFRAME_PLAIN"] = "1"
    sys.modules[spec.name] = package
    try:
        spec.loader.exec_module(package)
    finally:
        if before is None:
            del os.environ["ECGFRAME_PLAIN"]
        else:
            os.environ["ECGFRAME_PLAIN"] = before
    assert not package.accelerated
    return package


class Refusal(NamedTuple):
    """An error as far as a caller can tell it from another, whichever of the two packages raised it."""

    kind: str
    text: str
    code: int | None
    check: int | None
    path: str | None
    offset: int | None


def outcome(call, *args, **options):
    """Return the result of a call: its value, or its error."""
    try:
        return call(*args, **options)
    except Exception as error:
        return refusal(error)


def refusal(error):
    """An error as the other core may raise it, too."""
    # By how many bytes a buffer is too small depends on what is written at once: only the path counts.
    text = str(error).partition(":")[0] if isinstance(error, BufferError) else str(error)
    code = getattr(error, "code", None)
    details = (getattr(error, name, None) for name in ("check", "path", "offset"))
    return Refusal(type(error).__name__, text, None if code is None else int(code), *details)


def each(codec, data):
    """Return the results of ``decode_each``: messages and errors."""
    return [refusal(item) if isinstance(item, Exception) else item for item in codec.decode_each(data)]


def alike(one, other):  # noqa: PLR0911 - one for each type
    """Equal in every way that a caller can see: types, values to the bit, the memory that arrays have, error texts.

    All NaNs are one: widening and rounding may quiet a signalling one.
    """
    if type(one).__name__ != type(other).__name__:
        return False
    if isinstance(one, np.ndarray):
        flags = ("writeable", "c_contiguous", "aligned")
        if any(getattr(one.flags, flag) != getattr(other.flags, flag) for flag in flags):
            return False
        return oracle.same(one, other, nan_bits=False)
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if type(one).__name__ == "Message":
        names = ("type", "data", "version", "timestamp", "stream_id", "sequence")
        bits = [(message.flags.value, None if message.form is None else message.form.value) for message in (one, other)]
        return bits[0] == bits[1] and all(alike(getattr(one, n), getattr(other, n)) for n in names)
    if type(one).__name__ == "Header":
        return bytes(one) == bytes(other) and repr(one) == repr(other)
    if isinstance(one, memoryview):
        return one == other and one.readonly == other.readonly
    return one == other if isinstance(one, int) else oracle.same(one, other, nan_bits=False)
