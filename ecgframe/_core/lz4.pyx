"""Compresses to LZ4 blocks, and decompresses them. The work is done in ``lz4.h``."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc

from ._header cimport FlatBuffer, flatten

__all__ = ["lz4_compress", "lz4_decompress"]

cdef extern from "lz4.h" nogil:
    size_t ecgframe_lz4_compress(const uint8_t* src, size_t n, uint8_t* dst, size_t room)
    int ecgframe_lz4_decompress(const uint8_t* src, size_t n, uint8_t* dst, size_t size)

cdef size_t LARGEST = 0xFFFFFFFF


def lz4_compress(buffer, Py_ssize_t room):
    """Compress a buffer of less than 4 GiB to a block of at most ``room`` bytes. Returns None if it needs more."""
    cdef FlatBuffer flat = flatten(buffer)
    cdef size_t size
    cdef uint8_t* block
    if room < 1 or <size_t> flat.nbytes > LARGEST:
        return None
    block = <uint8_t*> malloc(<size_t> room)
    if block == NULL:
        raise MemoryError
    try:
        with nogil:
            size = ecgframe_lz4_compress(flat.start, <size_t> flat.nbytes, block, <size_t> room)
        return PyBytes_FromStringAndSize(<char*> block, <Py_ssize_t> size) if size else None
    finally:
        free(block)


def lz4_decompress(buffer, Py_ssize_t size):
    """Decompress a block to exactly ``size`` bytes. Returns the number of an ``Lz4Fault`` if that is not possible."""
    cdef FlatBuffer flat = flatten(buffer)
    cdef int fault
    if size < 0:
        raise ValueError(f"a size is a number of bytes, not {size}")
    plain = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t* out = <uint8_t*> PyBytes_AS_STRING(plain)
    with nogil:
        fault = ecgframe_lz4_decompress(flat.start, <size_t> flat.nbytes, out, <size_t> size)
    return fault if fault else plain
