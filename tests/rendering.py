"""The vectors' way to write a value in JSON, explained in vectors/README.md."""

import math
import struct
from datetime import datetime
from pathlib import Path
from uuid import UUID

import numpy as np

VECTORS = Path(__file__).parent / "vectors"
LARGEST_EXACT = 2**53 - 1


def to_json(value):  # noqa: PLR0911 - one for each type
    """Render a decoded value."""
    if isinstance(value, np.ndarray):
        # Not astype, which quiets a signalling NaN on its way from one byte order to the other.
        little = value if value.dtype == value.dtype.newbyteorder("<") else value.byteswap()
        return {"$ndarray": {"dtype": str(value.dtype), "shape": list(value.shape), "data": little.tobytes().hex()}}
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("$") and not key.isdecimal() for key in value):
            return {key: to_json(item) for key, item in value.items()}
        return {"$map": [[to_json(key), to_json(item)] for key, item in value.items()]}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, float):
        bits = {"bits": struct.pack(">d", value).hex()} if math.isnan(value) else {}
        return {"$float": repr(value), **bits}
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, datetime):
        return {"$datetime": value.isoformat()}
    if isinstance(value, UUID):
        return {"$uuid": str(value)}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST_EXACT:
        return {"$int": str(value)}
    return value


def from_json(rendered):
    """Read a rendered value."""
    if isinstance(rendered, list):
        return [from_json(item) for item in rendered]
    if not isinstance(rendered, dict):
        return rendered
    tag, content = next(iter(rendered.items()), ("", None))
    if tag == "$ndarray":
        dtype = np.dtype(content["dtype"])
        flat = np.frombuffer(bytes.fromhex(content["data"]), dtype.newbyteorder("<"))
        return flat.astype(dtype).reshape(content["shape"])
    if tag == "$map":
        return {from_json(key): from_json(item) for key, item in content}
    if tag == "$float":
        return struct.unpack(">d", bytes.fromhex(rendered["bits"]))[0] if "bits" in rendered else float(content)
    read = {"$bytes": bytes.fromhex, "$datetime": datetime.fromisoformat, "$uuid": UUID, "$int": int}.get(tag)
    return read(content) if read else {key: from_json(item) for key, item in rendered.items()}
