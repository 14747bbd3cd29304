"""The comparison as a dictionary, for JSON."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import orjson

from ...records import Record
from ..own_version import own_version
from .run import JSON, ORJSON, Comparison


def report(record: Record, comparison: Comparison) -> dict[str, Any]:
    """Return all measurements, and what they were made with, as ``json.dumps`` accepts it.

    Sizes are bytes per frame, ``bytes_once`` those of the template that records need, and times microseconds per frame.
    ``of_json`` is the size as a share of orjson's; ``encode_times_json`` and its like are speed-up factors.
    """
    return {
        "record": {
            "source": record.source,
            "leads": list(record.leads),
            "left_out": list(record.left_out),
            "sampling_rate": record.sampling_rate,
            "samples": record.samples,
            "seconds": record.duration,
            "dtype": str(record.signal.dtype),
            "units": record.units,
        },
        "measured_with": {
            "ecgframe": own_version(),
            "numpy": np.__version__,
            "orjson": orjson.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "system": platform.system(),
        },
        "notes": list(comparison.notes),
        "measurements": list(_measurements(comparison)),
    }


def _measurements(comparison: Comparison) -> list[dict[str, Any]]:
    found = []
    for case, cost in comparison.costs.items():
        _, encode_json, decode_json = comparison.against(case, JSON)
        share, encode_orjson, decode_orjson = comparison.against(case, ORJSON)
        found.append(
            {
                "samples": case.samples,
                "frame_seconds": case.frame_seconds,
                "sent_as": case.way.name,
                "version": case.way.version,
                "ndarray": case.way.ndarray,
                "compressed": case.way.compressed,
                "filter": case.way.filter,
                "algorithm": None if case.way.algorithm is None else case.way.algorithm.name.lower(),
                "bytes": cost.size,
                "bytes_once": cost.once,
                "encode_us": cost.encode * 1e6,
                "decode_us": cost.decode * 1e6,
                "of_json": share,
                "encode_times_json": encode_json,
                "encode_times_orjson": encode_orjson,
                "decode_times_json": decode_json,
                "decode_times_orjson": decode_orjson,
            }
        )
    return found
