"""Which core runs: the compiled one or, where no extension was built, the plain one. They give the same answers.

``ECGFRAME_PLAIN=1`` in the environment runs the plain one although extension modules are installed.
"""

import os
from typing import TYPE_CHECKING

accelerated: bool = os.environ.get("ECGFRAME_PLAIN") != "1"
"""Whether the compiled core is the one in use."""

if accelerated and not TYPE_CHECKING:
    try:
        from . import _header  # noqa: F401
    except ImportError as error:
        if error.name != __name__:
            raise
        accelerated = False  # no extension was built

if accelerated and not TYPE_CHECKING:
    # All by name: PyInstaller and the like read imports, and cannot look into a compiled module.
    from . import (  # noqa: F401
        checksum,
        clock,
        frame,
        gil_handoff,
        gil_yield,
        message,
        pack,
        pack_arrays,
        path,
        read_samples,
        reader,
        unpack,
        unpack_arrays,
        with_entry,
        write_samples,
        writer,
    )

if TYPE_CHECKING or accelerated:
    from ._header import Header, as_byte, crc32, flatten, flatten_writable
    from .clock import Clock
    from .frame import PendingFrame, build_frame, pending_frame
    from .gil_yield import work_in_background
    from .message import Message, message_of
    from .pack import pack as pack_payload
    from .pack import pack_frame, pack_frame_into
    from .unpack import unpack as unpack_payload
    from .unpack import unpack_checked
else:
    from .plain import import_from_source
    from .plain._header import Header, as_byte, crc32, flatten, flatten_writable
    from .plain.clock import Clock
    from .plain.frame import PendingFrame, build_frame, pending_frame
    from .plain.gil_yield import work_in_background
    from .plain.message import Message, message_of
    from .plain.pack import pack as pack_payload
    from .plain.pack import pack_frame, pack_frame_into
    from .plain.unpack import unpack as unpack_payload
    from .plain.unpack import unpack_checked

    # Compiled, codec.py calls the compiled core from C.
    import_from_source(__name__.removesuffix("_core") + "codec", os.path.join(os.path.dirname(__path__[0]), "codec.py"))

__all__ = [
    "Clock",
    "Header",
    "Message",
    "PendingFrame",
    "accelerated",
    "as_byte",
    "build_frame",
    "crc32",
    "flatten",
    "flatten_writable",
    "message_of",
    "pack_frame",
    "pack_frame_into",
    "pack_payload",
    "pending_frame",
    "unpack_checked",
    "unpack_payload",
    "work_in_background",
]
