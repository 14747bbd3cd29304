"""The bridge to the Lab Streaming Layer (LSL): live streams of a server sent to LSL, and LSL streams published.

Its library is pylsl, which the extra ``lsl`` installs. The library is imported when a bridge is made.
"""

from ...libraries import library

library("websockets", extra="lsl", purpose="the bridge to the Lab Streaming Layer")

from .errors import BridgeError  # noqa: E402 - after the check that names the missing library
from .from_lsl import FromLsl, from_lsl  # noqa: E402
from .incoming import FromLslSummary  # noqa: E402
from .outgoing import ToLslSummary  # noqa: E402
from .to_lsl import ToLsl, to_lsl  # noqa: E402

__all__ = ["BridgeError", "FromLsl", "FromLslSummary", "ToLsl", "ToLslSummary", "from_lsl", "to_lsl"]
