"""From Python objects to a MessagePack payload, written straight behind the room that a header will take.

The specification's eleven types and nothing else ("MessagePack Integration"). One buffer, which becomes the frame.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_STRIDED_RO, PyBUF_WRITE, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ._bigendian cimport BIG_ENDIAN_HOST, store16, store32
from ._checksum cimport Sum, sum_up
from ._draft cimport Draft, seal
from ._header cimport FlatBuffer, flatten, header_size
from ._numbers cimport WIDEST, signed_size, unsigned_size, write_double, write_signed, write_unsigned
from ._samples cimport NO_SAMPLE_TYPE, SAMPLE_TYPES, SampleType, is_integer, item_size, row_size, sample_type, write_row

import sys
from datetime import datetime
from uuid import UUID

import numpy as np

from ._path import path_text
from .errors import MessageTooLarge
from .protocol import (
    DATETIME_KEY,
    DTYPE_KEY,
    DTYPE_KINDS,
    MAX_DEPTH,
    MAX_DIMENSION,
    MAX_NDIM,
    MAX_SAMPLE_SIZE,
    NDARRAY_KEY,
    SHAPE_KEY,
    UUID_KEY,
)

__all__ = ["pack", "pack_frame", "pack_into"]

cdef extern from "Python.h":
    PyObject* PyList_GET_ITEM(object items, Py_ssize_t i)
    Py_ssize_t PyList_GET_SIZE(object items)
    bint PyFloat_CheckExact(object value)
    bint PyLong_CheckExact(object value)
    double PyFloat_AS_DOUBLE(object value)
    int _PyBytes_Resize(PyObject** bytes, Py_ssize_t size) except -1
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    void* PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size)
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1
    unsigned long long PyLong_AsUnsignedLongLong(object number) except? 0xFFFFFFFFFFFFFFFF

cdef enum:
    DEEPEST = 64
    MOST_DIMENSIONS = 32
    SCRATCH = 512
    TAIL = 256                   # what usually follows the samples of a message
    SAMPLES_WITHOUT_GIL = 8192
    BYTES_WITHOUT_GIL = 65536

cdef int64_t LARGEST_DIMENSION = MAX_DIMENSION

if (MAX_DEPTH, MAX_NDIM) != (DEEPEST, MOST_DIMENSIONS):
    raise ImportError("ecgframe._pack was compiled for other limits than ecgframe.protocol has")

cdef type ndarray = np.ndarray
cdef type generic = np.generic
cdef type datetime_type = datetime
cdef type uuid_type = UUID

# dtypes by SampleType, and their names, those of the other byte order behind them.
cdef list CODES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
cdef list DTYPES = [np.dtype(code) for code in CODES]
cdef str OTHER_ORDER = ">" if sys.byteorder == "little" else "<"
cdef list NAMES = [dtype.name.encode() for dtype in DTYPES] + [
    str(np.dtype(OTHER_ORDER + code)).encode() for code in CODES
]

cdef bytes DATETIME = DATETIME_KEY.encode()
cdef bytes UUID_TEXT = UUID_KEY.encode()
cdef bytes NDARRAY = NDARRAY_KEY.encode()
cdef bytes DTYPE = DTYPE_KEY.encode()
cdef bytes SHAPE = SHAPE_KEY.encode()


cdef struct Writer:
    uint8_t scratch[SCRATCH]     # where writing starts: most messages end before they need more
    PyObject* frame              # bytes, and this is their only reference; NULL while the scratch suffices
    uint8_t* base                # the scratch, or what the bytes hold, or the caller's buffer
    bint fixed                   # the caller's buffer: it cannot grow
    Py_ssize_t size
    Py_ssize_t capacity
    Py_ssize_t room              # left blank at the start for the header
    Py_ssize_t limit             # bytes that the frame may have
    Sum* sum                     # of what is written without the GIL, and all before it; NULL where nobody asks
    bint binary                  # ndarrays in the binary form
    int depth
    Py_ssize_t index[DEEPEST + 1]    # the way to the value being written, for errors:
    PyObject* key[DEEPEST + 1]       # a borrowed key, or NULL for an index


cpdef bytes pack(obj, Py_ssize_t max_payload, bint binary):
    """The payload alone, as bytes."""
    cdef Writer w
    begin(&w, 0, max_payload, binary, NULL)
    try:
        pack_value(&w, obj)
        return finished(&w)
    finally:
        Py_XDECREF(w.frame)


cpdef object pack_frame(
    int version, int type, int flags, uint64_t timestamp, obj, Py_ssize_t max_payload, bint binary, Py_ssize_t longest
):
    """A whole frame; or, where its payload has more than ``longest`` bytes, the draft of one, which may yet change."""
    cdef Writer w
    cdef Sum sum = Sum(0, 0)
    cdef Py_ssize_t room = header_size(version)
    begin(&w, room, max_payload, binary, &sum)
    try:
        pack_value(&w, obj)
        if w.size - room <= longest:
            seal(w.base, w.size - room, &sum, version, type, flags, timestamp)
            return finished(&w)
        frame = finished(&w)
    finally:
        Py_XDECREF(w.frame)
    return Draft.around(frame, <uint8_t*>PyBytes_AS_STRING(frame), room, PyBytes_GET_SIZE(frame) - room, sum)


cpdef Draft pack_into(
    FlatBuffer target, Py_ssize_t offset, Py_ssize_t room, obj, Py_ssize_t max_payload, bint binary
):
    """The same, its bytes within a writable buffer, from offset on.

    Raises:
        BufferError: the buffer ends before the frame does.
    """
    cdef Writer w
    cdef Sum sum = Sum(0, 0)
    if not 0 <= offset <= target.nbytes - room:
        raise BufferError(f"no room for a header at byte {offset} of a buffer of {target.nbytes}")
    begin(&w, room, max_payload, binary, &sum)
    w.fixed = True
    w.base = <uint8_t*>target.start + offset
    w.capacity = min(target.nbytes - offset, w.limit)
    pack_value(&w, obj)
    return Draft.around(target, w.base, room, w.size - room, sum)


cdef void begin(Writer* w, Py_ssize_t room, Py_ssize_t max_payload, bint binary, Sum* sum) noexcept:
    w.frame = NULL
    w.fixed = False
    w.base = w.scratch
    w.capacity = min(SCRATCH, room + max_payload)
    w.size = room
    w.room = room
    w.limit = room + max_payload
    w.sum = sum
    w.binary = binary
    w.depth = 0


cdef bytes finished(Writer* w):
    if w.frame == NULL:
        return PyBytes_FromStringAndSize(<const char*>w.scratch, w.size)
    _PyBytes_Resize(&w.frame, w.size)
    frame = <object>w.frame
    return <bytes>frame


# --- room ---

cdef inline uint8_t* reserve(Writer* w, Py_ssize_t n) except NULL:
    """Room for n more bytes, all of which will be written."""
    if n > w.capacity - w.size:
        grow(w, n)
    return w.base + w.size


cdef int grow(Writer* w, Py_ssize_t n) except -1:
    if n > w.limit - w.size:
        raise too_large(w)
    if w.fixed:
        raise BufferError(f"{where(w)}: the buffer ends {n - (w.capacity - w.size)} bytes before this does")
    return resize(w, max(w.size + n, min(2 * w.capacity, w.limit)))


cdef too_large(Writer* w):
    return MessageTooLarge(f"the payload passes the limit of {w.limit - w.room} bytes at {where(w)}", path=where(w))


cdef int foresee(Writer* w, Py_ssize_t n) except -1:
    """Room for n bytes that are likely to be written: one allocation where doubling would take several."""
    n = min(n, w.limit - w.size)
    return resize(w, w.size + n) if n > w.capacity - w.size and not w.fixed else 0


cdef int resize(Writer* w, Py_ssize_t capacity) except -1:
    if w.frame == NULL:
        frame = PyBytes_FromStringAndSize(NULL, capacity)
        Py_INCREF(frame)
        w.frame = <PyObject*>frame
        memcpy(PyBytes_AS_STRING(frame), w.scratch, w.size)
    else:
        _PyBytes_Resize(&w.frame, capacity)
    w.base = <uint8_t*>PyBytes_AS_STRING(<object>w.frame)
    w.capacity = capacity
    return 0


# --- the way to the value ---

cdef int enter(Writer* w, Py_ssize_t n, uint8_t fixed, uint8_t wide) except -1:
    """Into an array (0x90, 0xDC) or a map (0x80, 0xDE) of n entries, its header written in its own name."""
    leave_room_for(w, 1)
    container_header(w, n, fixed, wide)
    w.depth += 1
    w.key[w.depth] = NULL
    w.index[w.depth] = 0
    return 0


cdef int leave_room_for(Writer* w, int levels) except -1:
    if w.depth + levels > DEEPEST:
        raise ValueError(f"{where(w)}: more than {DEEPEST} arrays and maps inside one another")
    return 0


cdef where(Writer* w):
    cdef int level
    return path_text(
        [w.index[level] if w.key[level] == NULL else <object>w.key[level] for level in range(1, w.depth + 1)]
    )


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
        return pack_byte(w, 0xC0)
    if kind is bool:
        return pack_byte(w, 0xC3 if value else 0xC2)
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
    raise TypeError(f"{where(w)}: cannot pack {type(value).__module__}.{type(value).__qualname__}{hint_for(value)}")


cdef bint is_number(value):
    """Whether a NumPy scalar travels as the Python value it holds; a timedelta64, an integer to NumPy, does not."""
    return isinstance(value, generic) and value.dtype.kind in DTYPE_KINDS and value.dtype.itemsize <= MAX_SAMPLE_SIZE


cdef hint_for(value):
    if isinstance(value, (set, frozenset)):
        return "; make it a list"
    if isinstance(value, generic):
        return f" of dtype {value.dtype}; bool, integers and floats of at most 8 bytes travel"
    return ""


cdef int pack_byte(Writer* w, uint8_t byte) except -1:
    reserve(w, 1)[0] = byte
    w.size += 1
    return 0


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


cdef int pack_unsigned(Writer* w, uint64_t number) except -1:
    w.size = write_unsigned(reserve(w, unsigned_size(number)), number) - w.base
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
    else:
        text = PyUnicode_AsUTF8AndSize(value, &size)
        if text == NULL:
            PyErr_Clear()
            refuse_text(w, value)
    str_header(w, size)
    return pack_raw(w, text, size)


cdef int refuse_text(Writer* w, value) except -1:
    """Apart from ``pack_str``, since whoever is ready to catch an error pays for it each time."""
    try:
        str.encode(value)
    except UnicodeEncodeError as error:
        raise ValueError(f"{where(w)}: the text has no UTF-8 form ({error})") from error
    raise MemoryError


cdef int pack_raw(Writer* w, const char* source, Py_ssize_t size) except -1:
    if size:
        memcpy(reserve(w, size), source, size)
        w.size += size
    return 0


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
    leave_room_for(w, 1)
    container_header(w, 1, 0x80, 0xDE)
    pack_text(w, key)
    return pack_str(w, text)


cdef int pack_text(Writer* w, bytes text) except -1:
    str_header(w, PyBytes_GET_SIZE(text))
    return pack_raw(w, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


# --- containers ---

cdef int pack_map(Writer* w, dict value) except -1:
    cdef Py_ssize_t left = len(value)
    enter(w, left, 0x80, 0xDE)
    cdef int level = w.depth
    for key, item in value.items():
        left -= 1
        if type(key) is str:
            w.key[level] = <PyObject*>key
            pack_str(w, key)
        else:
            pack_rarer_key(w, level, key)
        pack_value(w, item)
    w.depth = level - 1
    if left:                               # entries gone and others come, which the iteration does not notice
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
    enter(w, n, 0x90, 0xDC)
    cdef int level = w.depth
    if n and type(value[0]) is float:
        foresee(w, 9 * n + TAIL)
    i = 0
    # An element may run Python code when packed (a subclass's isoformat, say) and change the list.
    while i < n and len(value) == n:
        i = pack_numbers(w, value, i)
        if i < n:
            w.index[level] = i
            pack_value(w, value[i])
            i += 1
    if len(value) != n:
        raise RuntimeError(f"{where(w)}: the list changed size while it was packed")
    w.depth = level - 1
    return 0


cdef Py_ssize_t pack_numbers(Writer* w, list value, Py_ssize_t i) except -1:
    """The floats and ints that stand at i and behind it, as many as there is room for; the index behind them."""
    cdef uint8_t* out = w.base + w.size
    cdef PyObject* item
    cdef int64_t number
    cdef int overflow = 0
    cdef Py_ssize_t end
    with cython.critical_section(value):   # borrowed references: nobody may touch the list meanwhile
        end = min(PyList_GET_SIZE(value), i + (w.capacity - w.size) // WIDEST)
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
    enter(w, len(value), 0x90, 0xDC)
    cdef int level = w.depth
    for i in range(len(value)):
        w.index[level] = i
        pack_value(w, value[i])
    w.depth = level - 1
    return 0


# --- headers ---

cdef int container_header(Writer* w, Py_ssize_t n, uint8_t fixed, uint8_t wide) except -1:
    """Of an array (0x90, 0xDC) or a map (0x80, 0xDE), in its shortest form."""
    w.size = write_container_header(reserve(w, container_header_size(n)), n, fixed, wide) - w.base
    return 0


cdef Py_ssize_t container_header_size(Py_ssize_t n) noexcept nogil:
    return 1 if n < 16 else 3 if n < 0x10000 else 5


cdef uint8_t* write_container_header(uint8_t* out, Py_ssize_t n, uint8_t fixed, uint8_t wide) noexcept nogil:
    if n < 16:
        out[0] = fixed | <uint8_t>n
        return out + 1
    if n < 0x10000:
        out[0] = wide
        store16(out + 1, <uint16_t>n)
        return out + 3
    out[0] = wide + 1
    store32(out + 1, <uint32_t>n)
    return out + 5


cdef int str_header(Writer* w, Py_ssize_t n) except -1:
    if n < 32:
        return pack_byte(w, 0xA0 | <uint8_t>n)
    return long_header(w, n, 0xD9)


cdef int bin_header(Writer* w, Py_ssize_t n) except -1:
    return long_header(w, n, 0xC4)


cdef int long_header(Writer* w, Py_ssize_t n, uint8_t tag8) except -1:
    """Tag and length of 8, 16 or 32 bits: the three tags follow one another."""
    if n < 0x100:
        return sized_header(w, n, tag8, 1)
    return sized_header(w, n, tag8 + 1, 2) if n < 0x10000 else sized_header(w, n, tag8 + 2, 4)


cdef int sized_header(Writer* w, Py_ssize_t n, uint8_t tag, int width) except -1:
    if n > w.limit - w.size:
        grow(w, n)                         # says that it is too large, before 32 bits could fall short of n
    cdef uint8_t* out = reserve(w, 1 + width)
    out[0] = tag
    if width == 1:
        out[1] = <uint8_t>n
    elif width == 2:
        store16(out + 1, <uint16_t>n)
    else:
        store32(out + 1, <uint32_t>n)
    w.size += 1 + width
    return 0


# --- ndarrays ---

cdef int pack_ndarray(Writer* w, array) except -1:
    cdef Py_buffer view
    cdef bint swapped = False
    cdef SampleType t = type_of(array.dtype, &swapped)
    if t == NO_SAMPLE_TYPE or array.ndim > MOST_DIMENSIONS:
        raise unsupported(w, array)
    PyObject_GetBuffer(array, &view, PyBUF_STRIDED_RO)
    try:
        if view.itemsize != item_size(t):
            raise changed(w)
        if w.binary:
            pack_binary_form(w, array, &view, t, swapped)
        else:
            pack_list_form(w, &view, t, swapped)
    finally:
        PyBuffer_Release(&view)
    return 0


cdef SampleType type_of(dtype, bint* swapped) except *:
    """The type of an array's samples, and whether they are of the other byte order than this machine's."""
    cdef int t
    for t in range(SAMPLE_TYPES):          # most arrays share NumPy's own object for their dtype
        if dtype is DTYPES[t]:
            return <SampleType>t
    swapped[0] = not dtype.isnative
    return sample_type(ord(dtype.kind), dtype.itemsize)


cdef changed(Writer* w):
    return RuntimeError(f"{where(w)}: the array changed while it was packed")


cdef unsupported(Writer* w, array):
    if array.ndim > MOST_DIMENSIONS:
        return TypeError(f"{where(w)}: an ndarray of {array.ndim} dimensions; at most {MOST_DIMENSIONS} travel")
    return TypeError(
        f"{where(w)}: cannot pack an ndarray of dtype {array.dtype}; "
        "bool, integers and floats of at most 8 bytes travel"
    )


cdef bytes dtype_name(SampleType t, bint swapped):
    return <bytes>NAMES[<int>t + (<int>SAMPLE_TYPES if swapped else 0)]


cdef int pack_list_form(Writer* w, Py_buffer* view, SampleType t, bint swapped) except -1:
    """``{"__ndarray__": nested lists, "dtype": name, "shape": [..]}``."""
    leave_room_for(w, 1 + max(view.ndim, 1))     # the map, and a list for each dimension or for the shape
    container_header(w, 3, 0x80, 0xDE)
    pack_text(w, NDARRAY)
    pack_samples(w, view, t, swapped)
    pack_text(w, DTYPE)
    pack_text(w, dtype_name(t, swapped))
    pack_text(w, SHAPE)
    return pack_shape(w, view)


cdef int pack_shape(Writer* w, Py_buffer* view) except -1:
    cdef int i
    container_header(w, view.ndim, 0x90, 0xDC)
    for i in range(view.ndim):
        if view.shape[i] > LARGEST_DIMENSION:
            raise ValueError(f"{where(w)}: a dimension of {view.shape[i]}; they end at 2**32 - 1")
        pack_unsigned(w, <uint64_t>view.shape[i])
    return 0


cdef int pack_samples(Writer* w, Py_buffer* view, SampleType t, bint swapped) except -1:
    cdef Py_ssize_t count = view.len // view.itemsize
    cdef Py_ssize_t lists = lists_in(view, w.limit)
    cdef const char* samples = <const char*>view.buf
    if lists + count > w.limit - w.size:
        grow(w, w.limit)                   # a byte a list and a sample is more than there is: too large, said at once
    cdef uint8_t* out = reserve_for_samples(w, size_of_samples(view, t, swapped, lists))
    cdef const uint8_t* end = w.base + w.capacity
    if count < SAMPLES_WITHOUT_GIL:
        out = write_nested(out, end, view, 0, samples, t, swapped)
    else:
        with nogil:
            out = write_nested(out, end, view, 0, samples, t, swapped)
            if out != NULL:
                sum_written(w, out)
    if out == NULL:
        raise changed(w)
    w.size = out - w.base
    return 0


cdef void sum_written(Writer* w, const uint8_t* end) noexcept nogil:
    """Sum the payload while the GIL is let go anyhow: to take it back once more can cost a thread more than the sum."""
    cdef const uint8_t* payload = w.base + w.room
    if w.sum != NULL:
        sum_up(w.sum, payload, end - payload)


cdef Py_ssize_t size_of_samples(Py_buffer* view, SampleType t, bint swapped, Py_ssize_t lists) noexcept:
    """Bytes of the samples' list form: floats are counted, a row at a time, and integers looked at."""
    cdef const char* samples = <const char*>view.buf
    cdef Py_ssize_t steps = lists + (view.len // view.itemsize if is_integer(t) else 0)
    if steps < SAMPLES_WITHOUT_GIL:
        return nested_size(view, 0, samples, t, swapped)
    with nogil:
        return nested_size(view, 0, samples, t, swapped)


cdef uint8_t* reserve_for_samples(Writer* w, Py_ssize_t size) except NULL:
    """Exactly the samples and a little for what follows them: a large frame shall not be doubled for its tail."""
    if size + TAIL > w.capacity - w.size:
        foresee(w, size + TAIL)
    return reserve(w, size)


cdef Py_ssize_t lists_in(Py_buffer* view, Py_ssize_t enough) noexcept nogil:
    """How many lists nest in the array's list form, or any number above ``enough``."""
    cdef Py_ssize_t lists = 0
    cdef Py_ssize_t at_this_level = 1
    cdef int i
    for i in range(view.ndim):
        lists += at_this_level
        if lists > enough or (view.shape[i] and at_this_level > enough // view.shape[i] + 1):
            return enough + 1
        at_this_level *= view.shape[i]
    return lists


cdef Py_ssize_t nested_size(
    Py_buffer* view, int dim, const char* p, SampleType t, bint swapped
) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t size
    if dim == view.ndim:                   # a 0-d array is its one number
        return row_size(t, swapped, p, 1, 0)
    size = container_header_size(view.shape[dim])
    if dim == view.ndim - 1:
        return size + row_size(t, swapped, p, view.shape[dim], view.strides[dim])
    for i in range(view.shape[dim]):
        size += nested_size(view, dim + 1, p + i * view.strides[dim], t, swapped)
    return size


cdef uint8_t* write_nested(
    uint8_t* out, const uint8_t* end, Py_buffer* view, int dim, const char* p, SampleType t, bint swapped
) noexcept nogil:
    """Past the lists and samples written at out; NULL where they turn out longer than there is room for."""
    cdef Py_ssize_t i
    if dim == view.ndim:
        return write_row(t, swapped, out, end, p, 1, 0)
    if end - out < container_header_size(view.shape[dim]):
        return NULL
    out = write_container_header(out, view.shape[dim], 0x90, 0xDC)
    if dim == view.ndim - 1:
        return write_row(t, swapped, out, end, p, view.shape[dim], view.strides[dim])
    for i in range(view.shape[dim]):
        out = write_nested(out, end, view, dim + 1, p + i * view.strides[dim], t, swapped)
        if out == NULL:
            return NULL
    return out


cdef int pack_binary_form(Writer* w, array, Py_buffer* view, SampleType t, bint swapped) except -1:
    """``{"dtype": name, "__ndarray__": little-endian bytes in C order, "shape": [..]}``.

    The bytes start at a multiple of 8 from the frame's first byte. The padding, 0 to 7, is made of wider
    length headers than needed: its bit 0 widens one by 1 byte, bit 1 another by 2, bit 2 a third by 4.
    """
    cdef bytes name = dtype_name(t, swapped)
    cdef Py_ssize_t n = view.len
    cdef Py_ssize_t ahead = (
        1 + (1 + PyBytes_GET_SIZE(DTYPE)) + (1 + PyBytes_GET_SIZE(name)) + (1 + PyBytes_GET_SIZE(NDARRAY))
        + (2 if n < 0x100 else 3 if n < 0x10000 else 5)
    )
    cdef int padding = <int>(-(w.size + ahead) & 7)
    leave_room_for(w, 2)                   # the map and its shape
    if n > w.limit - w.size:
        grow(w, n)
    foresee(w, ahead + padding + n + TAIL)
    widened_header(w, 3, padding & 4, 0x83, 0xDF, 4)
    widened_header(w, PyBytes_GET_SIZE(DTYPE), padding & 1, 0xA0 | <uint8_t>PyBytes_GET_SIZE(DTYPE), 0xD9, 1)
    pack_raw(w, PyBytes_AS_STRING(DTYPE), PyBytes_GET_SIZE(DTYPE))
    pack_text(w, name)
    widened_header(w, PyBytes_GET_SIZE(NDARRAY), padding & 2, 0xA0 | <uint8_t>PyBytes_GET_SIZE(NDARRAY), 0xDA, 2)
    pack_raw(w, PyBytes_AS_STRING(NDARRAY), PyBytes_GET_SIZE(NDARRAY))
    bin_header(w, n)
    pack_bytes_of(w, array, view, swapped == BIG_ENDIAN_HOST or view.itemsize == 1)
    pack_text(w, SHAPE)
    return pack_shape(w, view)


cdef int widened_header(
    Writer* w, Py_ssize_t n, bint widen, uint8_t fixed, uint8_t wide, int width
) except -1:
    return sized_header(w, n, wide, width) if widen else pack_byte(w, fixed)


cdef int pack_bytes_of(Writer* w, array, Py_buffer* view, bint little_endian) except -1:
    """The array's samples, little-endian and in C order, into the frame in one pass."""
    if view.len == 0:
        return 0
    cdef char* out = <char*>reserve(w, view.len)
    if little_endian and PyBuffer_IsContiguous(view, b"C"):
        copy_bytes(w, out, <const char*>view.buf, view.len)
    else:
        # NumPy moves strided and byte-swapped memory better than a loop here would; it writes into the frame itself.
        destination = np.ndarray(
            array.shape, array.dtype.newbyteorder("<"), PyMemoryView_FromMemory(out, view.len, PyBUF_WRITE)
        )
        np.copyto(destination, array)
    w.size += view.len
    return 0


cdef void copy_bytes(Writer* w, char* out, const char* source, Py_ssize_t n) noexcept:
    if n < BYTES_WITHOUT_GIL:
        memcpy(out, source, n)
    else:
        with nogil:
            memcpy(out, source, n)
            sum_written(w, <const uint8_t*>out + n)
