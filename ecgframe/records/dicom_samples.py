"""Locates the samples in a large DICOM file, because pydicom would copy them into memory several times."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .dicom_elements import DELIMITERS, END_OF_ITEM, END_OF_SEQUENCE, ITEM, LONG, UNDEFINED, is_type
from .mapped import Reading

_WAVEFORM_SEQUENCE: Final = 0x54000100
_WAVEFORM_ANNOTATION_SEQUENCE: Final = 0x0040B020
_WAVEFORM_DATA: Final = 0x54001010

_LARGE_ELEMENT: Final = 1 << 16
"""Size in bytes above which an element is left out, unless it is a sequence that is read."""


@dataclass(slots=True)
class _Container:
    """A sequence or an item whose elements are being copied.

    Attributes:
        tag: its tag.
        end: position in the file after its last element; None if a delimiter ends it.
        length_at: position of its length in the copy.
        begin: position in the copy after its length.
        items: number of items so far.
    """

    tag: int
    end: int | None
    length_at: int
    begin: int
    items: int = 0


def split(
    octets: npt.NDArray[np.uint8], begin: int, *, is_little_endian: bool
) -> tuple[bytearray, Mapping[int, tuple[int, int]]]:
    """Separate the samples of a file from everything else.

    Args:
        octets: the file, inflated.
        begin: position of the first element after the file's meta information.
        is_little_endian: byte order of the elements.

    Returns:
        The file from ``begin`` on with empty elements for the samples and without other large elements; and position
        and size of the samples in ``octets``, by the number of the group from 0.
    """
    heads = _Heads(octets, begin, "<" if is_little_endian else ">")
    copy, spans = bytearray(), {}
    within: list[_Container] = []
    position, size = begin, len(octets)
    while position + 8 <= size:
        while within and within[-1].end is not None and position >= within[-1].end:
            _set_length(copy, within.pop(), heads.long_length)
        first, (tag, length, position, is_long) = position, heads.at(position)
        copy += octets[first:position].tobytes()
        if tag in (END_OF_ITEM, END_OF_SEQUENCE):
            within[-1:] = []  # nothing, if no container is open
            continue
        if tag == ITEM and within:
            within[-1].items += 1
        tags = [container.tag for container in within] if len(within) <= 2 else []  # samples are never deeper
        if length == UNDEFINED or (not within and tag == _WAVEFORM_SEQUENCE) or tags == [_WAVEFORM_SEQUENCE]:
            end = None if length == UNDEFINED else position + length
            within.append(_Container(tag, end, len(copy) - 4, len(copy)))
            continue
        if tags == [_WAVEFORM_SEQUENCE, ITEM] and tag == _WAVEFORM_DATA and is_long:
            spans[within[0].items - 1] = (position, min(length, size - position))
            copy[-4:] = heads.long_length.pack(0)
        elif not within and length > _LARGE_ELEMENT and tag != _WAVEFORM_ANNOTATION_SEQUENCE:
            del copy[len(copy) - (position - first) :]
        else:
            copy += octets[position : position + length].tobytes()
        position += length
    copy += octets[min(position, size) :].tobytes()
    for container in reversed(within):
        if container.end is not None:
            _set_length(copy, container, heads.long_length)
    return copy, spans


class _Heads:
    """Reads what precedes the value of an element: tag, type and length.

    Args:
        octets: the file, inflated.
        begin: position of the first element, which shows whether elements state their types.
        order: byte order, as the struct module spells it.
    """

    def __init__(self, octets: npt.NDArray[np.uint8], begin: int, order: str) -> None:
        self.long_length = struct.Struct(f"{order}L")
        self._octets = octets
        self._head = struct.Struct(f"{order}HH2sH")
        self._is_explicit = is_type(octets[begin + 4 : begin + 6].tobytes())

    def at(self, position: int) -> tuple[int, int, int, bool]:
        """Return tag, length, the position of the value, and whether the length has four bytes."""
        group, number, kind, length = self._head.unpack_from(self._octets, position)
        tag = group << 16 | number
        position += 8
        if group == DELIMITERS or not self._is_explicit or not is_type(kind):
            return tag, self.long_length.unpack_from(self._octets, position - 4)[0], position, True
        if kind in LONG and position + 4 <= len(self._octets):
            return tag, self.long_length.unpack_from(self._octets, position)[0], position + 4, True
        return tag, length, position, False


def _set_length(copy: bytearray, container: _Container, form: struct.Struct) -> None:
    form.pack_into(copy, container.length_at, len(copy) - container.begin)


def samples_at(
    octets: npt.NDArray[np.uint8], span: tuple[int, int], dtype: np.dtype[Any], samples: int, channels: int
) -> npt.NDArray[Any]:
    """Return the samples of a group as a view, [channels, samples].

    Raises:
        ValueError: there are fewer.
    """
    begin, nbytes = span
    wanted = samples * channels * dtype.itemsize
    if nbytes < wanted or begin + wanted > len(octets):
        raise ValueError(f"{nbytes:,} bytes of samples where {wanted:,} are announced")
    return np.ndarray((samples, channels), dtype, octets, begin).T


class RowCounts:
    """The counts of one channel of a group, read on demand.

    Args:
        reading: the samples of the group, [channels, samples].
        row: number of the channel.
    """

    def __init__(self, reading: Reading, row: int) -> None:
        self.reading = reading
        self._row = row

    def __len__(self) -> int:
        return int(self.reading.signal.shape[1])

    def __getitem__(self, part: slice, /) -> npt.NDArray[Any]:
        start, stop, _ = part.indices(len(self))
        counts: npt.NDArray[Any] = self.reading.samples(start, max(start, stop))[self._row]
        return counts
