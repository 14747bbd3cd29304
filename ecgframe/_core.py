"""Which core runs: the compiled one or, where no extension was built, the plain one. They give the same answers.

``ECGFRAME_PLAIN=1`` in the environment runs the plain one although extension modules lie here: Python then sees only
the sources in this package's folder. (``codec.py`` counts, too: its compiled form calls the compiled core from C.)
"""

import os
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from typing import TYPE_CHECKING

if os.environ.get("ECGFRAME_PLAIN") == "1":
    for _folder in sys.modules[__package__].__path__:
        sys.path_importer_cache[_folder] = FileFinder(_folder, (SourceFileLoader, SOURCE_SUFFIXES))

accelerated: bool
"""Whether the compiled core is the one in use."""

if TYPE_CHECKING:
    from ._clock import Clock
    from ._draft import Draft, build_frame, draft_around
    from ._header import Header, crc32, flatten, flatten_writable, octet
    from ._message import Message, message_of
    from ._pack import pack as pack_payload
    from ._pack import pack_frame, pack_frame_into
    from ._rests import work_in_background
    from ._unpack import unpack as unpack_payload
    from ._unpack import unpack_checked
else:
    try:
        from ._clock import Clock
        from ._draft import Draft, build_frame, draft_around
        from ._header import Header, crc32, flatten, flatten_writable, octet
        from ._message import Message, message_of
        from ._pack import pack as pack_payload
        from ._pack import pack_frame, pack_frame_into
        from ._rests import work_in_background
        from ._unpack import unpack as unpack_payload
        from ._unpack import unpack_checked

        accelerated = True
    except ModuleNotFoundError:
        from ._plain.clock import Clock
        from ._plain.draft import Draft, build_frame, draft_around
        from ._plain.header import Header, crc32, flatten, flatten_writable, octet
        from ._plain.message import Message, message_of
        from ._plain.pack import pack as pack_payload
        from ._plain.pack import pack_frame, pack_frame_into
        from ._plain.rests import work_in_background
        from ._plain.unpack import unpack as unpack_payload
        from ._plain.unpack import unpack_checked

        accelerated = False

__all__ = [
    "Clock",
    "Draft",
    "Header",
    "Message",
    "accelerated",
    "build_frame",
    "draft_around",
    "crc32",
    "flatten",
    "flatten_writable",
    "message_of",
    "octet",
    "pack_frame",
    "pack_frame_into",
    "pack_payload",
    "unpack_checked",
    "unpack_payload",
    "work_in_background",
]
