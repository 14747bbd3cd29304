"""The content of sealed messages: data messages with a time, in a form whose size does not depend on the samples.

Section "Sealed streams" of the specification.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..protocol import LARGEST_EXACT_FLOAT, MessageType
from ..seal.sealer import check_timestamp


def sealed_content(stream: str, type: MessageType, data: Any, *, compress: bool = False) -> Any:
    """Return the payload of a data message of a sealed stream: plain lists of numbers in ``signal`` as a float64 array.

    Args:
        stream: name of the stream.
        type: of the message.
        data: its payload.
        compress: whether sizes may depend on the samples, so that lists stay as they are.

    Raises:
        ValueError: the message has no ``timestamp``, or names another stream.
    """
    check_timestamp(type, data)
    if data.get("stream", stream) != stream:
        raise ValueError(f"a message of the sealed stream {stream!r} that names another stream")
    if type is not MessageType.ECG_DATA or compress:
        return data
    signal = _as_array(data.get("signal"))
    return data if signal is None else {**data, "signal": signal}


def _as_array(signal: Any) -> npt.NDArray[np.float64] | None:
    """Return a list of numbers, or of lists of the same length, as floats; None for all else.

    Lists with booleans, or with integers that a float does not hold, stay as they are.
    """
    if not isinstance(signal, (list, tuple)) or not signal:
        return None
    rows = signal if isinstance(signal[0], (list, tuple)) else [signal]
    numbers = [number for row in rows if isinstance(row, (list, tuple)) for number in row]
    if not all(map(_is_exact, numbers)):
        return None
    try:
        return np.array(signal, dtype=np.float64)
    except ValueError:  # rows of different lengths
        return None


def _is_exact(number: Any) -> bool:
    return type(number) is float or (type(number) is int and abs(number) <= LARGEST_EXACT_FLOAT)
