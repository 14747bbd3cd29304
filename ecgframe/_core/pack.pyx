"""From Python objects to a MessagePack payload, written straight behind the room that a header will take.

The specification's eleven types and nothing else ("MessagePack Integration"). One buffer, which becomes the frame.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.stdint cimport int64_t, uint8_t, uint64_t

from ._header cimport FlatBuffer, flatten, header_size
from .checksum cimport Sum
from .frame cimport PendingFrame, seal
from .gil_yield cimport count_values
from .msgpack_numbers cimport WIDEST, signed_size, write_double, write_signed
from .msgpack_tags cimport ARRAY16, FALSE, FIXARRAY, FIXMAP, MAP16, NIL, STR32, TRUE
from .pack_arrays cimport pack_ndarray
from .writer cimport (
    TAIL, Writer, begin, bin_header, container_header, finish, foresee, grow, check_depth, pack_byte, pack_raw,
    pack_text, pack_unsigned, pack_utf8, reserve, sized_header, where,
)

from datetime import datetime
from uuid import UUID

import numpy as np

from .with_entry import WithEntry
from ..protocol import DATETIME_KEY, DTYPE_KINDS, MAX_SAMPLE_SIZE, UUID_KEY

__all__ = ["pack", "pack_frame", "pack_frame_into"]

cdef extern from "Python.h":
    PyObject* PyList_GET_ITEM(object items, Py_ssize_t i)
    Py_ssize_t PyList_GET_SIZE(object items)
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
    LETTERS_AT_ONCE = 65536      # more than this many have a length of 32 bits, whatever they are

cdef type ndarray = np.ndarray
cdef type generic = np.generic
cdef type datetime_type = datetime
cdef type uuid_type = UUID
cdef type with_entry = WithEntry

cdef frozenset NUMBERS = frozenset([np.dtype(code).type for code in "? b h i l q B H I L Q e f d".split()])
cdef bytes DATETIME = DATETIME_KEY.encode()
cdef bytes UUID_TEXT = UUID_KEY.encode()


cpdef bytes pack(obj, Py_ssize_t max_payload, bint binary):
    """The payload alone, as bytes."""
    cdef Writer w
    begin(&w, 0, max_payload, binary, NULL)
    try:
        pack_value(&w, obj)
        return finish(&w)
    finally:
        Py_XDECREF(w.frame)


cpdef object pack_frame(
    int version, int type, int flags, uint64_t timestamp, obj, Py_ssize_t max_payload, bint binary, Py_ssize_t longest
):
    """A whole frame; or, where its payload has more than ``longest`` bytes, the pending one, which may yet change."""
    cdef Writer w
    cdef Sum sum = Sum(0, 0)
    cdef Py_ssize_t room = header_size(version)
    begin(&w, room, max_payload, binary, &sum)
    try:
        pack_value(&w, obj)
        if w.size - room <= longest:
            seal(w.base, w.size - room, &sum, version, type, flags, timestamp)
            return finish(&w)
        frame = finish(&w)
    finally:
        Py_XDECREF(w.frame)
    return PendingFrame.around(frame, <uint8_t*>PyBytes_AS_STRING(frame), room, PyBytes_GET_SIZE(frame) - room, sum)


cpdef object pack_frame_into(
    FlatBuffer target, Py_ssize_t offset, int version, int type, int flags, uint64_t timestamp, obj,
    Py_ssize_t max_payload, bint binary, Py_ssize_t longest,
):
    """The same within a writable buffer, from offset on: how many bytes the frame has, or the pending frame.

    Raises:
        BufferError: the buffer ends before the frame does.
    """
    cdef Writer w
    cdef Sum sum = Sum(0, 0)
    cdef Py_ssize_t room = header_size(version)
    if not 0 <= offset <= target.nbytes - room:
        raise BufferError(f"no room for a header at byte {offset} of a buffer of {target.nbytes}")
    begin(&w, room, max_payload, binary, &sum)
    w.fixed = True
    w.base = <uint8_t*>target.start + offset
    w.capacity = min(target.nbytes - offset, w.limit)
    pack_value(&w, obj)
    if w.size - room > longest:
        return PendingFrame.around(target, w.base, room, w.size - room, sum)
    seal(w.base, w.size - room, &sum, version, type, flags, timestamp)
    return w.size


# --- values ---

cdef int pack_value(Writer* w, value) except -1:
    kind = type(value)
    if kind is float:
        return pack_float(w, value)
    if kind is str:
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
        return pack_ndarray(w, value)
    if kind is bytes:
        return pack_bin(w, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    return pack_rarer(w, value)


cdef int pack_rarer(Writer* w, value) except -1:
    """The types met less often, and the subclasses of those met often."""
    if isinstance(value, datetime_type):
        return pack_wrapped(w, DATETIME, value.isoformat())
    if isinstance(value, uuid_type):
        return pack_wrapped(w, UUID_TEXT, str(value))
    if is_number(value):
        return pack_value(w, value.item())
    if isinstance(value, str):
        return pack_str(w, value)
    if isinstance(value, int):
        return pack_int(w, value)
    if isinstance(value, float):
        return pack_float(w, value)
    if isinstance(value, dict):
        return pack_map(w, dict(value))
    if isinstance(value, list):
        return pack_list(w, list(value))
    if isinstance(value, tuple):
        return pack_tuple(w, tuple(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return pack_buffer(w, value)
    if isinstance(value, ndarray):
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError(f"{where(w)}: a masked array would lose its mask; fill it first, with filled()")
        return pack_ndarray(w, np.asarray(value))
    if type(value) is with_entry:
        entries = value.entries
        return pack_map_with(w, entries if type(entries) is dict else dict(entries), value.key, value.value)
    raise TypeError(f"{where(w)}: cannot pack {type(value).__module__}.{type(value).__qualname__}{hint_for(value)}")


cdef bint is_number(value):
    """Whether a NumPy scalar travels as the Python value it holds; a timedelta64, an integer to NumPy, does not."""
    if type(value) in NUMBERS:             # nearly all of them: to ask a dtype takes ten times as long
        return True
    return isinstance(value, generic) and value.dtype.kind in DTYPE_KINDS and value.dtype.itemsize <= MAX_SAMPLE_SIZE


cdef hint_for(value):
    if isinstance(value, (set, frozenset)):
        return "; make it a list"
    if isinstance(value, generic):
        return f" of dtype {value.dtype}; bool, integers and floats of at most 8 bytes travel"
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
    # Printing an int of millions of digits takes minutes, and Python refuses it by default.
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
    """Part by part, since the whole of it would keep the GIL for long."""
    cdef Py_ssize_t n = PyUnicode_GET_LENGTH(value)
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t part_size = 0
    cdef Py_ssize_t i
    cdef const char* text
    if n > w.limit - w.size:
        grow(w, n)                         # a byte a letter is more than there is: too large, said at once
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
    """Apart from ``pack_str``, since whoever is ready to catch an error pays for it each time."""
    try:
        str.encode(value)
    except UnicodeEncodeError as error:
        raise ValueError(f"{where(w)}: the text has no UTF-8 form ({error})") from error
    raise MemoryError


cdef int pack_bin(Writer* w, const char* source, Py_ssize_t size) except -1:
    bin_header(w, size)
    return pack_raw(w, source, size)


cdef int pack_buffer(Writer* w, value) except -1:
    cdef FlatBuffer flat
    try:
        flat = flatten(value)
    except BufferError:
        raise TypeError(f"{where(w)}: only C-contiguous memory packs as bytes") from None
    return pack_bin(w, <const char*>flat.start, flat.nbytes)


cdef int pack_wrapped(Writer* w, bytes key, text) except -1:
    if type(text) is not str:              # a subclass may have its own idea of isoformat
        raise TypeError(f"{where(w)}: {key.decode()} wraps text, not {type(text).__qualname__}")
    check_depth(w, 1)
    container_header(w, 1, FIXMAP, MAP16)
    pack_text(w, key)
    return pack_str(w, text)


# --- containers ---

cdef int enter(Writer* w, Py_ssize_t n, uint8_t fixed, uint8_t wide) except -1:
    """Into an array (FIXARRAY, ARRAY16) or a map (FIXMAP, MAP16) of n entries, its header written in its own name."""
    check_depth(w, 1)
    container_header(w, n, fixed, wide)
    w.depth += 1
    w.key[w.depth] = NULL
    w.index[w.depth] = 0
    return 0


cdef int pack_map(Writer* w, dict value) except -1:
    enter(w, len(value), FIXMAP, MAP16)
    pack_entries(w, value)
    w.depth -= 1
    return 0


cdef int pack_map_with(Writer* w, dict value, str key, item) except -1:
    """The map with one entry more."""
    enter(w, len(value) + 1, FIXMAP, MAP16)
    pack_entries(w, value)
    w.key[w.depth] = <PyObject*>key
    pack_str(w, key)
    pack_value(w, item)
    w.depth -= 1
    return 0


cdef inline int pack_entries(Writer* w, dict value) except -1:
    cdef Py_ssize_t left = len(value)
    cdef int level = w.depth
    for key, item in value.items():
        left -= 1
        if type(key) is str:
            w.key[level] = <PyObject*>key
            pack_str(w, key)
        else:
            pack_rarer_key(w, level, key)
        pack_value(w, item)
        count_values(&w.values_left, 1)
    if left:                               # entries gone and others come, which the iteration does not notice
        w.depth = level - 1
        raise RuntimeError(f"{where(w)}: the map changed while it was packed")
    return 0


cdef int pack_rarer_key(Writer* w, int level, key) except -1:
    if isinstance(key, str):
        w.key[level] = <PyObject*>key
        return pack_str(w, key)
    if isinstance(key, int) and not isinstance(key, bool) or is_number(key) and key.dtype.kind in "iu":
        w.key[level] = <PyObject*>key
        return pack_int(w, int(key))
    w.depth = level - 1
    raise TypeError(f"{where(w)}: map keys are str or int, not {type(key).__qualname__}")


cdef int pack_list(Writer* w, list value) except -1:
    cdef Py_ssize_t n = len(value)
    cdef Py_ssize_t i
    cdef Py_ssize_t first
    enter(w, n, FIXARRAY, ARRAY16)
    cdef int level = w.depth
    if n and type(value[0]) is float:
        foresee(w, 9 * n + TAIL)
    i = 0
    # An element may run Python code when packed (a subclass's isoformat, say) and change the list; so may another
    # thread when this one rests.
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
    """The floats and ints that stand at i and behind it, as many as there is room for, but not for long; the index
    behind them."""
    cdef uint8_t* out = w.base + w.size
    cdef PyObject* item
    cdef int64_t number
    cdef int overflow = 0
    cdef Py_ssize_t end
    with cython.critical_section(value):   # borrowed references: nobody may touch the list meanwhile
        end = min(PyList_GET_SIZE(value), i + min((w.capacity - w.size) // WIDEST, NUMBERS_AT_ONCE))
        while i < end:
            item = PyList_GET_ITEM(value, i)
            if PyFloat_CheckExact(<object>item):
                out = write_double(out, PyFloat_AS_DOUBLE(<object>item))
            elif PyLong_CheckExact(<object>item):
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
