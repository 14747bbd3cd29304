"""Unpacks MessagePack payloads to Python objects, directly from the received buffer.

Only the eleven types of the specification ("MessagePack Integration") are accepted. Each length is compared to the
remaining bytes before memory is allocated. The only errors are ``ProtocolError``.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp

from ._header cimport FlatBuffer, Header, compare_sum
from .byteorder cimport load16, load32
from .checksum cimport Sum, complete
from .gil_yield cimport VALUES_BETWEEN_CHECKS, count_values
from .limits cimport DEEPEST
from .msgpack_tags cimport (
    ARRAY16, ARRAY32, BIN32, BIN8, F32, FALSE, FIXARRAY, FIXMAP, FIXSTR, I64, MAP16, MAP32, NEGATIVE_FIXINT, NIL, STR32,
    STR8, TRUE, U8,
)
from .read_samples cimport FLOATING, SIGNED, UNSIGNED, Number, read_number
from .reader cimport TOO_DEEP, Reader, allow, need, refuse
from .unpack_arrays cimport marker_at, read_number_list, read_wrapper, refuse_lying_wrapper

from datetime import datetime
from uuid import UUID

from .path import quoted
from ..errors import ProtocolError
from ..protocol import (
    BINARY_VALUES, DATETIME_KEY, DATETIME_SPELLING, MAX_VALUES, NDARRAY_KEY, NDARRAY_KEYS, UUID_KEY, UUID_SPELLING,
)

__all__ = ["unpack", "unpack_checked"]

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    void* PyUnicode_1BYTE_DATA(object text)

cdef enum:
    TEXTS_CACHED = 512
    TEXT_AT_ONCE = 262144        # bytes
    SUMMED_WHILE_READ = 65536

cdef Py_ssize_t VALUES_ALLOWED = MAX_VALUES
cdef Py_ssize_t VALUES_OF_BINARY = BINARY_VALUES

# Python does not cache these objects, and a payload could contain a million of them.
cdef list NEGATIVE_FIXINTS = [number for number in range(-32, 0)]

# Cache of short texts. A list, since its items can be read and replaced by several threads.
cdef list TEXTS = [""] * TEXTS_CACHED


cpdef object unpack(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, bint numeric, bint copy):
    """Unpack the only value in the bytes from ``start`` to ``stop``; None if there are no bytes.

    Args:
        flat: the received bytes. Arrays in binary form are views of them, and keep them alive.
        numeric: True to convert plain lists of numbers to ndarrays.
        copy: True to copy arrays in binary form, so that they are writable.

    Raises:
        InvalidDataFormat: (check 11) the payload is not exactly one valid value of the types in the specification.
        MessageTooLarge: (check 11) the payload has more values than ``protocol.MAX_VALUES``.
    """
    return read_whole(flat, start, stop, numeric, copy, NULL)


cpdef object unpack_checked(FlatBuffer flat, Py_ssize_t offset, Header header, bint numeric, bint copy):
    """Unpack the payload of the complete frame at ``offset``, after its checksum was verified (check 7).

    Raises:
        ChecksumMismatch: (check 7) the payload was damaged.
        InvalidDataFormat, MessageTooLarge: (check 11) as for ``unpack``.
    """
    if header.length >= SUMMED_WHILE_READ:
        return unpack_large(flat, offset, header, numeric, copy)
    flat.check_sum(offset, header)
    return unpack(flat, offset + header.size, offset + header.size + header.length, numeric, copy)


cdef object unpack_large(FlatBuffer flat, Py_ssize_t offset, Header header, bint numeric, bint copy):
    """Unpack a large payload, and compute its checksum while the GIL is released for the samples.

    Releasing the GIL a second time would cost threads more. Errors in the payload are therefore found before a wrong
    checksum, which then replaces them.
    """
    cdef Sum sum = Sum(0, 0)
    cdef Py_ssize_t start = offset + header.size
    refusal = None
    value = None
    try:
        value = read_whole(flat, start, start + header.length, numeric, copy, &sum)
    except ProtocolError as error:
        refusal = error
    compare_sum(offset, header, complete(&sum, flat.start + start, header.length))
    if refusal is not None:
        raise refusal
    return value


cdef object read_whole(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, bint numeric, bint copy, Sum* sum):
    cdef Reader r
    if start == stop:
        return None
    r.base = r.at = flat.start + start
    r.end = flat.start + stop
    r.owner = <PyObject*>flat
    r.sum = sum
    r.numeric = numeric
    r.copy = copy
    r.outstanding = 0
    r.values_allowed = VALUES_ALLOWED
    r.values_left = VALUES_BETWEEN_CHECKS
    r.depth = 0
    value = read_value(&r)
    if r.at != r.end:
        refuse(&r, r.at, f"{r.end - r.at} bytes left over behind the value")
    return value


# --- values ---

cdef object read_value(Reader* r):
    need(r, 1)
    cdef const uint8_t* start = r.at
    cdef uint8_t tag = start[0]
    cdef Number number
    if tag < FIXMAP:
        r.at += 1
        return tag
    if tag >= NEGATIVE_FIXINT:
        r.at += 1
        return NEGATIVE_FIXINTS[tag - NEGATIVE_FIXINT]
    if tag < FIXARRAY:
        r.at += 1
        return read_map(r, start, tag & 0x0F)
    if tag < FIXSTR:
        r.at += 1
        return read_array(r, start, tag & 0x0F)
    if tag < NIL:
        r.at += 1
        return read_short_text(r, start, tag & 0x1F)
    if tag == NIL:
        r.at += 1
        return None
    if tag in (FALSE, TRUE):
        r.at += 1
        return tag == TRUE
    if F32 <= tag <= I64:
        r.at = read_number(start, r.end, &number)
        if number.kind == FLOATING:
            return number.floating
        if number.kind == SIGNED:
            return number.signed
        if number.kind == UNSIGNED:
            return number.unsigned
        refuse(r, start, "the payload ends within this number")
    if STR8 <= tag <= STR32:
        return read_text(r, start, read_length(r, tag - STR8))
    if BIN8 <= tag <= BIN32:
        return read_bytes(r, start, read_length(r, tag - BIN8))
    if tag in (ARRAY16, ARRAY32):
        return read_array(r, start, read_length(r, tag - ARRAY16 + 1))
    if tag in (MAP16, MAP32):
        return read_map(r, start, read_length(r, tag - MAP16 + 1))
    refuse(r, start, f"MessagePack tag 0x{tag:02x} is none of the specification's types")


cdef Py_ssize_t read_length(Reader* r, int width) except -1:
    """Read a length of 8, 16 or 32 bits (width 0, 1, 2) after its tag."""
    cdef const uint8_t* p = r.at + 1
    need(r, 1 + (1 << width))
    r.at += 1 + (1 << width)
    if width == 0:
        return p[0]
    if width == 1:
        return load16(p)
    cdef uint64_t n = load32(p)
    return <Py_ssize_t>n if n <= <uint64_t>(r.end - r.at) else fail_length(r, p - 1, n)


cdef Py_ssize_t fail_length(Reader* r, const uint8_t* at, uint64_t n) except -1:
    refuse(r, at, f"a length of {n}, and {r.end - r.at} bytes are left")


cdef str read_text(Reader* r, const uint8_t* start, Py_ssize_t n):
    need(r, n)
    allow(r, start, 1)
    return decode_text(r, start, n)


cdef str decode_text(Reader* r, const uint8_t* start, Py_ssize_t n):
    try:
        if n > TEXT_AT_ONCE:
            text = decode_long(r, n)
        else:
            text = PyUnicode_DecodeUTF8(<const char*>r.at, n, NULL)
    except UnicodeDecodeError as error:
        refuse(r, start, f"text that is not UTF-8 ({error.reason})")
    r.at += n
    return text


cdef str decode_long(Reader* r, Py_ssize_t n):
    """Process the text in parts, so that the GIL is not held for long."""
    cdef const char* at = <const char*>r.at
    cdef Py_ssize_t left = n
    cdef Py_ssize_t size
    cdef Py_ssize_t end
    cdef list parts = []
    while left:
        size = min(left, TEXT_AT_ONCE)
        end = size
        while end < left and end > size - 3 and (at[end] & NIL) == FIXMAP:    # not within a character
            end -= 1
        try:
            parts.append(PyUnicode_DecodeUTF8(at, end, NULL))
        except UnicodeDecodeError:
            return PyUnicode_DecodeUTF8(<const char*>r.at, n, NULL)          # raises the error for the whole text
        at += end
        left -= end
        count_values(&r.values_left, VALUES_BETWEEN_CHECKS + 1)
    return "".join(parts)


cdef str read_short_text(Reader* r, const uint8_t* start, Py_ssize_t n):
    """Return a text of at most 31 bytes, from the cache if possible: names of fields and leads occur often."""
    cdef const uint8_t* bytes_of = r.at
    cdef str text
    cdef Py_ssize_t slot
    need(r, n)
    allow(r, start, 1)
    if n == 0:
        return ""
    slot = (bytes_of[0] * 131 + bytes_of[n // 2] * 31 + bytes_of[n - 1] * 7 + n) % TEXTS_CACHED
    text = <str>TEXTS[slot]
    if (
        PyUnicode_GET_LENGTH(text) == n and PyUnicode_IS_ASCII(text)
        and memcmp(PyUnicode_1BYTE_DATA(text), bytes_of, n) == 0
    ):
        r.at += n
        return text
    text = decode_text(r, start, n)
    TEXTS[slot] = text
    return text


cdef bytes read_bytes(Reader* r, const uint8_t* start, Py_ssize_t n):
    need(r, n)
    allow(r, start, VALUES_OF_BINARY)
    r.at += n
    return PyBytes_FromStringAndSize(<const char*>r.at - n, n)


# --- containers ---

cdef int enter(Reader* r, const uint8_t* start, Py_ssize_t values) except -1:
    """Go into an array or map of so many values. Rejects it at once if the payload is too short for them."""
    if values + r.outstanding > r.end - r.at:
        refuse(r, start, f"{values} values announced, and {r.end - r.at} bytes are left")
    if r.depth == DEEPEST:
        refuse(r, start, TOO_DEEP)
    allow(r, start, 1)
    r.depth += 1
    r.key[r.depth] = NULL
    r.index[r.depth] = 0
    r.outstanding += values
    return 0


cdef object read_array(Reader* r, const uint8_t* start, Py_ssize_t n):
    if r.numeric and n:
        array = read_number_list(r, start, n)
        if array is not None:
            return array
    enter(r, start, n)
    cdef int level = r.depth
    cdef Py_ssize_t i
    cdef list items = PyList_New(n)
    for i in range(n):
        r.index[level] = i
        r.outstanding -= 1
        item = read_value(r)
        Py_INCREF(item)
        PyList_SET_ITEM(items, i, item)
        count_values(&r.values_left, 1)
    r.depth = level - 1
    return items


cdef object read_map(Reader* r, const uint8_t* start, Py_ssize_t n):
    if 0 < n <= 3 and marker_at(r.at, r.end):
        return read_marked_map(r, start, n)
    return read_items(r, start, n)


cdef object read_marked_map(Reader* r, const uint8_t* start, Py_ssize_t n):
    """Read a map whose first key is one of a wrapper. Returns the wrapped value, or the map if it is no wrapper."""
    array = read_wrapper(r, start, n)
    if array is not None:
        return array
    cdef dict items = read_items(r, start, n)
    if NDARRAY_KEY in items and NDARRAY_KEYS.issuperset(items):
        refuse_lying_wrapper(r, start, items)
    if n == 1:
        if DATETIME_KEY in items:
            return read_datetime(r, start, items[DATETIME_KEY])
        if UUID_KEY in items:
            return read_uuid(r, start, items[UUID_KEY])
    return items


cdef dict read_items(Reader* r, const uint8_t* start, Py_ssize_t n):
    enter(r, start, 2 * n)
    cdef int level = r.depth
    cdef Py_ssize_t _
    cdef dict items = {}
    for _ in range(n):
        r.depth = level - 1                # an error in the key has the path of the map
        r.outstanding -= 1
        key = read_key(r)
        r.depth = level
        r.key[level] = <PyObject*>key
        r.outstanding -= 1
        items[key] = read_value(r)
        count_values(&r.values_left, 1)
    r.depth = level - 1
    if len(items) != n:
        refuse(r, start, "a map names the same key twice")
    return items


cdef object read_key(Reader* r):
    need(r, 1)
    cdef const uint8_t* start = r.at
    cdef uint8_t tag = start[0]
    if FIXSTR <= tag < NIL:
        r.at += 1
        return read_short_text(r, start, tag & 0x1F)
    if STR8 <= tag <= STR32:
        return read_value(r)
    if tag < FIXMAP or tag >= NEGATIVE_FIXINT or U8 <= tag <= I64:
        allow(r, start, 1)
        return read_value(r)
    refuse(r, r.at, f"a map key that is neither str nor int (MessagePack tag 0x{tag:02x})")


# --- date and UUID ---

cdef object read_datetime(Reader* r, const uint8_t* start, text):
    if type(text) is not str:
        refuse(r, start, f'"{DATETIME_KEY}" wraps no text')
    try:
        if DATETIME_SPELLING.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass                               # the date does not exist
    refuse(r, start, f'"{DATETIME_KEY}" wraps no ISO 8601 date and time: {quoted(text)}')


cdef object read_uuid(Reader* r, const uint8_t* start, text):
    if type(text) is not str:
        refuse(r, start, f'"{UUID_KEY}" wraps no text')
    if not UUID_SPELLING.fullmatch(text):
        refuse(r, start, f'"{UUID_KEY}" wraps no UUID: {quoted(text)}')
    return UUID(text)
