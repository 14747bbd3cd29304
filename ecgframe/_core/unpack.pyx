"""From a MessagePack payload to Python objects, read straight out of the received buffer.

The specification's eleven types and nothing else ("MessagePack Integration"). Every length is checked against what has
arrived before anything is allocated for it; only ``ProtocolError`` leaves.
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
from .gil_yield cimport VALUES_BETWEEN_LOOKS, count_values
from .limits cimport DEEPEST
from .msgpack_tags cimport (
    ARRAY16, ARRAY32, BIN32, BIN8, F32, FALSE, FIXARRAY, FIXMAP, FIXSTR, I64, MAP16, MAP32, NEGATIVE_FIXINT, NIL, STR32,
    STR8, TRUE, U8,
)
from .read_samples cimport FLOATING, SIGNED, UNSIGNED, Number, read_number
from .reader cimport TOO_DEEP, Reader, need, refuse, where
from .unpack_arrays cimport marker_at, read_number_list, read_wrapper, refuse_lying_wrapper

from datetime import datetime
from uuid import UUID

from .path import quoted
from ..errors import MessageTooLarge, ProtocolError
from ..protocol import DATETIME_KEY, MAX_CONTAINERS, NDARRAY_KEY, NDARRAY_KEYS, UUID_KEY, Check

__all__ = ["unpack", "unpack_checked"]

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    void* PyUnicode_1BYTE_DATA(object text)

cdef enum:
    TEXTS_CACHED = 512
    TEXT_AT_ONCE = 262144        # bytes
    SUMMED_WHILE_READ = 65536

cdef Py_ssize_t MOST_CONTAINERS = MAX_CONTAINERS

# Python keeps no single objects for these, and a payload could ask for a million of each byte.
cdef list NEGATIVE_FIXINTS = [number for number in range(-32, 0)]

# The last text of each kind. A list, since Python makes taking from it and putting into it safe between threads.
cdef list TEXTS = [""] * TEXTS_CACHED


cpdef object unpack(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, bint numeric):
    """The one value that fills the bytes from start to stop; None where there are none.

    Args:
        flat: the received bytes. Arrays in binary form are views of them and keep them alive.
        numeric: whether plain homogeneous lists of numbers become ndarrays.

    Raises:
        InvalidDataFormat: (check 11) not exactly one well-formed value of the specification's types.
        MessageTooLarge: (check 11) more arrays and maps than ``protocol.MAX_CONTAINERS``.
    """
    return read_whole(flat, start, stop, numeric, NULL)


cpdef object unpack_checked(FlatBuffer flat, Py_ssize_t offset, Header header, bint numeric):
    """The same of the payload of the frame at offset, which is whole, once its sum is known to be right (check 7).

    Raises:
        ChecksumMismatch: (check 7) the payload was damaged.
        InvalidDataFormat, MessageTooLarge: (check 11) as ``unpack`` does.
    """
    if header.length >= SUMMED_WHILE_READ:
        return unpack_large(flat, offset, header, numeric)
    flat.check_sum(offset, header)
    return unpack(flat, offset + header.size, offset + header.size + header.length, numeric)


cdef object unpack_large(FlatBuffer flat, Py_ssize_t offset, Header header, bint numeric):
    """Sums the payload where the GIL is let go for its samples, since to take it back twice costs threads more.

    So whatever is wrong with a payload comes up before its sum does, and counts for nothing if the sum is wrong.
    """
    cdef Sum sum = Sum(0, 0)
    cdef Py_ssize_t start = offset + header.size
    refusal = None
    value = None
    try:
        value = read_whole(flat, start, start + header.length, numeric, &sum)
    except ProtocolError as error:
        refusal = error
    compare_sum(offset, header, complete(&sum, flat.start + start, header.length))
    if refusal is not None:
        raise refusal
    return value


cdef object read_whole(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, bint numeric, Sum* sum):
    cdef Reader r
    if start == stop:
        return None
    r.base = r.at = flat.start + start
    r.end = flat.start + stop
    r.owner = <PyObject*>flat
    r.sum = sum
    r.numeric = numeric
    r.outstanding = 0
    r.containers = 0
    r.values_left = VALUES_BETWEEN_LOOKS
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
        return read_bytes(r, read_length(r, tag - BIN8))
    if tag in (ARRAY16, ARRAY32):
        return read_array(r, start, read_length(r, tag - ARRAY16 + 1))
    if tag in (MAP16, MAP32):
        return read_map(r, start, read_length(r, tag - MAP16 + 1))
    refuse(r, start, f"MessagePack tag 0x{tag:02x} is none of the specification's types")


cdef Py_ssize_t read_length(Reader* r, int width) except -1:
    """A length of 8, 16 or 32 bits (width 0, 1, 2) behind its tag."""
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
    """Part by part, since the whole of it would keep the GIL for long."""
    cdef const char* at = <const char*>r.at
    cdef Py_ssize_t left = n
    cdef Py_ssize_t size
    cdef Py_ssize_t end
    cdef list parts = []
    while left:
        size = min(left, TEXT_AT_ONCE)
        end = size
        while end < left and end > size - 3 and (at[end] & NIL) == FIXMAP:    # not within a letter
            end -= 1
        try:
            parts.append(PyUnicode_DecodeUTF8(at, end, NULL))
        except UnicodeDecodeError:
            return PyUnicode_DecodeUTF8(<const char*>r.at, n, NULL)          # which says what is wrong with the whole
        at += end
        left -= end
        count_values(&r.values_left, VALUES_BETWEEN_LOOKS + 1)
    return "".join(parts)


cdef str read_short_text(Reader* r, const uint8_t* start, Py_ssize_t n):
    """At most 31 bytes, from the cache if they were the last of their kind: field and lead names recur all the time."""
    cdef const uint8_t* bytes_of = r.at
    cdef str text
    cdef Py_ssize_t slot
    need(r, n)
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
    text = read_text(r, start, n)
    TEXTS[slot] = text
    return text


cdef bytes read_bytes(Reader* r, Py_ssize_t n):
    need(r, n)
    r.at += n
    return PyBytes_FromStringAndSize(<const char*>r.at - n, n)


# --- containers ---

cdef int enter(Reader* r, const uint8_t* start, Py_ssize_t values) except -1:
    """Into an array or map that owes this many values: refused at once where they cannot all have arrived."""
    if values + r.outstanding > r.end - r.at:
        refuse(r, start, f"{values} values announced, and {r.end - r.at} bytes are left")
    if r.depth == DEEPEST:
        refuse(r, start, TOO_DEEP)
    r.containers += 1
    if r.containers > MOST_CONTAINERS:
        raise MessageTooLarge(
            f"{where(r)}: more than {MOST_CONTAINERS} arrays and maps in one payload (payload byte {start - r.base})",
            check=Check.PAYLOAD, path=where(r), offset=start - r.base,
        )
    r.depth += 1
    r.key[r.depth] = NULL
    r.index[r.depth] = 0
    r.outstanding += values
    return 0


cdef object read_array(Reader* r, const uint8_t* start, Py_ssize_t n):
    if r.numeric and n:
        array = read_number_list(r, n)
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
    """A map whose first key is one of the wrappers': what it wraps, or the map where it has other keys besides."""
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
        r.depth = level - 1                # a broken key is the map's fault, and named by the map's path
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
    if tag < FIXMAP or tag >= NEGATIVE_FIXINT or U8 <= tag <= I64 or STR8 <= tag <= STR32:
        return read_value(r)
    refuse(r, r.at, f"a map key that is neither str nor int (MessagePack tag 0x{tag:02x})")


# --- date and UUID ---

cdef object read_datetime(Reader* r, const uint8_t* start, text):
    if type(text) is not str:
        refuse(r, start, f'"{DATETIME_KEY}" wraps no text')
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        refuse(r, start, f'"{DATETIME_KEY}" wraps no ISO 8601 date and time: {quoted(text)}')


cdef object read_uuid(Reader* r, const uint8_t* start, text):
    if type(text) is not str:
        refuse(r, start, f'"{UUID_KEY}" wraps no text')
    try:
        return UUID(text)
    except ValueError:
        refuse(r, start, f'"{UUID_KEY}" wraps no UUID: {quoted(text)}')
