"""The frame's header, written and read, its checks, and the payload as a view of the buffer it came in.

Buffers in, buffers out: no policy and no I/O. Section "Message Structure" of the specification.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_Check
from cpython.memoryview cimport PyMemoryView_FromObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from .buffer_export cimport export_buffer
from .byteorder cimport load32, load64, store32, store64
from .checksum cimport checksum_of
from .gil_handoff cimport acquire_turn, release_turn
from .limits cimport DEEPEST, MOST_DIMENSIONS

from operator import index

from ..errors import (
    ChecksumMismatch,
    InvalidDataFormat,
    InvalidMessageType,
    InvalidProtocolVersion,
    MessageTooLarge,
)
from ..protocol import FLAG_SINCE, HEADER_SIZES, MAX_DEPTH, MAX_NDIM, VERSIONS, Check, Flag, MessageType

__all__ = ["FlatBuffer", "Header", "crc32", "flatten", "flatten_writable", "as_byte"]

TYPES = [None] * 256
for _member in MessageType:
    TYPES[_member] = _member
FLAGS = [Flag(_bits) for _bits in range(256)]

# The flags that change how the payload reads, and that a version lacks: refused by a receiver of that version.
cdef int FORBIDDEN[4]
for _version in VERSIONS:
    FORBIDDEN[_version] = sum(
        flag for flag in (Flag.COMPRESSED, Flag.ENCRYPTED) if FLAG_SINCE[flag] > _version
    )

if (HEADER_SIZES, MAX_DEPTH, MAX_NDIM) != ({1: SIZE_V1, 2: SIZE_V1, 3: SIZE_V3}, DEEPEST, MOST_DIMENSIONS):
    raise ImportError("the compiled core has other limits than ecgframe.protocol: build it anew")


# --- bytes that came in ---

@cython.final
@cython.freelist(8)
@cython.auto_pickle(False)
cdef class FlatBuffer:
    """The bytes of any C-contiguous buffer, read-only and without a copy. Keeps the buffer alive, as its views do."""

    def __getbuffer__(self, Py_buffer* view, int flags):
        export_buffer(view, self, self.start, self.nbytes, flags)

    def __dealloc__(self):
        PyBuffer_Release(&self.source)

    cpdef object view(self, Py_ssize_t start, Py_ssize_t stop):
        """The bytes from start to stop, as a read-only memoryview."""
        return PyMemoryView_FromObject(self)[start:stop]

    cpdef Header only_frame(self, Py_ssize_t max_payload):
        """Checks 1 to 6 of the one frame that fills the buffer: all but its sum."""
        cdef Header header = self.header_at(0, max_payload)
        cdef Py_ssize_t size = header.size + header.length
        if size < self.nbytes:
            raise InvalidDataFormat(
                f"{self.nbytes - size} bytes left over behind the frame's {size} (byte {size}); "
                "read frames laid end to end with decode_all",
                check=Check.LENGTH, offset=size,
            )
        self.check_whole(0, header)
        return header

    cpdef Header whole_frame_at(self, Py_ssize_t offset, Py_ssize_t max_payload):
        """Checks 1 to 6 of the frame that starts at offset, whatever follows it."""
        cdef Header header = self.header_at(offset, max_payload)
        self.check_whole(offset, header)
        return header

    cpdef Header frame_at(self, Py_ssize_t offset, Py_ssize_t max_payload):
        """Checks 1 to 7 of the frame that starts at offset, whatever follows it."""
        cdef Header header = self.whole_frame_at(offset, max_payload)
        self.check_sum(offset, header)
        return header

    cpdef Header header_at(self, Py_ssize_t offset, Py_ssize_t max_payload):
        """Checks 1 to 4, from the header's bytes alone."""
        cdef const uint8_t* p = self.start + offset
        cdef Py_ssize_t available = self.nbytes - offset
        if available < SIZE_V1 or (p[0] == 3 and available < SIZE_V3):
            raise short_header(offset, available, SIZE_V3 if available > 0 and p[0] == 3 else SIZE_V1)
        if not 1 <= p[0] <= 3:
            raise InvalidProtocolVersion(
                f"version {p[0]} (byte {offset}); this receiver knows {VERSIONS}", check=Check.VERSION, offset=offset
            )
        if TYPES[p[1]] is None:
            raise InvalidMessageType(
                f"message type 0x{p[1]:02x} (byte {offset + 1}) is none of the thirteen",
                check=Check.TYPE, offset=offset + 1
            )
        cdef uint32_t length = load32(p + 3)
        if length > <uint64_t>max_payload:
            raise MessageTooLarge(
                f"the header announces {length} bytes of payload (byte {offset + 3}); the limit is {max_payload}",
                check=Check.LIMIT, offset=offset + 3,
            )
        return read_header(p)

    cpdef bint repeats_last_four(self):
        """Whether the last four bytes stand together anywhere before, too."""
        cdef bint found
        with nogil:
            release_turn()
            found = self.nbytes > 4 and occur_before(self.start, self.start + self.nbytes - 4)
            acquire_turn()
        return found

    cpdef int check_version(self, Py_ssize_t offset, frozenset versions) except -1:
        """Check 2 of a receiver that knows these versions alone. What check 1 is to find, and it does not, passes."""
        cdef Py_ssize_t available = self.nbytes - offset
        cdef int version = self.start[offset] if available > 0 else 0
        if available >= header_size(version) and version not in versions:
            raise InvalidProtocolVersion(
                f"version {version} (byte {offset}); this receiver knows {sorted(versions)}",
                check=Check.VERSION, offset=offset
            )
        return 0

    cdef int check_whole(self, Py_ssize_t offset, Header header) except -1:
        """Checks 5 and 6: all there, and no flag that the version lacks."""
        cdef Py_ssize_t start = offset + header.size
        if header.length > self.nbytes - start:
            raise InvalidDataFormat(
                f"the payload is cut short: {self.nbytes - start} of {header.length} bytes (byte {start})",
                check=Check.LENGTH, offset=start,
            )
        cdef int forbidden = self.start[offset + 2] & FORBIDDEN[header.version]
        if forbidden:
            raise InvalidDataFormat(
                f"V{header.version} has no flag {FLAGS[forbidden].name} (byte {offset + 2})",
                check=Check.FLAGS, offset=offset + 2,
            )
        return 0

    cpdef int check_sum(self, Py_ssize_t offset, Header header) except -1:
        """Check 7."""
        return compare_sum(offset, header, checksum_of(self.start + offset + header.size, header.length))


cpdef FlatBuffer flatten(buffer):
    """The bytes of any C-contiguous buffer, without a copy.

    Raises:
        TypeError: not a buffer.
        BufferError: the bytes do not lie end to end in C order.
    """
    if type(buffer) is FlatBuffer:
        return buffer
    return acquire(buffer, PyBUF_SIMPLE)


cpdef FlatBuffer flatten_writable(buffer):
    """The same of a buffer that frames shall be written into.

    Raises:
        TypeError: not a buffer.
        BufferError: the buffer is read-only, or its bytes do not lie end to end in C order.
    """
    return acquire(buffer, PyBUF_WRITABLE)


cdef int compare_sum(Py_ssize_t offset, Header header, uint32_t checksum) except -1:
    """Check 7 of a frame whose payload has this sum."""
    if checksum != header.checksum:
        raise ChecksumMismatch(
            f"the payload's CRC-32 is 0x{checksum:08x}, the header says 0x{header.checksum:08x} (byte {offset + 7})",
            check=Check.CHECKSUM, offset=offset + 7,
        )
    return 0


cdef FlatBuffer acquire(buffer, int flags):
    cdef FlatBuffer flat = FlatBuffer.__new__(FlatBuffer)
    if type(buffer) is bytes:
        PyObject_GetBuffer(buffer, &flat.source, flags)
    else:
        hold_other(buffer, &flat.source, flags)
    flat.start = <const uint8_t*>flat.source.buf
    flat.nbytes = flat.source.len
    return flat


cdef int hold_other(buffer, Py_buffer* source, int flags) except -1:
    try:
        return PyObject_GetBuffer(buffer, source, flags)
    except ValueError as error:
        # NumPy's word for what the buffer protocol calls a BufferError.
        raise BufferError(f"only C-contiguous bytes will do: {error}") from None


cdef bint occur_before(const uint8_t* p, const uint8_t* four) noexcept nogil:
    """Whether the four bytes stand anywhere from p on. Without a branch, so that compilers look at many at once."""
    cdef uint8_t a = four[0]
    cdef uint8_t b = four[1]
    cdef uint8_t c = four[2]
    cdef uint8_t d = four[3]
    cdef uint8_t found = 0
    cdef Py_ssize_t i
    for i in range(four - p):
        found |= (p[i] == a) & (p[i + 1] == b) & (p[i + 2] == c) & (p[i + 3] == d)
    return found


cdef short_header(offset, available, size):
    return InvalidDataFormat(
        f"{available} bytes where a header of {size} starts (byte {offset})", check=Check.HEADER, offset=offset
    )


@cython.binding(True)
def crc32(buffer):
    """CRC-32 (ISO-HDLC, the one of zlib) of any C-contiguous buffer, at hardware speed.

    Raises:
        TypeError, BufferError: not a buffer, or one with gaps.
    """
    cdef FlatBuffer flat = flatten(buffer)
    return checksum_of(flat.start, flat.nbytes)


# --- header ---

@cython.final
@cython.freelist(8)
cdef class Header:
    """What a frame says of itself before its payload. Immutable.

    Attributes:
        version: 1, 2 or 3.
        type: the ``MessageType``.
        flags: the ``Flag`` bits as received, undefined ones included.
        bits: the same as a plain int.
        length: bytes of payload as they travel.
        checksum: CRC-32 of those bytes.
        timestamp: microseconds since the Unix epoch, or None before V3.
        size: bytes of this header, 11 or 19.
    """

    def __init__(self, version, type, flags, length, checksum, timestamp=None):
        if version not in HEADER_SIZES:
            raise ValueError(f"version is one of {VERSIONS}, not {version}")
        if not 0 <= flags <= 0xFF:
            raise ValueError(f"flags are the bits of one byte, not {flags}")
        if (timestamp is None) != (version < 3):
            raise ValueError(f"a V{version} header has {'no' if version < 3 else 'a'} timestamp")
        self.version = index(version)
        self.number = MessageType(type)
        self.bits = index(flags)
        self.length = <uint32_t>index(length)
        self.checksum = index(checksum)
        self.stamp = 0 if timestamp is None else <uint64_t>index(timestamp)
        self.size = header_size(self.version)

    @property
    def type(self):
        return TYPES[self.number]

    @property
    def flags(self):
        return FLAGS[self.bits]

    @property
    def timestamp(self):
        return self.stamp if self.version == 3 else None

    def __bytes__(self):
        cdef bytes header = PyBytes_FromStringAndSize(NULL, self.size)
        write_header(
            <uint8_t*>PyBytes_AS_STRING(header), self.version, self.number, self.bits,
            <uint32_t>self.length, self.checksum, self.stamp,
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


cdef Header read_header(const uint8_t* p):
    cdef Header header = Header.__new__(Header)
    header.version = p[0]
    header.number = p[1]
    header.bits = p[2]
    header.length = load32(p + 3)
    header.checksum = load32(p + 7)
    header.size = header_size(p[0])
    header.stamp = load64(p + 11) if p[0] == 3 else 0
    return header


cdef void write_header(
    uint8_t* p, int version, int type, int flags, uint32_t length, uint32_t checksum, uint64_t timestamp
) noexcept nogil:
    p[0] = <uint8_t>version
    p[1] = <uint8_t>type
    p[2] = <uint8_t>flags
    store32(p + 3, length)
    store32(p + 7, checksum)
    if version == 3:
        store64(p + 11, timestamp)


cpdef int as_byte(value, str what) except -1:
    """An integer of the caller's that the header has one byte for: an enum member as soon as a plain int.

    Raises:
        TypeError: no integer.
        ValueError: outside 0 to 255.
    """
    cdef int overflow = 0
    cdef long number = PyLong_AsLongAndOverflow(value, &overflow) if PyLong_Check(value) else -1
    return <int>number if 0 <= number <= 255 else as_byte_of_other(value, what)


cdef int as_byte_of_other(value, str what) except -1:
    whole = index(value)
    if not 0 <= whole <= 255:
        raise ValueError(f"{what} {int(whole)}: the header has one byte for it")
    return whole
