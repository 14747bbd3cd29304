"""Unpacks MessagePack payloads to Python objects, directly from the received buffer.

Only the eleven types of the specification ("MessagePack Integration") are accepted. Each length is compared to the
remaining bytes before memory is allocated. The only errors are ``ProtocolError``.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_SetItem
from cpython.list cimport PyList_GET_SIZE, PyList_GetSlice, PyList_New, PyList_SET_ITEM
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcmp, memcpy

from ._header cimport FlatBuffer, Header, compare_sum
from .byteorder cimport load16, load32, load64
from .checksum cimport Sum, complete
from .gil_yield cimport VALUES_BETWEEN_CHECKS, count_values
from .limits cimport DEEPEST
from .msgpack_tags cimport (
    ARRAY16, ARRAY32, BIN32, BIN8, F32, F64, FALSE, FIXARRAY, FIXMAP, FIXSTR, I64, MAP16, MAP32, NEGATIVE_FIXINT, NIL,
    STR32, STR8, TRUE, U8,
)
from .read_samples cimport FLOATING, SIGNED, UNSIGNED, Number, as_double, read_number
from .reader cimport TOO_DEEP, Reader, allow, need, refuse
from .unpack_arrays cimport marker_at, read_number_list, read_wrapper, refuse_invalid_wrapper

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
    uint8_t* PyUnicode_1BYTE_DATA(object text)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 largest)
    PyObject* tuple_item "PyTuple_GET_ITEM"(PyObject* items, Py_ssize_t i)

cdef extern from "texts.h":
    Py_ssize_t text_slot "ecgframe_text_slot"(const uint8_t* p, Py_ssize_t n, int bits) noexcept nogil
    bint same_text "ecgframe_same_text"(const uint8_t* a, const uint8_t* b, Py_ssize_t n) noexcept nogil
    bint is_key "ecgframe_is_key"(PyObject* key, const uint8_t* at, const uint8_t* end) noexcept nogil
    bint is_ascii "ecgframe_is_ascii"(const uint8_t* p, Py_ssize_t n) noexcept nogil

cdef enum:
    TEXTS_CACHED = 512
    ASCII_AT_ONCE = 256          # bytes up to which a loop over words is faster than Python's function
    BITS_OF_SLOT = 9             # 2**9 texts are cached
    TEXT_AT_ONCE = 262144        # bytes

cdef Py_ssize_t VALUES_ALLOWED = MAX_VALUES
cdef Py_ssize_t VALUES_OF_BINARY = BINARY_VALUES

# Tags with which the key of a wrapper may begin: a str of 5, 8, 11 or 12 bytes, or of any length that is written apart.
cdef bint MAY_MARK[256]
for _tag in range(256):
    MAY_MARK[_tag] = _tag - FIXSTR in (5, 8, 11, 12) or STR8 <= _tag <= STR32

# Python does not cache these objects, and a payload could contain a million of them.
cdef list NEGATIVE_FIXINTS = [number for number in range(-32, 0)]

# Caches of short texts in ASCII. Lists, since several threads can read and replace their items. Keys of maps have a
# cache of their own, as texts that are new in each message would replace them.
cdef list KEYS = [""] * TEXTS_CACHED
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


cdef object read_payload(object owner, const uint8_t* start, Py_ssize_t nbytes, bint numeric, bint copy):
    """Unpack a payload whose checksum was verified. ``owner`` is the bytes object that has it, or a FlatBuffer."""
    return read_all(owner, start, start + nbytes, numeric, copy, NULL)


cdef object read_large(
    object owner, const uint8_t* start, Py_ssize_t nbytes, uint32_t checksum, bint numeric, bint copy, bint* is_valid
):
    """Unpack a large payload as ``unpack_large`` does. Says whether it is valid: if not, the value is None."""
    cdef Sum sum = Sum(0, 0)
    value = None
    try:
        value = read_all(owner, start, start + nbytes, numeric, copy, &sum)
        is_valid[0] = complete(&sum, start, nbytes) == checksum
    except ProtocolError:
        is_valid[0] = False
    return value if is_valid[0] else None


cdef object read_whole(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, bint numeric, bint copy, Sum* sum):
    return read_all(flat, flat.start + start, flat.start + stop, numeric, copy, sum)


cdef object read_all(object owner, const uint8_t* start, const uint8_t* stop, bint numeric, bint copy, Sum* sum):
    cdef Reader r
    if start == stop:
        return None
    r.base = r.at = start
    r.end = stop
    r.owner = <PyObject*>owner
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
    if tag == F64 and r.end - start >= 9:    # most values of maps
        r.at += 9
        return as_double(load64(start + 1))
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
        return read_short_text(r, start, tag & 0x1F, TEXTS)
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
    cdef str text
    if 1 < n <= ASCII_AT_ONCE and is_ascii(r.at, n):    # Python keeps the texts of one character
        text = PyUnicode_New(n, 127)
        memcpy(PyUnicode_1BYTE_DATA(text), r.at, n)
    else:
        text = decode_utf8(r, start, n)
    r.at += n
    return text


cdef str decode_utf8(Reader* r, const uint8_t* start, Py_ssize_t n):
    try:
        if n > TEXT_AT_ONCE:
            return decode_long(r, n)
        return PyUnicode_DecodeUTF8(<const char*>r.at, n, NULL)
    except UnicodeDecodeError as error:
        refuse(r, start, f"text that is not UTF-8 ({error.reason})")


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


@cython.boundscheck(False)
@cython.wraparound(False)
cdef str read_short_text(Reader* r, const uint8_t* start, Py_ssize_t n, list cache):
    """Return a text of at most 31 bytes, from the cache if possible: names of fields and leads occur often."""
    cdef const uint8_t* p = r.at
    cdef str text
    cdef Py_ssize_t slot
    need(r, n)
    allow(r, start, 1)
    if n == 0:
        return ""
    slot = text_slot(p, n, BITS_OF_SLOT)
    text = <str>cache[slot]
    if PyUnicode_GET_LENGTH(text) == n and same_text(PyUnicode_1BYTE_DATA(text), p, n):
        r.at += n
        return text
    text = decode_text(r, start, n)
    if PyUnicode_IS_ASCII(text):
        cache[slot] = text
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
    if FEWEST_TEXTS <= n <= MOST_TEXTS and r.end - r.at > n and FIXSTR <= r.at[0] < NIL:
        return read_texts(r, start, n)
    if r.numeric and n:
        array = read_number_list(r, start, n)
        if array is not None:
            return array
    return read_values(r, start, n)


cdef list read_values(Reader* r, const uint8_t* start, Py_ssize_t n):
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


# --- lists of texts that came before: names of leads, labels ---

@cython.final
cdef class TextList:
    """A list of texts, which is copied if the same bytes come again."""

    cdef bytes packed            # the texts in the payload
    cdef list texts              # never changed


cdef enum:
    BITS_OF_LISTS = 6            # 2**6 lists are kept
    FEWEST_TEXTS = 3
    MOST_TEXTS = 64
    LONGEST_LIST = 1024          # bytes of texts
    BITS_OF_TRACE = 30

cdef list LISTS = [None] * (1 << BITS_OF_LISTS)
cdef Py_ssize_t LIST_TRACES[1 << BITS_OF_LISTS]    # of the last texts of each slot that were others


@cython.boundscheck(False)
@cython.wraparound(False)
cdef list read_texts(Reader* r, const uint8_t* start, Py_ssize_t n):
    """Read an array of n values, the first a short text: from the list in its slot if the bytes are equal."""
    cdef const uint8_t* p = r.at
    cdef Py_ssize_t left = r.end - p
    cdef Py_ssize_t slot = text_slot(p, min(left, 8), BITS_OF_LISTS) ^ (n & ((1 << BITS_OF_LISTS) - 1))
    cdef TextList known = <TextList>LISTS[slot]
    cdef Py_ssize_t size
    cdef list texts
    if known is not None and PyList_GET_SIZE(known.texts) == n:
        size = PyBytes_GET_SIZE(known.packed)
        if (
            size <= left - r.outstanding and r.values_allowed > n and r.depth < DEEPEST
            and memcmp(PyBytes_AS_STRING(known.packed), p, size) == 0
        ):
            r.values_allowed -= 1 + n
            r.at += size
            count_values(&r.values_left, n)
            return PyList_GetSlice(known.texts, 0, n)
    texts = read_values(r, start, n)
    learn_texts(slot, texts, p, r.at - p)
    return texts


cdef int learn_texts(Py_ssize_t slot, list texts, const uint8_t* p, Py_ssize_t size) except -1:
    """Keep the list if the one before in its slot was alike, so that few are kept in vain."""
    cdef TextList known
    cdef Py_ssize_t trace = text_slot(p, size, BITS_OF_TRACE)
    if trace != LIST_TRACES[slot] or size > LONGEST_LIST:
        LIST_TRACES[slot] = trace
        return 0
    for text in texts:
        if type(text) is not str:
            return 0
    known = TextList.__new__(TextList)
    known.packed = PyBytes_FromStringAndSize(<const char*>p, size)
    known.texts = texts[:]
    LISTS[slot] = known
    return 0


cdef object read_map(Reader* r, const uint8_t* start, Py_ssize_t n):
    if 0 < n <= 3 and r.at < r.end and MAY_MARK[r.at[0]] and marker_at(r.at, r.end):
        return read_marked_map(r, start, n)
    return read_items(r, start, n)


cdef object read_marked_map(Reader* r, const uint8_t* start, Py_ssize_t n):
    """Read a map whose first key is one of a wrapper. Returns the wrapped value, or the map if it is no wrapper."""
    array = read_wrapper(r, start, n)
    if array is not None:
        return array
    cdef dict items = read_items(r, start, n)
    if NDARRAY_KEY in items and NDARRAY_KEYS.issuperset(items):
        refuse_invalid_wrapper(r, start, items)
    if n == 1:
        if DATETIME_KEY in items:
            return read_datetime(r, start, items[DATETIME_KEY])
        if UUID_KEY in items:
            return read_uuid(r, start, items[UUID_KEY])
    return items


cdef dict read_items(Reader* r, const uint8_t* start, Py_ssize_t n):
    cdef Py_ssize_t slot
    enter(r, start, 2 * n)
    cdef int level = r.depth
    cdef dict items = {}
    if n >= FEWEST_KEYS:
        slot = shape_slot(r, n)
        if slot >= 0:
            items = read_shaped(r, n, level, slot)
        else:
            read_entries(r, items, n, level)
    else:
        read_entries(r, items, n, level)
    r.depth = level - 1
    if len(items) != n:
        refuse(r, start, "a map names the same key twice")
    return items


cdef inline int read_entries(Reader* r, dict items, Py_ssize_t n, int level) except -1:
    cdef Py_ssize_t _
    for _ in range(n):
        r.depth = level - 1                # an error in the key has the path of the map
        r.outstanding -= 1
        key = read_key(r)
        r.depth = level
        r.key[level] = <PyObject*>key
        r.outstanding -= 1
        items[key] = read_value(r)
        count_values(&r.values_left, 1)
    return 0


# --- shapes: the keys of maps that came before ---

@cython.final
cdef class Shape:
    """The keys of a map. A copy of a dict that has them is made in less time than a dict that grows.

    The copy also has the short texts among the values, such as units and names, which seldom change.
    """

    cdef tuple keys              # short ASCII texts
    cdef tuple texts             # for each key, its value if that was a short ASCII text, or None
    cdef dict items              # these keys and texts in this order; it is only copied


cdef enum:
    BITS_OF_SHAPES = 6           # 2**6 shapes are kept
    FEWEST_KEYS = 4              # a smaller dict does not grow
    MOST_KEYS = 64

cdef list SHAPES = [None] * (1 << BITS_OF_SHAPES)
cdef uintptr_t TRACES[1 << BITS_OF_SHAPES]    # hashes of the keys of the last map of each slot that had another shape


cdef inline Py_ssize_t shape_slot(Reader* r, Py_ssize_t n) noexcept:
    """Return the slot for a map of n entries at r.at, by its first key; -1 if its shape is not kept."""
    if not FEWEST_KEYS <= n <= MOST_KEYS or r.at == r.end or not FIXSTR < r.at[0] < NIL:
        return -1
    cdef Py_ssize_t size = r.at[0] & 0x1F
    if size >= r.end - r.at:
        return -1
    return text_slot(r.at + 1, size, BITS_OF_SHAPES) ^ (n & ((1 << BITS_OF_SHAPES) - 1))


@cython.boundscheck(False)
@cython.wraparound(False)
cdef dict read_shaped(Reader* r, Py_ssize_t n, int level, Py_ssize_t slot):
    """Read the entries of a map, by the shape in its slot as far as that fits."""
    cdef Shape shape = <Shape>SHAPES[slot]
    cdef Py_ssize_t done
    cdef dict items
    if shape is None or PyTuple_GET_SIZE(shape.keys) != n:
        items = {}
        read_entries(r, items, n, level)
        if len(items) == n:
            learn_shape(slot, items)
        return items
    items = shape.items.copy()
    done = read_known(r, shape, items, level)
    if done < n:
        items = {key: items[key] for key in shape.keys[:done]}
        read_entries(r, items, n - done, level)
        if len(items) == n:
            learn_shape(slot, items)
    return items


cdef Py_ssize_t read_known(Reader* r, Shape shape, dict items, int level) except -1:
    """Read the entries of a map while their keys are those of the shape, of whose items there is a copy to change.

    Returns how many are.
    """
    cdef Py_ssize_t i
    cdef Py_ssize_t n = PyTuple_GET_SIZE(shape.keys)
    # Borrowed: the shape has them, and the caller has the shape.
    cdef PyObject* keys = <PyObject*>shape.keys
    cdef PyObject* texts = <PyObject*>shape.texts
    cdef PyObject* key
    cdef PyObject* text
    cdef const uint8_t* p
    for i in range(n):
        p = r.at
        key = tuple_item(keys, i)
        if not is_key(key, p, r.end):
            return i
        if r.values_allowed < 1:
            r.depth = level - 1            # an error in the key has the path of the map
            allow(r, p, 1)
        r.values_allowed -= 1
        r.outstanding -= 2
        p += 1 + (p[0] & 0x1F)
        if r.end - p >= 9 and p[0] == F64:    # most values of maps
            r.at = p + 9
            PyDict_SetItem(items, <object>key, as_double(load64(p + 1)))
        else:
            r.at = p
            r.depth = level
            r.key[level] = key
            text = tuple_item(texts, i)
            if text != <PyObject*>None and is_key(text, p, r.end):
                allow(r, p, 1)
                r.at += 1 + (p[0] & 0x1F)
            else:
                PyDict_SetItem(items, <object>key, read_value(r))
        count_values(&r.values_left, 1)
    return n


cdef int learn_shape(Py_ssize_t slot, dict items) except -1:
    """Keep the shape of a map if the map before in its slot had the same keys, so that few are kept in vain."""
    cdef Shape shape
    cdef uintptr_t trace = 0
    for key in items:
        trace = 31 * trace + <uintptr_t>hash(key)
    if trace != TRACES[slot]:
        TRACES[slot] = trace
        return 0
    for key in items:
        if not is_short_ascii(key):
            return 0
    shape = Shape.__new__(Shape)
    shape.keys = tuple(items)
    shape.texts = tuple([value if is_short_ascii(value) else None for value in items.values()])
    shape.items = dict(zip(shape.keys, shape.texts))
    SHAPES[slot] = shape
    return 0


cdef bint is_short_ascii(object value) noexcept:
    return type(value) is str and 0 < PyUnicode_GET_LENGTH(value) < 32 and PyUnicode_IS_ASCII(value)


cdef object read_key(Reader* r):
    need(r, 1)
    cdef const uint8_t* start = r.at
    cdef uint8_t tag = start[0]
    if FIXSTR <= tag < NIL:
        r.at += 1
        return read_short_text(r, start, tag & 0x1F, KEYS)
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
