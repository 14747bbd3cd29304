"""Counts the numbers and the other values of a payload, before it is unpacked.

Only tags and lengths are read, without the GIL, so counting takes a small part of the time of inflating the payload.
"""

from libc.stdint cimport uint8_t

from ._header cimport FlatBuffer
from .byteorder cimport load16, load32
from .msgpack_tags cimport (
    ARRAY16, BIN32, BIN8, F32, F64, FALSE, FIXMAP, FIXSTR, I64, MAP16, MAP32, NEGATIVE_FIXINT, NIL, STR32,
    STR8, TRUE, U8,
)

__all__ = ["count_numbers"]


cdef struct Counts:
    Py_ssize_t numbers
    Py_ssize_t others
    Py_ssize_t containers


cpdef tuple count_numbers(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t most_others):
    """Count the values of a packed payload: numbers; texts, byte strings and entries of long maps; arrays and maps.

    Nil and booleans count as numbers. Stops at damage, and once the second count exceeds ``most_others``.
    """
    cdef Counts counts = Counts(0, 0, 0)
    with nogil:
        count(flat.start + start, flat.start + stop, most_others, &counts)
    return counts.numbers, counts.others, counts.containers


cdef void count(const uint8_t* at, const uint8_t* end, Py_ssize_t most_others, Counts* counts) noexcept nogil:
    cdef uint8_t tag
    cdef int width
    cdef Py_ssize_t n
    while at < end and counts.others <= most_others:
        tag = at[0]
        at += 1
        if tag < FIXMAP or tag >= NEGATIVE_FIXINT or tag == NIL or tag == FALSE or tag == TRUE:
            counts.numbers += 1
        elif tag < FIXSTR:
            counts.containers += 1           # its values follow
        elif tag < NIL:
            counts.others += 1
            n = tag & 0x1F
            if n > end - at:
                return
            at += n
        elif F32 <= tag <= I64:
            width = 4 if tag == F32 else 8 if tag == F64 else 1 << ((tag - U8) & 3)
            if width > end - at:
                return
            at += width
            counts.numbers += 1
        elif BIN8 <= tag <= BIN32 or STR8 <= tag <= STR32:
            counts.others += 1
            width = 1 << (tag - (STR8 if tag >= STR8 else BIN8))
            if width > end - at:
                return
            n = at[0] if width == 1 else load16(at) if width == 2 else load32(at)
            at += width
            if n > end - at:
                return
            at += n
        elif ARRAY16 <= tag <= MAP32:
            counts.containers += 1
            width = 2 if tag == ARRAY16 or tag == MAP16 else 4
            if width > end - at:
                return
            n = load16(at) if width == 2 else load32(at)
            at += width
            if tag >= MAP16:                 # a key may be a number, and is an object nevertheless
                counts.others += min(n, end - at)
        else:
            return
