"""The buffer of a writer, which becomes the frame, and MessagePack headers. See the .pxd for the writer."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from .byteorder cimport store16, store32

from .path import path_text
from ..errors import MessageTooLarge

__all__ = []

cdef extern from "Python.h":
    void Py_SET_SIZE(PyObject* o, Py_ssize_t n)
    int _PyBytes_Resize(PyObject** bytes, Py_ssize_t size) except -1


cdef bytes finish(Writer* w):
    if w.frame == NULL:
        return PyBytes_FromStringAndSize(<const char*>w.scratch, w.size)
    cut(w)
    frame = <object>w.frame
    return <bytes>frame


cdef int cut(Writer* w) except -1:
    """Shrink the bytes to the size written. A few bytes are kept: freeing them takes a tenth of the time of a frame."""
    if w.capacity - w.size > TAIL:
        return _PyBytes_Resize(&w.frame, w.size)
    Py_SET_SIZE(w.frame, w.size)
    PyBytes_AS_STRING(<object>w.frame)[w.size] = 0
    return 0


# --- memory ---

cdef int grow(Writer* w, Py_ssize_t n) except -1:
    if n > w.limit - w.size:
        raise too_large(w)
    if w.fixed:
        raise BufferError(f"{where(w)}: the buffer ends {n - (w.capacity - w.size)} bytes before this does")
    return resize(w, max(w.size + n, min(2 * w.capacity, w.limit)))


cdef too_large(Writer* w):
    return MessageTooLarge(f"the payload passes the limit of {w.limit - w.room} bytes at {where(w)}", path=where(w))


cdef int foresee(Writer* w, Py_ssize_t n) except -1:
    """Allocate memory for n bytes that will probably be written, at once instead of by repeated doubling."""
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


# --- path ---

cdef int refuse_depth(Writer* w) except -1:
    raise ValueError(f"{where(w)}: more than {DEEPEST} arrays and maps inside one another")


cdef where(Writer* w):
    cdef int level
    return path_text(
        [w.index[level] if w.key[level] == NULL else <object>w.key[level] for level in range(1, w.depth + 1)]
    )


# --- headers ---

cdef int long_header(Writer* w, Py_ssize_t n, uint8_t tag8) except -1:
    """Write a tag and a length of 8, 16 or 32 bits. The three tags are consecutive numbers from ``tag8`` on."""
    if n < 0x100:
        return sized_header(w, n, tag8, 1)
    return sized_header(w, n, tag8 + 1, 2) if n < 0x10000 else sized_header(w, n, tag8 + 2, 4)


cdef int sized_header(Writer* w, Py_ssize_t n, uint8_t tag, int width) except -1:
    if n > w.limit - w.size:
        grow(w, n)                         # raises an error for sizes that 32 bits could not hold
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
