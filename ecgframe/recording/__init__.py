"""Recording live streams, in files that can be read while they are written; and reading those in network captures."""

from ..libraries import library

library("websockets", extra="client", purpose="recording")

from .captured import Captured, read_captured  # noqa: E402 - after the check that names the missing library
from .file_series import FORMATS  # noqa: E402
from .recorder import Recorder, record  # noqa: E402
from .stream_recorder import Rotation, StreamSummary  # noqa: E402

__all__ = ["FORMATS", "Captured", "Recorder", "Rotation", "StreamSummary", "read_captured", "record"]
