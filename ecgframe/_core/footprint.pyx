"""Computes how much memory the values of a payload will take, before it is unpacked.

A byte on the wire may become an empty dict of 80 bytes, so neither the length of a payload nor the number of its values
bounds its cost. Only tags and lengths are read, without the GIL, which takes a twentieth of the time of unpacking.

The sizes are those of CPython's objects on 64-bit systems, rounded up; ``plain/footprint.py`` has the same.
"""

from libc.stdint cimport uint8_t

from ._header cimport FlatBuffer
from .byteorder cimport load16, load32
from .limits cimport DEEPEST
from .msgpack_tags cimport (
    ARRAY16, BIN32, BIN8, F32, F64, FIXARRAY, FIXMAP, FIXSTR, I64, I8, MAP16, NEGATIVE_FIXINT,
    STR32, STR8, U16, U64,
)

__all__ = ["footprint"]

cdef enum:
    REFERENCE = 8                # to a value, in the list that contains it
    LARGE_INTEGER = 32
    FLOAT = 24
    OBJECT = 48                  # text or bytes, without the characters
    LIST = 72
    DICT = 80
    TABLE = 64                   # of a dict that is not empty, without its entries
    ENTRY = 56
    SAMPLE = 8                   # of an ndarray, at most
    WITHOUT_GIL_FROM = 4096      # bytes of a payload; for smaller ones, releasing the GIL takes longer than it saves


cdef struct Level:
    Py_ssize_t left              # values that are still to come, keys included
    bint is_map
    int markers                  # bits of the keys of an ndarray that were found: 1, 2, 4
    bint is_samples              # the next value belongs to the key "__ndarray__"
    Py_ssize_t entries
    Py_ssize_t before            # total before the samples
    Py_ssize_t values_before
    Py_ssize_t saved             # memory that the samples take less if the map is an ndarray


cpdef Py_ssize_t footprint(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop) except -1:
    """Return an upper bound of the bytes of memory that the unpacked values of a payload take.

    A malformed payload is measured up to the first error; unpacking rejects it.
    """
    cdef Py_ssize_t nbytes
    if stop - start < WITHOUT_GIL_FROM:
        return measure(flat.start + start, flat.start + stop)
    with nogil:
        nbytes = measure(flat.start + start, flat.start + stop)
    return nbytes


cdef Py_ssize_t measure(const uint8_t* at, const uint8_t* end) noexcept nogil:
    cdef Level levels[DEEPEST]
    cdef Level* level
    cdef int depth = 0
    cdef Py_ssize_t total = 0, values = 0, n, children, room
    cdef uint8_t tag
    cdef bint is_map, is_key, is_text
    cdef const uint8_t* text
    while at < end:
        tag = at[0]
        at += 1
        values += 1
        total += REFERENCE
        n = children = 0
        is_map = is_text = False
        # Find out how many bytes the value contains, or how many values follow.
        if tag < FIXMAP or tag >= NEGATIVE_FIXINT:
            pass
        elif tag < FIXARRAY:
            is_map, children = True, tag & 0x0F
        elif tag < FIXSTR:
            children = tag & 0x0F
            total += LIST
        elif tag < 0xC0:
            is_text, n = True, tag & 0x1F
        elif tag < BIN8:
            pass
        elif tag <= BIN32 or STR8 <= tag <= STR32:
            is_text = tag >= STR8
            room = 1 << (tag - (STR8 if is_text else BIN8))
            if end - at < room:
                return total
            n = at[0] if room == 1 else load16(at) if room == 2 else load32(at)
            at += room
            if not is_text and n > 1:
                total += OBJECT + n
        elif tag == F32 or tag == F64:
            total += FLOAT
            at += 4 if tag == F32 else 8
        elif F64 < tag <= I64:
            at += 1 << ((tag - 0xCC) & 3)
            if U16 <= tag <= U64 or tag >= I8:
                total += LARGE_INTEGER
        elif tag >= ARRAY16:
            is_map = tag >= MAP16
            room = 2 if tag == ARRAY16 or tag == MAP16 else 4
            if end - at < room:
                return total
            children = load16(at) if room == 2 else load32(at)
            at += room
            if not is_map:
                total += LIST
        else:
            return total
        if n > end - at or children > end - at:
            return total
        text = at
        if is_text and n > 1:
            total += OBJECT + n * character_size(text, n)
        at += n
        if is_map:
            total += DICT + (TABLE + ENTRY * children if children else 0)
            children *= 2
        if children:
            if depth == DEEPEST:
                return total
            level = &levels[depth]
            depth += 1
            level.left = children
            level.is_map = is_map
            level.entries = children // 2
            level.markers = 0
            level.is_samples = False
            level.saved = 0
            continue
        # The value is complete, and so are the arrays and maps of which it was the last value.
        is_key = True
        while depth:
            level = &levels[depth - 1]
            level.left -= 1
            if level.is_map and level.entries == 3:
                if level.left & 1:
                    # A key. Only a text can be one of the keys of an ndarray.
                    if is_key and is_text:
                        note_marker(level, text, n, total, values)
                elif level.is_samples:
                    level.is_samples = False
                    level.saved = total - level.before - SAMPLE * (values - level.values_before)
            if level.left:
                break
            if level.markers == 7 and level.saved > 0:
                total -= level.saved
            depth -= 1
            is_key = False
        if not depth:
            return total
    return total


cdef void note_marker(
    Level* level, const uint8_t* text, Py_ssize_t n, Py_ssize_t total, Py_ssize_t values
) noexcept nogil:
    if n == 11 and equal(text, b"__ndarray__", 11):
        level.markers |= 1
        level.is_samples = True
        level.before = total
        level.values_before = values
    elif n == 5 and equal(text, b"dtype", 5):
        level.markers |= 2
    elif n == 5 and equal(text, b"shape", 5):
        level.markers |= 4


cdef bint equal(const uint8_t* text, const char* other, int n) noexcept nogil:
    cdef int i
    for i in range(n):
        if text[i] != <uint8_t> other[i]:
            return False
    return True


cdef int character_size(const uint8_t* text, Py_ssize_t n) noexcept nogil:
    """Return the bytes of memory per character of a text, assuming as many characters as bytes."""
    cdef uint8_t largest = 0
    cdef Py_ssize_t i
    for i in range(n):
        largest = max(largest, text[i])
    return 4 if largest >= 0xF0 else 2 if largest >= 0xC4 else 1
