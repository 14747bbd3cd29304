"""Ensures that receivers accept what the packers write, for objects of any class. Both cores use it."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import numpy as np

from ..protocol import DATETIME_KEY, MAX_SAMPLE_SIZE, NDARRAY_KEY, NDARRAY_KEYS, UUID_KEY
from .path import ROOT, quoted

if TYPE_CHECKING:
    from ..errors import ProtocolError

# Methods of the built-in types, since a subclass may override its own.
true_int: Final = int.__int__
true_str: Final = str.__str__
true_item: Final = np.generic.item
_true_dtype: Final = np.generic.dtype.__get__
_true_uuid_number: Final = UUID.__dict__["int"].__get__
_true_name: Final = type.__dict__["__name__"].__get__

SAMPLE_NUMBERS: Final = frozenset(np.dtype(code).num for code in "?bhilqBHILQefdg")
"""Numbers in NumPy of the dtypes that can be sent. Dtypes of other libraries may have the same kind and size."""

# Device types of DLPack.
_OF_THE_CPU: Final = frozenset({1, 3, 11})  # with the memory of the CPU that CUDA and ROCm have pinned
_DEVICES: Final = {2: "CUDA", 4: "OpenCL", 7: "Vulkan", 8: "Metal", 10: "ROCm", 13: "CUDA managed memory", 14: "oneAPI"}

# Lengths of 2024-01-15T10:30:45, also with .123456, +01:00 or both. Longer texts have an offset with seconds.
_USUAL_LENGTHS: Final = frozenset({19, 25, 26, 32})


def is_sample_dtype(dtype: np.dtype[Any]) -> bool:
    """Return True if samples of this dtype can be sent."""
    return dtype.num in SAMPLE_NUMBERS and dtype.itemsize <= MAX_SAMPLE_SIZE


def is_masked_array(value: object) -> bool:
    """Return True if the value is a masked array, even if a subclass calls itself something else.

    There is no masked array before somebody has imported ``numpy.ma``. Importing it here would be a quarter of the time
    that importing this package takes.
    """
    masked_array = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)
    return masked_array is not None and issubclass(type(value), masked_array)


def scalar_dtype(value: np.generic) -> np.dtype[Any]:
    """Return the dtype of a NumPy scalar, even if a subclass overrides the attribute."""
    dtype: np.dtype[Any] = _true_dtype(value)
    return dtype


def kind_name(kind: type) -> str:
    """Return module and name of a type, for an error."""
    try:
        return f"{kind.__module__}.{kind.__qualname__}"
    except Exception:  # a metaclass may raise any error, which must not hide the original one
        return str(_true_name(kind))


def datetime_text(moment: datetime) -> str:
    """Return the text to pack for a datetime.

    Raises:
        TypeError: a subclass whose ``isoformat`` does not match its value, such as NaT of pandas, or a Timestamp with
            nanoseconds, which would be lost.
        TypeError, ValueError: the time zone returns an invalid offset.
    """
    text = datetime.isoformat(moment)
    if type(moment) is not datetime:
        own = moment.isoformat()
        if type(own) is not str or own != text:
            said = quoted(own) if type(own) is str else kind_name(type(own))
            raise TypeError(
                f"a {kind_name(type(moment))} that calls itself {said}, where its date and time are {quoted(text)}; "
                "send a datetime, or None for no time"
            )
    return text


def has_whole_minutes(text: str) -> bool:
    """Return True if the text of a datetime has no offset, or one of whole minutes, as nearly all have."""
    return len(text) in _USUAL_LENGTHS


def uuid_text(name: UUID) -> str:
    """Return the text to pack for a UUID, independent of what a subclass prints.

    Raises:
        TypeError, ValueError: the UUID does not contain a number of 128 bits.
    """
    try:
        number = _true_uuid_number(name)
    except AttributeError:
        raise TypeError("a UUID that was never given its number") from None
    if type(number) is not int or not 0 <= number < 1 << 128:
        raise ValueError("a UUID whose number has not 128 bits")
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def may_be_wrapper(entries: dict[Any, Any]) -> bool:
    """Return True if receivers may take a map for a wrapper of a date, a UUID or an ndarray."""
    keys = {true_str(key) if issubclass(type(key), str) else None for key in entries}
    if NDARRAY_KEY in keys:
        return NDARRAY_KEYS.issuperset(key or "" for key in keys)
    return keys in ({DATETIME_KEY}, {UUID_KEY})


def has_dlpack(value: object) -> bool:
    """Return True if the value is a tensor of another library, with the methods of DLPack."""
    return hasattr(type(value), "__dlpack__")


def device_of(value: Any) -> tuple[int, int] | None:
    """Return the device of a tensor, its type and number; None for memory that the CPU reads.

    Raises:
        TypeError: it does not say.
    """
    try:
        kind, number = map(int, value.__dlpack_device__())
    except (TypeError, ValueError) as error:
        raise TypeError(f"a {kind_name(type(value))} whose __dlpack_device__ is no pair of integers") from error
    return None if kind in _OF_THE_CPU else (kind, number)


def on_device(value: object, device: tuple[int, int]) -> str:
    """Return the text of the error for a tensor on another device."""
    kind, number = device
    name = _DEVICES.get(kind, f"device type {kind}")
    return f"a {kind_name(type(value))} on {name}, number {number}; copy it to the CPU first"


def from_dlpack(value: Any) -> np.ndarray[Any, Any]:
    """Return a tensor as an array over the same memory.

    Raises:
        TypeError: NumPy does not have its dtype, or its library does not hand it out.
    """
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError) as error:
        raise TypeError(f"a {kind_name(type(value))} that cannot be read by DLPack: {error}") from error


def unreadable(path: str, error: ProtocolError) -> TypeError:
    """Return the error for a map with the keys of a wrapper that receivers would reject with this error."""
    within = error.path or ROOT
    why = str(error).removeprefix(within).removeprefix(": ").rpartition(" (")[0]
    return TypeError(f"{path}{within.removeprefix(ROOT)}: no reader takes this for what its keys say it is: {why}")


def with_path(path: str, error: Exception) -> Exception:
    """Add the path of an object to an error that the object raised while it was packed.

    An error that means that the object cannot be packed becomes a TypeError or ValueError with the path in its text.
    Any other error has another cause, such as a file that the object could not read, and gets the path as a note.
    """
    if isinstance(error, TypeError):
        return TypeError(f"{path}: {error}")
    if isinstance(error, (LookupError, AttributeError)):
        return TypeError(f"{path}: {type(error).__name__}: {error}")
    if isinstance(error, (ValueError, ArithmeticError)):
        return ValueError(f"{path}: {error}")
    error.add_note(f"while {path} was packed")
    return error
