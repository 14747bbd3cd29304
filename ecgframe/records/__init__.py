"""Reading and writing ECG recordings: WFDB, EDF, BDF, DICOM, CSV, NPY, NPZ, and an ECG that ships with the package.

This package does not depend on the protocol. Libraries for the formats are optional, and imported when needed; so are
the modules of this package that write recordings or convert them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .annotation import Annotation
from .read import read_record
from .record import Record, RecordError

if TYPE_CHECKING:
    from .mne_raw import from_mne, to_mne
    from .pandas_frames import from_pandas, to_pandas
    from .shipped import shipped_ecg
    from .write import Saved, save_record, write_record

__all__ = [
    "Annotation",
    "Record",
    "RecordError",
    "Saved",
    "from_mne",
    "from_pandas",
    "read_record",
    "save_record",
    "shipped_ecg",
    "to_mne",
    "to_pandas",
    "write_record",
]

_IMPORTED_WHEN_USED = {
    "Saved": "write",
    "from_mne": "mne_raw",
    "from_pandas": "pandas_frames",
    "save_record": "write",
    "shipped_ecg": "shipped",
    "to_mne": "mne_raw",
    "to_pandas": "pandas_frames",
    "write_record": "write",
}
"""Modules of names that not every program uses."""


def __dir__() -> list[str]:
    return sorted({*globals(), *_IMPORTED_WHEN_USED} - {"Any", "TYPE_CHECKING", "import_module"})


def __getattr__(name: str) -> Any:
    if name not in _IMPORTED_WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_IMPORTED_WHEN_USED[name]}", __name__), name)
    globals()[name] = value
    return value
