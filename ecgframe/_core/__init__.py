"""Selects the core: the compiled one or, if no extension was built, the plain one. Both give the same results.

``ECGFRAME_PLAIN=1`` in the environment selects the plain one even if extension modules are installed.
"""

import os
from typing import TYPE_CHECKING

accelerated: bool = os.environ.get("ECGFRAME_PLAIN") != "1"
"""True if the compiled core is in use."""

if accelerated and not TYPE_CHECKING:
    try:
        from . import _header  # noqa: F401
    except ImportError as error:
        if error.name != __name__:
            raise
        accelerated = False  # no extension was built

if accelerated and not TYPE_CHECKING:
    # Import all modules by name: PyInstaller and similar tools cannot read the imports of a compiled module.
    from . import (  # noqa: F401
        checksum,
        clock,
        common_frame,
        constructors,
        fields,
        footprint,
        form,
        frame,
        gil_yield,
        lz4,
        message,
        ndarrays,
        nonces,
        pack,
        pack_arrays,
        path,
        read_samples,
        readable,
        reader,
        record,
        record_faults,
        send_to_all,
        stream_end,
        unpack,
        unpack_arrays,
        value_count,
        with_entry,
        write_samples,
        writer,
    )

if TYPE_CHECKING or accelerated:
    from ._header import Header, as_byte, crc32, flatten, flatten_writable, form_fault
    from .clock import Clock
    from .common_frame import decode_common
    from .fields import FieldTable, accepts_fields
    from .footprint import footprint
    from .frame import PendingFrame, build_frame, pending_frame
    from .gil_yield import work_in_background
    from .lz4 import lz4_compress, lz4_decompress
    from .message import Message, message_of
    from .nonces import NonceCounter, count_fork
    from .pack import pack as pack_payload
    from .pack import pack_frame, pack_frame_into
    from .record import TemplateCoder, divide_common, read_record_head, read_record_samples, write_record
    from .send_to_all import CAN_SEND_TO_ALL, OTHER_ENCODING, QUEUE, Recipient, send_to_all
    from .stream_end import ends_once_with
    from .unpack import unpack as unpack_payload
    from .unpack import unpack_checked
    from .value_count import count_numbers
else:
    from .plain import import_from_source
    from .plain._header import Header, as_byte, crc32, flatten, flatten_writable, form_fault
    from .plain.clock import Clock
    from .plain.common_frame import decode_common
    from .plain.fields import FieldTable, accepts_fields
    from .plain.footprint import footprint
    from .plain.frame import PendingFrame, build_frame, pending_frame
    from .plain.gil_yield import work_in_background
    from .plain.lz4 import lz4_compress, lz4_decompress
    from .plain.message import Message, message_of
    from .plain.nonces import NonceCounter, count_fork
    from .plain.pack import pack as pack_payload
    from .plain.pack import pack_frame, pack_frame_into
    from .plain.record import TemplateCoder, divide_common, read_record_head, read_record_samples, write_record
    from .plain.send_to_all import CAN_SEND_TO_ALL, OTHER_ENCODING, QUEUE, Recipient, send_to_all
    from .plain.stream_end import ends_once_with
    from .plain.unpack import unpack as unpack_payload
    from .plain.unpack import unpack_checked
    from .plain.value_count import count_numbers

    # The compiled modules of codec/ call the compiled core from C, so import their sources instead.
    import_from_source(__name__.removesuffix("_core") + "codec", os.path.join(os.path.dirname(__path__[0]), "codec"))

__all__ = [
    "CAN_SEND_TO_ALL",
    "Clock",
    "FieldTable",
    "Header",
    "Message",
    "NonceCounter",
    "OTHER_ENCODING",
    "PendingFrame",
    "QUEUE",
    "Recipient",
    "accelerated",
    "accepts_fields",
    "as_byte",
    "build_frame",
    "count_fork",
    "count_numbers",
    "crc32",
    "decode_common",
    "divide_common",
    "ends_once_with",
    "flatten",
    "flatten_writable",
    "footprint",
    "form_fault",
    "lz4_compress",
    "lz4_decompress",
    "message_of",
    "pack_frame",
    "pack_frame_into",
    "pack_payload",
    "pending_frame",
    "TemplateCoder",
    "read_record_head",
    "read_record_samples",
    "send_to_all",
    "unpack_checked",
    "unpack_payload",
    "work_in_background",
    "write_record",
]
