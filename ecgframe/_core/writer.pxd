"""State of writing a payload, shared by all functions that write it, and MessagePack headers."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from .byteorder cimport store16, store32
from .checksum cimport COPY_WITHOUT_GIL, Sum, copy_and_sum
from .gil_yield cimport VALUES_BETWEEN_CHECKS
from .limits cimport DEEPEST
from .msgpack_numbers cimport unsigned_size, write_unsigned
from .msgpack_tags cimport BIN8, FIXSTR, STR8

cdef enum:
    SCRATCH = 512
    TAIL = 256                   # bytes that usually follow the samples of a message


cdef struct Writer:
    uint8_t scratch[SCRATCH]     # memory for short messages
    PyObject* frame              # bytes, with this as the only reference; NULL while the scratch suffices
    uint8_t* base                # start of the scratch, of the bytes, or of the caller's buffer
    bint fixed                   # base is the caller's buffer, which cannot grow
    Py_ssize_t size
    Py_ssize_t capacity
    Py_ssize_t room              # free bytes at the start, for the header
    Py_ssize_t limit             # maximum size of the frame
    Sum* sum                     # checksum up to the samples that were written without the GIL; NULL if not needed
    bint binary                  # pack ndarrays in binary form
    PyObject* convert            # a borrowed function for objects of other types, or None
    Py_ssize_t converted         # size at which the last object that it returned begins; -1 for none
    Py_ssize_t counted           # values so far, counted as for MAX_VALUES
    Py_ssize_t values_left       # values until the next check whether other threads need the GIL
    int depth
    Py_ssize_t index[DEEPEST + 1]    # path of the current value, for errors:
    PyObject* key[DEEPEST + 1]       # a borrowed key, or NULL for an index


cdef bytes finish(Writer* w)

cdef int grow(Writer* w, Py_ssize_t n) except -1
cdef int foresee(Writer* w, Py_ssize_t n) except -1

cdef int refuse_depth(Writer* w) except -1
cdef where(Writer* w)

cdef int long_header(Writer* w, Py_ssize_t n, uint8_t tag8) except -1
cdef int sized_header(Writer* w, Py_ssize_t n, uint8_t tag, int width) except -1


cdef inline void begin(
    Writer* w, Py_ssize_t room, Py_ssize_t max_payload, bint binary, Sum* sum, PyObject* convert
) noexcept:
    w.frame = NULL
    w.fixed = False
    w.base = w.scratch
    w.capacity = min(SCRATCH, room + max_payload)
    w.size = room
    w.room = room
    w.limit = room + max_payload
    w.sum = sum
    w.binary = binary
    w.convert = convert
    w.converted = -1
    w.counted = 0
    w.values_left = VALUES_BETWEEN_CHECKS
    w.depth = 0


cdef inline uint8_t* reserve(Writer* w, Py_ssize_t n) except NULL:
    """Reserve memory for n more bytes, all of which will be written."""
    if n > w.capacity - w.size:
        grow(w, n)
    return w.base + w.size


cdef inline int check_depth(Writer* w, int levels) except -1:
    return refuse_depth(w) if w.depth + levels > DEEPEST else 0


cdef inline int pack_byte(Writer* w, uint8_t byte) except -1:
    reserve(w, 1)[0] = byte
    w.size += 1
    return 0


cdef inline int pack_raw(Writer* w, const char* source, Py_ssize_t size) except -1:
    cdef uint8_t* out
    if size:
        out = reserve(w, size)
        if size < COPY_WITHOUT_GIL:
            memcpy(out, source, size)
        else:
            copy_and_sum(out, source, size, w.sum, w.base + w.room)
        w.size += size
    return 0


cdef inline int bin_header(Writer* w, Py_ssize_t n) except -1:
    return long_header(w, n, BIN8)


cdef inline int pack_utf8(Writer* w, const char* text, Py_ssize_t size) except -1:
    cdef uint8_t* out
    if size >= 32:
        long_header(w, size, STR8)
        return pack_raw(w, text, size)
    out = reserve(w, 1 + size)             # header and text together: nearly all keys are so short
    out[0] = FIXSTR | <uint8_t>size
    memcpy(out + 1, text, size)
    w.size += 1 + size
    return 0


cdef inline int pack_text(Writer* w, bytes text) except -1:
    return pack_utf8(w, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


cdef inline Py_ssize_t container_header_size(Py_ssize_t n) noexcept nogil:
    return 1 if n < 16 else 3 if n < 0x10000 else 5


cdef inline uint8_t* write_container_header(uint8_t* out, Py_ssize_t n, uint8_t fixed, uint8_t wide) noexcept nogil:
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


cdef inline int container_header(Writer* w, Py_ssize_t n, uint8_t fixed, uint8_t wide) except -1:
    """Write the shortest header of an array (FIXARRAY, ARRAY16) or a map (FIXMAP, MAP16)."""
    w.size = write_container_header(reserve(w, container_header_size(n)), n, fixed, wide) - w.base
    return 0


cdef inline int pack_unsigned(Writer* w, uint64_t number) except -1:
    w.size = write_unsigned(reserve(w, unsigned_size(number)), number) - w.base
    return 0
