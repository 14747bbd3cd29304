"""Reads, checks and writes the header of frames, and returns payloads as views of the received buffer.

No policy and no I/O. Specification: ``docs/protocol.md``, "Message Structure".
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_Check
from cpython.memoryview cimport PyMemoryView_FromObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from .buffer_export cimport export_buffer
from .byteorder cimport load32, load64, store32, store64
from .checksum cimport checksum_of
from .limits cimport DEEPEST, MOST_DIMENSIONS, SIZE_V3, SIZE_V4

from operator import index

from .constructors import header as constructor
from .form import FormFault, count_of_types, describe_fault, shown_versions
from .._signatures import DeclaredSignature
from ..errors import (
    ChecksumMismatch,
    InvalidDataFormat,
    InvalidMessageType,
    InvalidProtocolVersion,
    MessageTooLarge,
)
from ..protocol import (
    FLAG_SINCE,
    HEADER_SIZES,
    LARGEST_SEQUENCE,
    MAX_DEPTH,
    MAX_NDIM,
    STREAM_TYPES,
    TYPE_SINCE,
    VERSIONS,
    Algorithm,
    Check,
    Flag,
    Form,
    MessageType,
)

__all__ = ["FlatBuffer", "Header", "crc32", "flatten", "flatten_writable", "form_fault", "as_byte"]

TYPES = [None] * 256
for _member in MessageType:
    TYPES[_member] = _member
FLAGS = [Flag(_bits) for _bits in range(256)]
FORMS = [Form(_bits) for _bits in range(256)]

# For each number of a type: the first version that has it (0: none), and whether its messages may belong to a stream.
cdef uint8_t SINCE[256]
cdef bint OF_STREAM[256]
for _bits in range(256):
    SINCE[_bits] = TYPE_SINCE.get(_bits, 0)
    OF_STREAM[_bits] = _bits in STREAM_TYPES

cdef int COMPRESSED = Flag.COMPRESSED
cdef int PRIORITY = Flag.PRIORITY
cdef int ALGORITHM = Form.ALGORITHM
cdef int RECORD = Form.RECORD
cdef int BULK = Form.BULK
cdef int LAST_ALGORITHM = max(Algorithm)
cdef int ECG_DATA = MessageType.ECG_DATA
cdef int ANOMALY_ALERT = MessageType.ANOMALY_ALERT
cdef int STREAM_TEMPLATE = MessageType.STREAM_TEMPLATE
cdef uint64_t HIGHEST_SEQUENCE = LARGEST_SEQUENCE

# Flags that change the encoding of the payload. A receiver rejects those that the version of the frame lacks.
cdef int FORBIDDEN[5]
for _version in VERSIONS:
    FORBIDDEN[_version] = sum(
        flag for flag in (Flag.COMPRESSED, Flag.ENCRYPTED) if FLAG_SINCE[flag] > _version
    )

if (HEADER_SIZES, MAX_DEPTH, MAX_NDIM) != (
    {1: SIZE_V1, 2: SIZE_V1, 3: SIZE_V3, 4: SIZE_V4}, DEEPEST, MOST_DIMENSIONS
):
    raise ImportError("the compiled core has other limits than ecgframe.protocol: build it anew")


# --- received bytes ---

@cython.final
@cython.freelist(8)
@cython.auto_pickle(False)
cdef class FlatBuffer:
    """A read-only view of the bytes of a C-contiguous buffer. It and its views keep the buffer alive."""

    def __getbuffer__(self, Py_buffer* view, int flags):
        export_buffer(view, self, self.start, self.nbytes, flags)

    def __dealloc__(self):
        PyBuffer_Release(&self.source)

    cpdef object view(self, Py_ssize_t start, Py_ssize_t stop):
        """Return the bytes from ``start`` to ``stop`` as a read-only memoryview."""
        return PyMemoryView_FromObject(self)[start:stop]

    cpdef int write(self, Py_ssize_t start, bytes octets) except -1:
        """Overwrite the bytes at ``start``. Only for buffers of ``flatten_writable``."""
        if self.source.readonly or not 0 <= start <= self.nbytes - len(octets):
            raise BufferError(f"no room for {len(octets)} bytes at byte {start} of a buffer of {self.nbytes}")
        memcpy(<uint8_t*>self.start + start, PyBytes_AS_STRING(octets), len(octets))
        return 0

    cpdef Header only_frame(self, Py_ssize_t max_payload):
        """Return the header of the only frame in the buffer, after checks 1 to 6: all but the checksum."""
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
        """Return the header of the frame at ``offset``, after checks 1 to 6. Other bytes may follow."""
        cdef Header header = self.header_at(offset, max_payload)
        self.check_whole(offset, header)
        return header

    cpdef Header frame_at(self, Py_ssize_t offset, Py_ssize_t max_payload):
        """Return the header of the frame at ``offset``, after checks 1 to 7. Other bytes may follow."""
        cdef Header header = self.whole_frame_at(offset, max_payload)
        self.check_sum(offset, header)
        return header

    cpdef Header header_at(self, Py_ssize_t offset, Py_ssize_t max_payload):
        """Return the header at ``offset``, after checks 1 to 4. The payload may still be incomplete."""
        cdef const uint8_t* p = self.start + offset
        cdef Py_ssize_t available = self.nbytes - offset
        if available < SIZE_V1 or available < header_size(p[0]):
            raise short_header(offset, available, header_size(p[0]) if available > 0 else SIZE_V1)
        if not 1 <= p[0] <= 4:
            raise InvalidProtocolVersion(
                f"version {p[0]} (byte {offset}); this receiver knows {list(VERSIONS)}",
                check=Check.VERSION, offset=offset
            )
        if not 1 <= SINCE[p[1]] <= p[0]:
            raise InvalidMessageType(
                f"message type 0x{p[1]:02x} (byte {offset + 1}) is none of the {count_of_types(p[0])}",
                check=Check.TYPE, offset=offset + 1
            )
        cdef uint32_t length = load32(p + 3)
        if length > <uint64_t>max_payload:
            raise MessageTooLarge(
                f"the header announces {length} bytes of payload (byte {offset + 3}); the limit is {max_payload}",
                check=Check.LIMIT, offset=offset + 3,
            )
        return read_header(p)

    cpdef int check_version(self, Py_ssize_t offset, int versions) except -1:
        """Reject versions that this receiver does not accept (check 2). Check 1 handles short headers.

        Args:
            versions: bit n is set if version n is accepted.
        """
        cdef Py_ssize_t available = self.nbytes - offset
        cdef int version = self.start[offset] if available > 0 else 0
        if version <= 4 and versions >> version & 1:
            return 0
        # A receiver without version 4 does not know either that its header has more than 11 bytes.
        if available >= (SIZE_V3 if version == 3 else SIZE_V1):
            raise InvalidProtocolVersion(
                f"version {version} (byte {offset}); this receiver knows {shown_versions(versions)}",
                check=Check.VERSION, offset=offset
            )
        return 0

    cdef int check_whole(self, Py_ssize_t offset, Header header) except -1:
        """Checks 5 and 6: the payload is complete, the version has the flags, and the other fields of V4 are valid."""
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
        if header.version == 4:
            check_form(offset, header)
        return 0

    cpdef int check_sum(self, Py_ssize_t offset, Header header) except -1:
        """Check 7: compare the checksum of the payload."""
        return compare_sum(offset, header, checksum_of(self.start + offset + header.size, header.length))


cpdef FlatBuffer flatten(buffer):
    """Return the bytes of a C-contiguous buffer, without a copy.

    Raises:
        TypeError: the argument is not a buffer.
        BufferError: the buffer is not C-contiguous.
    """
    if type(buffer) is FlatBuffer:
        return buffer
    return acquire(buffer, PyBUF_SIMPLE)


cpdef FlatBuffer flatten_writable(buffer):
    """Return the bytes of a C-contiguous buffer into which frames are to be written, without a copy.

    Raises:
        TypeError: the argument is not a buffer.
        BufferError: the buffer is read-only or not C-contiguous.
    """
    return acquire(buffer, PyBUF_WRITABLE)


cdef int compare_sum(Py_ssize_t offset, Header header, uint32_t checksum) except -1:
    """Check 7 of a frame whose payload has this checksum."""
    if checksum != header.checksum:
        error = ChecksumMismatch(
            f"the payload's CRC-32 is 0x{checksum:08x}, the header says 0x{header.checksum:08x} (byte {offset + 7})",
            check=Check.CHECKSUM, offset=offset + 7,
        )
        error.found = checksum
        raise error
    return 0


cpdef int form_fault(int type, int flags, int form, uint32_t stream_id, uint64_t sequence) except -1:
    """Check form, stream and sequence of a V4 header (check 6). Returns the ``FormFault``, or 0."""
    cdef int fault = 0
    if form & ~(ALGORITHM | RECORD | BULK):
        fault = FormFault.RESERVED
    elif form & ALGORITHM and not flags & COMPRESSED:
        fault = FormFault.ALGORITHM_OF_NOTHING
    elif form & ALGORITHM > LAST_ALGORITHM:
        fault = FormFault.NO_ALGORITHM
    elif form & RECORD and (type != ECG_DATA or not stream_id or flags & PRIORITY):
        fault = FormFault.NO_RECORD
    elif form & BULK and (not OF_STREAM[type] or type == ANOMALY_ALERT or not stream_id or flags & PRIORITY):
        fault = FormFault.NOT_BULK
    elif stream_id and not OF_STREAM[type]:
        fault = FormFault.NO_STREAM
    elif sequence > HIGHEST_SEQUENCE:
        fault = FormFault.LARGE_SEQUENCE
    elif sequence and not stream_id:
        fault = FormFault.SEQUENCE_OF_NOTHING
    elif stream_id and not sequence and type != STREAM_TEMPLATE:
        fault = FormFault.NO_SEQUENCE
    return fault


cdef int check_form(Py_ssize_t offset, Header header) except -1:
    """Check 6 for the fields that only V4 has."""
    cdef int fault = form_fault(
        header.type_number, header.bits, header.form_bits, header.stream_number, header.sequence_number
    )
    if fault:
        text, at = describe_fault(
            fault, header.type_number, header.form_bits, header.stream_number, header.sequence_number
        )
        raise InvalidDataFormat(f"{text} (byte {offset + at})", check=Check.FLAGS, offset=offset + at)
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
        # NumPy raises another error for what the buffer protocol calls a BufferError.
        raise BufferError(f"only C-contiguous bytes will do: {error}") from None


cdef short_header(offset, available, size):
    return InvalidDataFormat(
        f"{available} bytes where a header of {size} starts (byte {offset})", check=Check.HEADER, offset=offset
    )


@cython.binding(True)
def crc32(buffer):
    """Return the CRC-32 (ISO-HDLC, as in zlib) of a C-contiguous buffer, by vector instructions if possible.

    Raises:
        TypeError, BufferError: the argument is not a buffer, or not C-contiguous.
    """
    cdef FlatBuffer flat = flatten(buffer)
    return checksum_of(flat.start, flat.nbytes)


# --- header ---

@cython.final
@cython.freelist(8)
cdef class Header:
    """The header of a frame. Immutable.

    Attributes:
        version: 1, 2, 3 or 4.
        type: the ``MessageType``.
        flags: the ``Flag`` bits as received, including undefined ones.
        bits: the same as a plain int.
        length: size of the payload in the frame, in bytes.
        checksum: CRC-32 of the payload in the frame.
        timestamp: microseconds since the Unix epoch, or None before V3.
        size: size of the header: 11, 19 or 32 bytes.
        form: the ``Form`` bits; None before V4.
        form_bits: the same as a plain int; 0 before V4.
        stream_id: number of the stream on this connection, 0 for none; None before V4.
        sequence: number of the message in its stream, 0 for none; None before V4.
    """

    __signature__ = DeclaredSignature(constructor)

    def __init__(
        self, version, type, flags, length, checksum, timestamp=None, form=None, stream_id=None, sequence=None
    ):
        if version not in HEADER_SIZES:
            raise ValueError(f"version is one of {VERSIONS}, not {version}")
        if not 0 <= flags <= 0xFF:
            raise ValueError(f"flags are the bits of one byte, not {flags}")
        if (timestamp is None) != (version < 3):
            raise ValueError(f"a V{version} header has {'no' if version < 3 else 'a'} timestamp")
        if any((value is None) != (version < 4) for value in (form, stream_id, sequence)):
            raise ValueError(f"a V{version} header has {'neither' if version < 4 else 'a'} form, stream and sequence")
        if form is not None and not 0 <= form <= 0xFF:
            raise ValueError(f"the form is the bits of one byte, not {form}")
        self.version = index(version)
        self.type_number = MessageType(type)
        self.bits = index(flags)
        self.length = <uint32_t>index(length)
        self.checksum = index(checksum)
        self.stamp = 0 if timestamp is None else <uint64_t>index(timestamp)
        self.form_bits = 0 if form is None else index(form)
        self.stream_number = 0 if stream_id is None else <uint32_t>index(stream_id)
        self.sequence_number = 0 if sequence is None else <uint64_t>index(sequence)
        self.size = header_size(self.version)

    @property
    def type(self):
        return TYPES[self.type_number]

    @property
    def flags(self):
        return FLAGS[self.bits]

    @property
    def timestamp(self):
        return self.stamp if self.version >= 3 else None

    @property
    def form(self):
        return FORMS[self.form_bits] if self.version >= 4 else None

    @property
    def stream_id(self):
        return self.stream_number if self.version >= 4 else None

    @property
    def sequence(self):
        return self.sequence_number if self.version >= 4 else None

    def __bytes__(self):
        cdef bytes header = PyBytes_FromStringAndSize(NULL, self.size)
        write_header(
            <uint8_t*>PyBytes_AS_STRING(header), self.version, self.type_number, self.bits,
            <uint32_t>self.length, self.checksum, self.stamp, self.form_bits, self.stream_number, self.sequence_number,
        )
        return header

    def _key(self):
        return (
            self.version, self.type, self.flags, self.length, self.checksum, self.timestamp, self.form,
            self.stream_id, self.sequence,
        )

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
        if self.version >= 4:
            stamp += f", form={self.form!r}, stream_id={self.stream_number}, sequence={self.sequence_number}"
        return (
            f"Header(version={self.version}, type={self.type!r}, flags={self.flags!r}, "
            f"length={self.length}, checksum=0x{self.checksum:08x}{stamp})"
        )


cdef Header read_header(const uint8_t* p):
    cdef Header header = Header.__new__(Header)
    header.version = p[0]
    header.type_number = p[1]
    header.bits = p[2]
    header.length = load32(p + 3)
    header.checksum = load32(p + 7)
    header.size = header_size(p[0])
    if p[0] < 4:
        header.stamp = load64(p + 11) if p[0] == 3 else 0
        header.form_bits = 0
        header.stream_number = 0
        header.sequence_number = 0
        return header
    header.stamp = load64(p + 11)
    header.form_bits = p[19]
    header.stream_number = load32(p + 20)
    header.sequence_number = load64(p + 24)
    return header


cdef void write_header(
    uint8_t* p, int version, int type, int flags, uint32_t length, uint32_t checksum, uint64_t timestamp,
    int form, uint32_t stream_id, uint64_t sequence,
) noexcept nogil:
    p[0] = <uint8_t>version
    p[1] = <uint8_t>type
    p[2] = <uint8_t>flags
    store32(p + 3, length)
    store32(p + 7, checksum)
    if version >= 3:
        store64(p + 11, timestamp)
    if version >= 4:
        p[19] = <uint8_t>form
        store32(p + 20, stream_id)
        store64(p + 24, sequence)


cpdef int as_byte(value, str what) except -1:
    """Convert an integer of the caller, a plain int or a member of an enum, to a byte of the header.

    Raises:
        TypeError: the value is not an integer.
        ValueError: the value is not from 0 to 255.
    """
    cdef int overflow = 0
    cdef long number = PyLong_AsLongAndOverflow(value, &overflow) if PyLong_Check(value) else -1
    return <int>number if 0 <= number <= 255 else as_byte_of_other(value, what)


cdef int as_byte_of_other(value, str what) except -1:
    whole = index(value)
    if not 0 <= whole <= 255:
        raise ValueError(f"{what} {int(whole)}: the header has one byte for it")
    return whole
