"""The frame's header: encode, decode, CRC-32, and the payload as a view of the buffer it came in.

Buffers in, buffers out: no policy and no I/O. Section "Message Structure" of the specification.
"""

cimport cython
from cpython.buffer cimport PyBuffer_IsContiguous
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromObject, PyMemoryView_GET_BUFFER
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, strcmp

from ._bigendian cimport load32, load64, store32, store64

from pickle import PickleBuffer

from .errors import (
    ChecksumMismatch,
    InvalidDataFormat,
    InvalidMessageType,
    InvalidProtocolVersion,
    MessageTooLarge,
)
from .protocol import FLAG_SINCE, HEADER_SIZES, LARGEST_LENGTH, VERSIONS, Flag, MessageType

# zlib-ng sums 50 GB/s where zlib sums 4 to 6; the standard library stands in where no wheel of it exists.
try:
    from zlib_ng.zlib_ng import crc32 as _crc32
except ImportError:
    from zlib import crc32 as _crc32

__all__ = ["Draft", "Header", "build_frame", "crc32", "flat_view", "split_frame", "split_next"]

cdef enum:
    SIZE_V1 = 11
    SIZE_V3 = 19
    COPY_WITHOUT_GIL = 65536

cdef object checksum_of = _crc32

# Enum members are looked up, never constructed: a table of 256 for each byte of the header that has names.
cdef list TYPES = [None] * 256
for _member in MessageType:
    TYPES[_member] = _member
cdef list FLAGS = [Flag(_bits) for _bits in range(256)]

# The flags that change how the payload reads, and that a version lacks: refused by a receiver of that version.
cdef int FORBIDDEN[4]
for _version in VERSIONS:
    FORBIDDEN[_version] = sum(
        flag for flag in (Flag.COMPRESSED, Flag.ENCRYPTED) if FLAG_SINCE[flag] > _version
    )

if HEADER_SIZES != {1: SIZE_V1, 2: SIZE_V1, 3: SIZE_V3}:
    raise ImportError("ecgframe._header was compiled for other header sizes than protocol.HEADER_SIZES has")


@cython.final
cdef class Header:
    """What a frame says of itself before its payload. Immutable.

    Attributes:
        version: 1, 2 or 3.
        type: the ``MessageType``.
        flags: the ``Flag`` bits as received, undefined ones included.
        length: bytes of payload as they travel.
        checksum: CRC-32 of those bytes.
        timestamp: microseconds since the Unix epoch, or None before V3.
        size: bytes of this header, 11 or 19.
    """

    def __init__(self, int version, type, flags, length, checksum, timestamp=None):
        if version not in HEADER_SIZES:
            raise ValueError(f"version is one of {VERSIONS}, not {version}")
        if (timestamp is None) != (version < 3):
            raise ValueError(f"a V{version} header has {'no' if version < 3 else 'a'} timestamp")
        self.version = version
        self.type = MessageType(type)
        self.flags = FLAGS[flags]
        self.length = <uint32_t>length
        self.checksum = <uint32_t>checksum
        self.timestamp = None if timestamp is None else <uint64_t>timestamp

    @property
    def size(self):
        return SIZE_V3 if self.version == 3 else SIZE_V1

    def __bytes__(self):
        cdef bytes header = PyBytes_FromStringAndSize(NULL, SIZE_V3 if self.version == 3 else SIZE_V1)
        write_header(
            <uint8_t*>PyBytes_AS_STRING(header), self.version, self.type, self.flags,
            <uint32_t>self.length, <uint32_t>self.checksum, self.timestamp,
        )
        return header

    def _key(self):
        return self.version, self.type, self.flags, self.length, self.checksum, self.timestamp

    def __eq__(self, other):
        if not isinstance(other, Header):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __reduce__(self):
        return Header, self._key()

    def __repr__(self):
        stamp = "" if self.timestamp is None else f", timestamp={self.timestamp}"
        return (
            f"Header(version={self.version}, type={self.type!r}, flags={self.flags!r}, "
            f"length={self.length}, checksum=0x{self.checksum:08x}{stamp})"
        )


@cython.final
@cython.auto_pickle(False)
cdef class Draft:
    """A frame whose payload is packed and whose header is still blank.

    The bytes belong to the draft alone until ``seal`` writes the header and hands them out, once.
    """

    @staticmethod
    cdef Draft around(bytes frame, Py_ssize_t room):
        cdef Draft draft = Draft.__new__(Draft)
        draft.frame = frame
        draft.room = room
        return draft

    @property
    def payload(self):
        """The packed payload, as a read-only view of the draft's own bytes."""
        return PyMemoryView_FromObject(self.frame)[self.room:]

    def seal(self, int version, int type, int flags, timestamp):
        """Sum the payload, write the header in front of it, and give the finished frame away."""
        cdef bytes frame = self.frame
        if frame is None:
            raise ValueError("this draft has been sealed before")
        if header_room(version) != self.room:
            raise ValueError(f"the draft leaves {self.room} bytes for a header; V{version} has {header_room(version)}")
        cdef Py_ssize_t length = PyBytes_GET_SIZE(frame) - self.room
        cdef uint32_t checksum = checksum_of(self.payload) if length else 0
        write_header(
            <uint8_t*>PyBytes_AS_STRING(frame), version, type, flags, <uint32_t>length, checksum, timestamp
        )
        self.frame = None
        return frame


cdef inline Py_ssize_t header_room(int version) noexcept nogil:
    return SIZE_V3 if version == 3 else SIZE_V1


cdef int write_header(
    uint8_t* p, int version, int type, int flags, uint32_t length, uint32_t checksum, timestamp
) except -1:
    p[0] = <uint8_t>version
    p[1] = <uint8_t>type
    p[2] = <uint8_t>flags
    store32(p + 3, length)
    store32(p + 7, checksum)
    if version == 3:
        store64(p + 11, <uint64_t>timestamp)
    return 0


def build_frame(int version, int type, int flags, timestamp, payload):
    """One frame around a payload that is already as it shall travel, in one allocation and one copy.

    Args:
        payload: any C-contiguous buffer; an ndarray's bytes are taken from where they lie.
    """
    cdef object view = flat_view(payload)
    cdef Py_ssize_t length = PyMemoryView_GET_BUFFER(view).len
    if length > LARGEST_LENGTH:
        raise MessageTooLarge(f"a payload of {length} bytes; the header's length field ends at {LARGEST_LENGTH}")
    cdef Py_ssize_t room = header_room(version)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, room + length)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(frame)
    copy(out + room, <const uint8_t*>PyMemoryView_GET_BUFFER(view).buf, length)
    write_header(out, version, type, flags, <uint32_t>length, checksum_of(view) if length else 0, timestamp)
    return frame


cdef int copy(uint8_t* to, const uint8_t* source, Py_ssize_t n) except -1:
    if n < COPY_WITHOUT_GIL:
        memcpy(to, source, n)
    else:
        with nogil:
            memcpy(to, source, n)
    return 0


def crc32(buffer):
    """CRC-32 (ISO-HDLC, the one of zlib) of any C-contiguous buffer, at hardware speed."""
    return checksum_of(flat_view(buffer))


def flat_view(buffer):
    """The bytes of any C-contiguous buffer as a read-only memoryview, without a copy.

    Raises:
        TypeError: not a buffer.
        BufferError: the buffer's bytes do not lie end to end in C order.
    """
    view = PyMemoryView_FromObject(buffer)
    cdef Py_buffer* raw = PyMemoryView_GET_BUFFER(view)
    if raw.ndim != 1 or raw.itemsize != 1 or raw.format == NULL or strcmp(raw.format, b"B") != 0:
        if not PyBuffer_IsContiguous(raw, b"C"):
            raise BufferError("a frame is read from C-contiguous bytes; this buffer has gaps or another order")
        view = PickleBuffer(buffer).raw()
    elif not PyBuffer_IsContiguous(raw, b"C"):
        raise BufferError("a frame is read from C-contiguous bytes; this buffer has gaps")
    return view if PyMemoryView_GET_BUFFER(view).readonly else view.toreadonly()


def split_frame(buffer, Py_ssize_t max_payload):
    """Header and payload of the one frame that fills the buffer: checks 1 to 7.

    Args:
        buffer: any C-contiguous buffer.
        max_payload: bytes of payload, as it travels, to accept.

    Returns:
        The header, and a read-only memoryview of the payload within ``buffer``.
    """
    view = flat_view(buffer)
    cdef Py_ssize_t available = PyMemoryView_GET_BUFFER(view).len
    cdef Header header = read_header(view, 0, max_payload)
    cdef Py_ssize_t size = header_room(header.version) + <Py_ssize_t>header.length
    if size < available:
        raise InvalidDataFormat(
            f"{available - size} bytes left over behind the frame's {size} (byte {size}); "
            "read frames laid end to end with decode_all",
            check=5, offset=size,
        )
    return header, checked_payload(view, 0, header)


def split_next(buffer, Py_ssize_t offset, Py_ssize_t max_payload):
    """Header and payload of the frame that starts at ``offset``, whatever follows it: checks 1 to 7.

    The next frame, if there is one, starts at ``offset + header.size + header.length``.
    """
    view = flat_view(buffer)
    cdef Header header = read_header(view, offset, max_payload)
    return header, checked_payload(view, offset, header)


cdef Header read_header(view, Py_ssize_t offset, Py_ssize_t max_payload):
    """Checks 1 to 4, from the header's bytes alone."""
    cdef const uint8_t* p = <const uint8_t*>PyMemoryView_GET_BUFFER(view).buf + offset
    cdef Py_ssize_t available = PyMemoryView_GET_BUFFER(view).len - offset
    if available < SIZE_V1 or (p[0] == 3 and available < SIZE_V3):
        raise short_header(offset, available, SIZE_V3 if available > 0 and p[0] == 3 else SIZE_V1)
    if not 1 <= p[0] <= 3:
        raise InvalidProtocolVersion(
            f"version {p[0]} (byte {offset}); this receiver knows {VERSIONS}", check=2, offset=offset
        )
    if TYPES[p[1]] is None:
        raise InvalidMessageType(
            f"message type 0x{p[1]:02x} (byte {offset + 1}) is none of the thirteen", check=3, offset=offset + 1
        )
    cdef Header header = Header.__new__(Header)
    header.version = p[0]
    header.type = TYPES[p[1]]
    header.flags = FLAGS[p[2]]
    header.length = load32(p + 3)
    header.checksum = load32(p + 7)
    header.timestamp = load64(p + 11) if p[0] == 3 else None
    if header.length > <unsigned long long>max_payload:
        raise MessageTooLarge(
            f"the header announces {header.length} bytes of payload (byte {offset + 3}); the limit is {max_payload}",
            check=4, offset=offset + 3,
        )
    return header


cdef short_header(offset, available, size):
    return InvalidDataFormat(
        f"{available} bytes where a header of {size} starts (byte {offset})", check=1, offset=offset
    )


cdef object checked_payload(view, Py_ssize_t offset, Header header):
    """Checks 5 to 7: all there, no flag that the version lacks, and the sum right."""
    cdef Py_ssize_t start = offset + header_room(header.version)
    cdef Py_ssize_t stop = start + <Py_ssize_t>header.length
    cdef Py_ssize_t end = PyMemoryView_GET_BUFFER(view).len
    if stop > end:
        raise InvalidDataFormat(
            f"the payload is cut short: {end - start} of {header.length} bytes (byte {start})", check=5, offset=start
        )
    cdef int forbidden = (<int>header.flags) & FORBIDDEN[header.version]
    if forbidden:
        raise InvalidDataFormat(
            f"V{header.version} has no flag {FLAGS[forbidden].name} (byte {offset + 2})", check=6, offset=offset + 2
        )
    payload = view[start:stop]
    cdef uint32_t checksum = checksum_of(payload) if header.length else 0
    if checksum != header.checksum:
        raise ChecksumMismatch(
            f"the payload's CRC-32 is 0x{checksum:08x}, the header says 0x{header.checksum:08x} (byte {offset + 7})",
            check=7, offset=offset + 7,
        )
    return payload
