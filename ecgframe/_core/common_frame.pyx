"""Decodes the most common kind of frame in one call: whole, in bytes, neither transformed nor a record.

For a small message, the objects around its payload take longer than the payload. This way needs only the message.
Every other frame, each one with a fault in its header or checksum included, is left to the general way.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from ._header cimport form_fault, header_size
from .byteorder cimport load32, load64
from .checksum cimport checksum_of
from .limits cimport SIZE_V1
from .message cimport Message
from .unpack cimport SUMMED_WHILE_READ, read_large, read_payload

from ..protocol import DATA_TYPES, TYPE_SINCE, Flag, MessageType

__all__ = ["decode_common"]

# For each number of a type: the first version that has it (0: none), and whether its lists of numbers may be samples.
cdef uint8_t SINCE[256]
cdef bint HAS_SAMPLES[256]
for _number in range(256):
    SINCE[_number] = TYPE_SINCE.get(_number, 0)
    HAS_SAMPLES[_number] = _number in DATA_TYPES

cdef int TRANSFORMED = Flag.COMPRESSED | Flag.ENCRYPTED
cdef int TRANSFORMED_IN_V4 = Flag.COMPRESSED | Flag.ENCRYPTED | Flag.FRAGMENT | Flag.SIGNED
# Types whose fields are checked in any case.
cdef int STREAM_TEMPLATE = MessageType.STREAM_TEMPLATE
cdef int STREAM_ATTESTATION = MessageType.STREAM_ATTESTATION


cpdef object decode_common(buffer, Py_ssize_t max_payload, int versions, bint numeric, bint copy):
    """Decode the only frame in the buffer, if it is of the most common kind; otherwise return None.

    Args:
        buffer: anything; only bytes are decoded.
        max_payload: maximum size of the payload in bytes.
        versions: bit n is set if version n is accepted.
        numeric: True to convert plain lists of numbers in data messages to ndarrays.
        copy: True to copy arrays in binary form.

    Raises:
        InvalidDataFormat, MessageTooLarge: (check 11) as ``unpack``.
    """
    if type(buffer) is not bytes:
        return None
    cdef Py_ssize_t size = PyBytes_GET_SIZE(buffer)
    if size < SIZE_V1:
        return None
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(buffer)
    cdef int version = p[0]
    cdef int number = p[1]
    cdef int flags = p[2]
    if not 1 <= version <= 4 or not versions >> version & 1 or not 1 <= SINCE[number] <= version:
        return None
    cdef Py_ssize_t start = header_size(version)
    cdef Py_ssize_t length = size - start
    if length < 0 or load32(p + 3) != <uint64_t>length or length > max_payload:
        return None
    if version < 4:
        if flags & TRANSFORMED:
            return None
    elif (
        flags & TRANSFORMED_IN_V4 or p[19] or number == STREAM_TEMPLATE or number == STREAM_ATTESTATION
        or form_fault(number, flags, 0, load32(p + 20), load64(p + 24))
    ):
        return None
    cdef bint is_valid = True
    numeric = numeric and HAS_SAMPLES[number]
    if length >= SUMMED_WHILE_READ:
        data = read_large(buffer, p + start, length, load32(p + 7), numeric, copy, &is_valid)
        if not is_valid:
            return None
    elif checksum_of(p + start, length) != load32(p + 7):
        return None
    else:
        data = read_payload(buffer, p + start, length, numeric, copy)
    cdef Message message = Message.__new__(Message)
    message.data = data
    message.version = version
    message.type_number = number
    message.bits = flags
    message.nbytes = length
    message.stamped = version >= 3
    message.stamp = load64(p + 11) if version >= 3 else 0
    message.form_bits = 0
    message.stream_number = load32(p + 20) if version == 4 else 0
    message.sequence_number = load64(p + 24) if version == 4 else 0
    return message
