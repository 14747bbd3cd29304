from collections.abc import Callable
from typing import Any, final

import numpy.typing as npt

from ._header import FlatBuffer

__all__ = ["TemplateCoder", "divide_common", "read_record_head", "read_record_samples", "write_record"]

def divide_common(data: Any, stream: str) -> tuple[npt.NDArray[Any], int, int | None, dict[Any, Any]] | None: ...
def write_record(
    template: int,
    time: int,
    sequence: int | None,
    digest: bytes | None,
    samples: npt.NDArray[Any],
    dtype: str,
    rows: int,
    count: int,
    predictions: bytes,
    filter: int,
) -> bytes: ...
def read_record_head(
    flat: FlatBuffer, start: int, stop: int
) -> tuple[int, int, int, int, int | None, bytes | None, int]: ...
def read_record_samples(
    flat: FlatBuffer,
    start: int,
    stop: int,
    offset: int,
    filter: int,
    dtype: str,
    rows: int,
    count: int,
    limit: int,
    size: int,
    copy: bool,
) -> npt.NDArray[Any]: ...

@final
class TemplateCoder:
    @property
    def nbytes(self) -> int: ...
    def __init__(
        self,
        number: int,
        dtype: str,
        rows: int,
        stream: str,
        fields: dict[Any, Any],
        copied: list[tuple[Any, Callable[[Any], Any], Any]],
        predictions: bytes,
    ) -> None: ...
    def read(
        self,
        flat: FlatBuffer,
        start: int,
        stop: int,
        head: tuple[int, int, int, int, int | None, bytes | None, int],
        limit: int,
        copy: bool,
    ) -> dict[Any, Any]: ...
    def write_map(self, data: Any, delta: bool, limit: int) -> bytes | None: ...
    def write(
        self, signal: npt.NDArray[Any], time: int, sequence: int | None, delta: bool, limit: int
    ) -> bytes | None: ...
