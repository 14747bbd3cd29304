"""State of reading a payload, shared by all functions that read it."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t

from .checksum cimport Sum
from .limits cimport DEEPEST

cdef str TOO_DEEP


cdef struct Reader:
    const uint8_t* base
    const uint8_t* at
    const uint8_t* end
    PyObject* owner              # FlatBuffer or bytes that base points into; borrowed
    Sum* sum                     # computed while samples are read without the GIL; NULL if not needed
    bint numeric                 # convert plain lists of numbers to ndarrays
    bint copy                    # copy arrays in binary form, so that they are writable
    Py_ssize_t outstanding       # values that the open arrays and maps still need; at least a byte each
    Py_ssize_t values_allowed    # values that may still be read, counted as for protocol.MAX_VALUES
    Py_ssize_t values_left       # values until the next check whether other threads need the GIL
    int depth
    Py_ssize_t index[DEEPEST + 1]    # path of the current value, for errors:
    PyObject* key[DEEPEST + 1]       # a borrowed key, or NULL for an index


cdef int refuse(Reader* r, const uint8_t* at, why) except -1
cdef int refuse_end(Reader* r, Py_ssize_t n) except -1
cdef int refuse_more(Reader* r, const uint8_t* at) except -1
cdef where(Reader* r)
cdef list keys_to(Reader* r)


cdef inline int need(Reader* r, Py_ssize_t n) except -1:
    return 0 if n <= r.end - r.at else refuse_end(r, n)


cdef inline int allow(Reader* r, const uint8_t* at, Py_ssize_t values) except -1:
    """Count a value as ``MAX_VALUES`` defines it, before it is created. ``at`` is its position."""
    r.values_allowed -= values
    return 0 if r.values_allowed >= 0 else refuse_more(r, at)
