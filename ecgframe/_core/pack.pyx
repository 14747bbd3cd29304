"""Packs Python objects to a MessagePack payload, in one buffer that becomes the frame: the header is reserved first.

Only the eleven types of the specification ("MessagePack Integration") can be packed, and objects that are converted to
them: tensors by DLPack, others by the ``default`` of a codec.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from cpython.type cimport PyType_IsSubtype
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ._header cimport FlatBuffer, flatten, header_size
from .checksum cimport Sum
from .frame cimport PendingFrame, finish_frame
from .gil_yield cimport count_values
from .msgpack_numbers cimport WIDEST, signed_size, write_double, write_signed
from .msgpack_tags cimport ARRAY16, FALSE, FIXARRAY, FIXMAP, FIXSTR, MAP16, NIL, STR32, TRUE
from .pack_arrays cimport pack_ndarray
from .unpack cimport unpack as read_payload
from .unpack_arrays cimport marker_at
from .writer cimport (
    TAIL, Writer, begin, bin_header, container_header, finish, foresee, grow, check_depth, pack_byte, pack_raw,
    pack_text, pack_unsigned, pack_utf8, reserve, sized_header, where,
)

from datetime import datetime
from uuid import UUID

import numpy as np

from .readable import (
    datetime_text, device_of, from_dlpack, has_dlpack, is_masked_array, is_sample_dtype, kind_name, may_be_wrapper,
    on_device, scalar_dtype, true_int, true_item, true_str, unreadable, uuid_text, with_path,
)
from .with_entry import WithEntry
from ..errors import MessageTooLarge, ProtocolError
from ..protocol import BINARY_VALUES, DATETIME_KEY, MAX_VALUES, NDARRAY_VALUES, UUID_KEY

__all__ = ["pack", "pack_frame", "pack_frame_into"]

cdef extern from "Python.h":
    PyObject* PyList_GET_ITEM(object items, Py_ssize_t i)
    Py_ssize_t PyList_GET_SIZE(object items)
    Py_ssize_t PyDict_GET_SIZE(object entries)
    bint PyFloat_CheckExact(object value)
    bint PyLong_CheckExact(object value)
    double PyFloat_AS_DOUBLE(object value)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    void* PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size)
    object PyUnicode_Substring(object text, Py_ssize_t start, Py_ssize_t end)
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1
    unsigned long long PyLong_AsUnsignedLongLong(object number) except? 0xFFFFFFFFFFFFFFFF

cdef enum:
    NUMBERS_AT_ONCE = 16384
    LETTERS_AT_ONCE = 65536      # characters; a longer text always has a length of 32 bits
    MOST_WRAPPED = 3             # largest number of entries of a wrapper

cdef Py_ssize_t MOST_VALUES = MAX_VALUES
cdef Py_ssize_t VALUES_OF_BINARY = BINARY_VALUES
cdef Py_ssize_t VALUES_OF_NDARRAY = NDARRAY_VALUES

cdef object ISOFORMAT = datetime.isoformat
cdef type ndarray = np.ndarray
cdef type generic = np.generic
cdef type datetime_type = datetime
cdef type uuid_type = UUID
cdef type memoryview_type = memoryview
cdef type with_entry = WithEntry

cdef frozenset NUMBERS = frozenset([np.dtype(code).type for code in "? b h i l q B H I L Q e f d".split()])
cdef bytes DATETIME = DATETIME_KEY.encode()
cdef bytes UUID_TEXT = UUID_KEY.encode()


cpdef bytes pack(obj, Py_ssize_t max_payload, bint binary, convert=None):
    """Return the packed payload as bytes. ``convert`` is the ``default`` of a codec, or None."""
    cdef Writer w
    begin(&w, 0, max_payload, binary, NULL, <PyObject*>convert)
    try:
        pack_value(&w, obj)
        return finish(&w)
    finally:
        Py_XDECREF(w.frame)


cpdef object pack_frame(
    int version, int type, int flags, uint64_t timestamp, obj, Py_ssize_t max_payload, bint binary, Py_ssize_t longest,
    int form=0, uint32_t stream_id=0, uint64_t sequence=0, convert=None,
):
    """Return a frame; or a pending frame if its payload has more than ``longest`` bytes and may still be compressed."""
    cdef Writer w
    cdef Sum sum = Sum(0, 0)
    cdef Py_ssize_t room = header_size(version)
    begin(&w, room, max_payload, binary, &sum, <PyObject*>convert)
    try:
        pack_value(&w, obj)
        if w.size - room <= longest:
            finish_frame(w.base, w.size - room, &sum, version, type, flags, timestamp, form, stream_id, sequence)
            return finish(&w)
        frame = finish(&w)
    finally:
        Py_XDECREF(w.frame)
    return PendingFrame.around(frame, <uint8_t*>PyBytes_AS_STRING(frame), room, PyBytes_GET_SIZE(frame) - room, sum)


cpdef object pack_frame_into(
    FlatBuffer target, Py_ssize_t offset, int version, int type, int flags, uint64_t timestamp, obj,
    Py_ssize_t max_payload, bint binary, Py_ssize_t longest, int form=0, uint32_t stream_id=0, uint64_t sequence=0,
    convert=None,
):
    """Write a frame into a writable buffer at ``offset``. Returns the size of the frame, or the pending frame.

    Raises:
        BufferError: the buffer is too small for the frame.
    """
    cdef Writer w
    cdef Sum sum = Sum(0, 0)
    cdef Py_ssize_t room = header_size(version)
    if not 0 <= offset <= target.nbytes - room:
        raise BufferError(f"no room for a header at byte {offset} of a buffer of {target.nbytes}")
    begin(&w, room, max_payload, binary, &sum, <PyObject*>convert)
    w.fixed = True
    w.base = <uint8_t*>target.start + offset
    w.capacity = min(target.nbytes - offset, w.limit)
    pack_value(&w, obj)
    if w.size - room > longest:
        return PendingFrame.around(target, w.base, room, w.size - room, sum)
    finish_frame(w.base, w.size - room, &sum, version, type, flags, timestamp, form, stream_id, sequence)
    return w.size


# --- values ---

cdef int pack_value(Writer* w, value) except -1:
    kind = type(value)
    if kind is float:
        return pack_float(w, value)
    if kind is str:
        count_towards_limit(w, 1)
        return pack_str(w, value)
    if kind is int:
        return pack_int(w, value)
    if value is None:
        return pack_byte(w, NIL)
    if kind is bool:
        return pack_byte(w, TRUE if value else FALSE)
    if kind is dict:
        return pack_map(w, value)
    if kind is list:
        return pack_list(w, value)
    if kind is tuple:
        return pack_tuple(w, value)
    if kind is ndarray:
        count_towards_limit(w, VALUES_OF_NDARRAY)
        return pack_ndarray(w, value)
    if kind is bytes:
        return pack_bin(w, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    return pack_rarer(w, value)


cdef int pack_rarer(Writer* w, value) except -1:
    """Pack values of less frequent types, and of subclasses.

    The type in C decides, as ``__class__`` and methods of a subclass may return anything. Numbers, text and bytes are
    packed with the value that they contain; dicts, lists and tuples with the items that they yield.
    """
    if PyType_IsSubtype(type(value), datetime_type):
        return pack_datetime(w, value)
    if PyType_IsSubtype(type(value), uuid_type):
        return pack_wrapped(w, UUID_TEXT, asked(w, uuid_text, value))
    if is_number(value):
        return pack_value(w, true_item(value))
    if isinstance(value, str):
        count_towards_limit(w, 1)
        return pack_str(w, value)
    if isinstance(value, int):
        return pack_int(w, true_int(value))
    if isinstance(value, float):
        return pack_float(w, value)
    if isinstance(value, dict):
        return pack_map(w, asked(w, dict, value))
    if isinstance(value, (list, tuple)):
        return pack_list(w, asked(w, items_of, value))
    if isinstance(value, bytes):
        return pack_bin(w, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    if isinstance(value, bytearray) or PyType_IsSubtype(type(value), memoryview_type):
        return pack_buffer(w, value)
    if PyType_IsSubtype(type(value), ndarray):
        if is_masked_array(value):
            raise TypeError(f"{where(w)}: a masked array would lose its mask; fill it first, with filled()")
        count_towards_limit(w, VALUES_OF_NDARRAY)
        return pack_ndarray(w, np.asarray(value))
    if type(value) is with_entry:
        entries = value.entries
        return pack_map_with(w, entries if type(entries) is dict else dict(entries), value.key, value.value)
    return pack_other(w, value)


cdef int pack_other(Writer* w, value) except -1:
    """Pack an object of a type that the protocol does not have: a tensor, or what the codec's ``default`` returns."""
    cdef bint is_tensor = asked(w, has_dlpack, value)
    if is_tensor:
        device = asked(w, device_of, value)
        if device is None:
            array = asked(w, from_dlpack, value)
            count_towards_limit(w, VALUES_OF_NDARRAY)
            return pack_ndarray(w, array)
    if w.converted == w.size:
        raise TypeError(f"{where(w)}: cannot pack {kind_name(type(value))}{hint_for(value)}, which default returned")
    if <object>w.convert is None:
        if is_tensor:
            raise TypeError(f"{where(w)}: {on_device(value, device)}")
        raise TypeError(f"{where(w)}: cannot pack {kind_name(type(value))}{hint_for(value)}")
    result = asked(w, <object>w.convert, value)
    w.converted = w.size                   # only what is packed next begins here
    return pack_value(w, result)


cdef asked(Writer* w, question, value):
    """Call a method of an object of any class. Errors that it raises get the path of the object."""
    try:
        return question(value)
    except Exception as error:
        placed = with_path(where(w), error)
        if placed is error:
            raise
        raise placed from error


def items_of(value):
    # Not list(value), which first allocates memory for the length that the object claims.
    return [item for item in value]


cdef bint is_number(value):
    """Return True if a NumPy scalar is packed as a number. A timedelta64, an integer for NumPy, is not."""
    if not PyType_IsSubtype(type(value), generic):
        return False
    if type(value) in NUMBERS:             # nearly all numbers; reading the dtype takes ten times as long
        return True
    return is_sample_dtype(scalar_dtype(value))


cdef hint_for(value):
    if isinstance(value, (set, frozenset)):
        return "; make it a list"
    if PyType_IsSubtype(type(value), generic):
        return f" of dtype {scalar_dtype(value)}; bool, integers and floats of at most 8 bytes travel"
    return ""


cdef inline int pack_float(Writer* w, double value) except -1:
    write_double(reserve(w, 9), value)
    w.size += 9
    return 0


cdef int pack_int(Writer* w, value) except -1:
    cdef int overflow = 0
    cdef int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow:
        return pack_unsigned(w, large_unsigned(w, value, overflow))
    if w.capacity - w.size < WIDEST:
        reserve(w, signed_size(number))
    w.size = write_signed(w.base + w.size, number) - w.base
    return 0


cdef uint64_t large_unsigned(Writer* w, value, int overflow) except? 0xFFFFFFFFFFFFFFFF:
    if overflow > 0 and value < 1 << 64:
        return PyLong_AsUnsignedLongLong(value)
    raise OverflowError(f"{where(w)}: {abbreviated(value)} does not fit in 64 bits")


cdef abbreviated(value):
    # Converting an int with millions of digits to text takes minutes, and Python refuses it by default.
    return f"an int of {value.bit_length()} bits"


cdef int pack_str(Writer* w, value) except -1:
    cdef Py_ssize_t size = 0
    cdef const char* text
    if PyUnicode_IS_COMPACT_ASCII(value):
        text = <const char*>PyUnicode_1BYTE_DATA(value)
        size = PyUnicode_GET_LENGTH(value)
    elif PyUnicode_GET_LENGTH(value) > LETTERS_AT_ONCE:
        return pack_long_text(w, value)
    else:
        text = PyUnicode_AsUTF8AndSize(value, &size)
        if text == NULL:
            PyErr_Clear()
            refuse_text(w, value)
    return pack_utf8(w, text, size)


cdef int pack_long_text(Writer* w, value) except -1:
    """Process the text in parts, so that the GIL is not held for long."""
    cdef Py_ssize_t n = PyUnicode_GET_LENGTH(value)
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t part_size = 0
    cdef Py_ssize_t i
    cdef const char* text
    if n > w.limit - w.size:
        grow(w, n)                         # one byte for each character exceeds the limit: refuse at once
    for i in range(0, n, LETTERS_AT_ONCE):
        if PyUnicode_AsUTF8AndSize(PyUnicode_Substring(value, i, i + LETTERS_AT_ONCE), &part_size) == NULL:
            PyErr_Clear()
            refuse_text(w, value)
        size += part_size
        count_values(&w.values_left, LETTERS_AT_ONCE)
    sized_header(w, size, STR32, 4)
    foresee(w, size)
    reserve(w, size)
    for i in range(0, n, LETTERS_AT_ONCE):
        part = PyUnicode_Substring(value, i, i + LETTERS_AT_ONCE)
        text = PyUnicode_AsUTF8AndSize(part, &part_size)
        if text == NULL:
            raise MemoryError
        pack_raw(w, text, part_size)
        count_values(&w.values_left, LETTERS_AT_ONCE)
    return 0


cdef int refuse_text(Writer* w, value) except -1:
    """Raise the error of ``pack_str``. Separate, because a ``try`` would cost time in each call."""
    try:
        str.encode(value)
    except UnicodeEncodeError as error:
        raise ValueError(f"{where(w)}: the text has no UTF-8 form ({error})") from error
    raise MemoryError


cdef int pack_bin(Writer* w, const char* source, Py_ssize_t size) except -1:
    count_towards_limit(w, VALUES_OF_BINARY)
    bin_header(w, size)
    return pack_raw(w, source, size)


cdef int pack_buffer(Writer* w, value) except -1:
    cdef FlatBuffer flat
    try:
        flat = flatten(value)
    except (BufferError, TypeError, ValueError):
        raise TypeError(f"{where(w)}: only C-contiguous memory packs as bytes") from None
    return pack_bin(w, <const char*>flat.start, flat.nbytes)


cdef int pack_datetime(Writer* w, value) except -1:
    cdef Py_ssize_t start = w.size
    cdef str text = asked(w, ISOFORMAT if type(value) is datetime_type else datetime_text, value)
    pack_wrapped(w, DATETIME, text)
    if not has_whole_minutes(text) and read_back(w, start).isoformat() != text:
        raise ValueError(f"{where(w)}: readers take the offset of {text} for another one")
    return 0


cdef inline bint has_whole_minutes(str text):
    """Same as in readable.py."""
    return PyUnicode_GET_LENGTH(text) in (19, 25, 26, 32)


cdef int pack_wrapped(Writer* w, bytes key, str text) except -1:
    check_depth(w, 1)
    count_towards_limit(w, 3)              # the map, its key and the text
    container_header(w, 1, FIXMAP, MAP16)
    pack_text(w, key)
    return pack_str(w, text)


cdef read_back(Writer* w, Py_ssize_t start):
    """Return what a receiver decodes from the map that was packed at ``start``.

    Raises:
        TypeError: a receiver would reject it.
    """
    cdef FlatBuffer flat = flatten(PyBytes_FromStringAndSize(<char*>w.base + start, w.size - start))
    try:
        return read_payload(flat, 0, flat.nbytes, False, False)
    except ProtocolError as error:
        raise unreadable(where(w), error) from error


# --- containers ---

cdef int enter(Writer* w, Py_ssize_t n, uint8_t fixed, uint8_t wide) except -1:
    """Write the header of an array (FIXARRAY, ARRAY16) or map (FIXMAP, MAP16) of n entries. Go one level deeper."""
    check_depth(w, 1)
    count_towards_limit(w, 1)
    container_header(w, n, fixed, wide)
    w.depth += 1
    w.key[w.depth] = NULL
    w.index[w.depth] = 0
    return 0


cdef inline int count_towards_limit(Writer* w, Py_ssize_t values) except -1:
    """Count values as a receiver does, which accepts at most ``MAX_VALUES``."""
    w.counted += values
    return refuse_values(w) if w.counted > MOST_VALUES else 0


cdef int refuse_values(Writer* w) except -1:
    path = where(w)
    raise MessageTooLarge(f"{path}: more than {MOST_VALUES} values in one payload", path=path)


cdef int pack_map(Writer* w, dict value) except -1:
    cdef Py_ssize_t n = len(value)
    cdef Py_ssize_t start = w.size
    cdef Py_ssize_t counted = w.counted
    enter(w, n, FIXMAP, MAP16)
    pack_entries(w, value)
    w.depth -= 1
    # The first key decides. Its header excludes most keys: those of wrappers have 5, 8, 11 or 12 letters.
    if 0 < n <= MOST_WRAPPED and w.base[start + 1] in (FIXSTR | 5, FIXSTR | 8, FIXSTR | 11, FIXSTR | 12):
        check_wrapper(w, value, start, counted)
    return 0


cdef int check_wrapper(Writer* w, dict value, Py_ssize_t start, Py_ssize_t counted) except -1:
    """Check a map that receivers may take for a wrapper. ``counted`` is the number of values before it."""
    if marker_at(w.base + start + 1, w.base + w.size) and may_be_wrapper(value):
        if PyType_IsSubtype(type(read_back(w, start)), ndarray):
            w.counted = counted + VALUES_OF_NDARRAY    # not the values in its lists
    return 0


cdef int pack_map_with(Writer* w, dict value, str key, item) except -1:
    """Pack a map with one additional entry."""
    enter(w, len(value) + 1, FIXMAP, MAP16)
    pack_entries(w, value)
    count_towards_limit(w, 1)
    w.key[w.depth] = <PyObject*>key
    pack_str(w, key)
    pack_value(w, item)
    w.depth -= 1
    return 0


cdef inline int pack_entries(Writer* w, dict value) except -1:
    cdef Py_ssize_t left = len(value)
    cdef Py_ssize_t n = left
    cdef int level = w.depth
    cdef bint any_odd = False
    for key, item in value.items():
        left -= 1
        w.depth = level - 1                # the error for an additional key has the path of the map, as in receivers
        count_towards_limit(w, 1)
        w.depth = level
        if type(key) is str:
            w.key[level] = <PyObject*>key
            pack_str(w, key)
        elif type(key) is int:
            w.key[level] = <PyObject*>key
            pack_int(w, key)
        else:
            plain = pack_rarer_key(w, level, key)
            w.key[level] = <PyObject*>plain
            any_odd = True
        pack_value(w, item)
        count_values(&w.values_left, 1)
        if PyDict_GET_SIZE(value) != n:    # otherwise the iteration would raise an error without a path
            break
    if left or PyDict_GET_SIZE(value) != n:    # entries were replaced, which the iteration does not notice
        w.depth = level - 1
        raise RuntimeError(f"{where(w)}: the map changed while it was packed")
    if any_odd:
        refuse_repeated_keys(w, level, value)
    return 0


cdef object pack_rarer_key(Writer* w, int level, key):
    """Pack a key. Returns it as a str or an int, not of a subclass."""
    plain = plain_key(key)
    if plain is None:
        w.depth = level - 1
        raise TypeError(f"{where(w)}: map keys are str or int, not {kind_name(type(key))}")
    w.key[level] = <PyObject*>plain
    if type(plain) is str:
        pack_str(w, plain)
    else:
        pack_int(w, plain)
    return plain


cdef object plain_key(key):
    """Return the value of a key that is a str or an int; otherwise None."""
    if isinstance(key, str):
        return true_str(key)
    if isinstance(key, int) and not isinstance(key, bool):
        return true_int(key)
    return true_item(key) if is_number(key) and scalar_dtype(key).kind in "iu" else None


cdef int refuse_repeated_keys(Writer* w, int level, dict value) except -1:
    """Reject a map with keys that differ in Python, but are the same when packed."""
    if len({plain_key(key) for key in value}) < len(value):
        w.depth = level - 1
        raise ValueError(f"{where(w)}: two keys of the map are the same on the wire")
    return 0


cdef int pack_list(Writer* w, list value) except -1:
    cdef Py_ssize_t n = len(value)
    cdef Py_ssize_t i
    cdef Py_ssize_t first
    enter(w, n, FIXARRAY, ARRAY16)
    cdef int level = w.depth
    if n and type(value[0]) is float:
        foresee(w, 9 * n + TAIL)
    i = 0
    # Packing an element may run Python code, such as isoformat() of a subclass, which may change the list. So may
    # another thread while this one releases the GIL.
    while i < n and len(value) == n:
        first = i
        i = pack_numbers(w, value, i)
        if i < n:
            w.index[level] = i
            pack_value(w, value[i])
            i += 1
        count_values(&w.values_left, i - first + 1)
    if len(value) != n:
        raise RuntimeError(f"{where(w)}: the list changed size while it was packed")
    w.depth = level - 1
    return 0


cdef Py_ssize_t pack_numbers(Writer* w, list value, Py_ssize_t i) except -1:
    """Pack floats and ints from index i on, while there is memory for them and not for too long. Returns the index
    after them."""
    cdef uint8_t* out = w.base + w.size
    cdef PyObject* item
    cdef int64_t number
    cdef int overflow = 0
    cdef Py_ssize_t end
    with cython.critical_section(value):   # the references are borrowed: the list must not change meanwhile
        end = min(PyList_GET_SIZE(value), i + min((w.capacity - w.size) // WIDEST, NUMBERS_AT_ONCE))
        while i < end:
            item = PyList_GET_ITEM(value, i)
            while PyFloat_CheckExact(<object>item):    # a short loop that compilers keep apart from the rest
                out = write_double(out, PyFloat_AS_DOUBLE(<object>item))
                i += 1
                if i == end:
                    break
                item = PyList_GET_ITEM(value, i)
            if i == end:
                break
            if PyLong_CheckExact(<object>item):
                number = PyLong_AsLongLongAndOverflow(<object>item, &overflow)
                if overflow:
                    break
                out = write_signed(out, number)
            else:
                break
            i += 1
    w.size = out - w.base
    return i


cdef int pack_tuple(Writer* w, tuple value) except -1:
    cdef Py_ssize_t i
    enter(w, len(value), FIXARRAY, ARRAY16)
    cdef int level = w.depth
    for i in range(len(value)):
        w.index[level] = i
        pack_value(w, value[i])
        count_values(&w.values_left, 1)
    w.depth = level - 1
    return 0
