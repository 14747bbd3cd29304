"""Where reading a payload has got to, which all who read from it share."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t

from .checksum cimport Sum
from .limits cimport DEEPEST

cdef str TOO_DEEP


cdef struct Reader:
    const uint8_t* base
    const uint8_t* at
    const uint8_t* end
    PyObject* owner              # the buffer that base points into; borrowed
    Sum* sum                     # taken while samples are read without the GIL; NULL where nobody asks
    bint numeric                 # plain lists of numbers become ndarrays
    Py_ssize_t outstanding       # values that enclosing arrays and maps still owe, each of at least a byte
    Py_ssize_t containers
    Py_ssize_t values_left       # to be read until the next look whether others want the GIL
    int depth
    Py_ssize_t index[DEEPEST + 1]    # the way to the value being read, for errors:
    PyObject* key[DEEPEST + 1]       # a borrowed key, or NULL for an index


cdef int refuse(Reader* r, const uint8_t* at, why) except -1
cdef int refuse_end(Reader* r, Py_ssize_t n) except -1
cdef where(Reader* r)
cdef list keys_to(Reader* r)


cdef inline int need(Reader* r, Py_ssize_t n) except -1:
    return 0 if n <= r.end - r.at else refuse_end(r, n)
