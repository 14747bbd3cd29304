"""Packs ndarrays in list form or in binary form, without a Python object for each sample."""

from cpython.buffer cimport PyBUF_WRITE, PyBuffer_IsContiguous
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport int64_t, uint8_t, uint64_t

from .byteorder cimport BIG_ENDIAN_HOST
from .checksum cimport copy_and_sum, sum_up
from .dtypes cimport NO_SAMPLE_TYPE, SAMPLE_TYPES, SampleType, is_integer, item_size, sample_type
from .limits cimport MOST_DIMENSIONS
from .msgpack_tags cimport ARRAY16, FIXARRAY, FIXMAP, FIXSTR, MAP16, MAP32, STR16, STR8
from .ndarrays cimport describe, dtype_of
from .write_samples cimport row_size, write_row
from .writer cimport (
    TAIL, Writer, bin_header, container_header, container_header_size, foresee, grow, check_depth, pack_byte,
    pack_raw, pack_text, pack_unsigned, reserve, sized_header, where, write_container_header,
)

import sys

import numpy as np

from .readable import is_sample_dtype
from ..protocol import DTYPE_KEY, MAX_DIMENSION, NDARRAY_KEY, SHAPE_KEY

__all__ = []

cdef enum:
    SAMPLES_WITHOUT_GIL = 8192

cdef int64_t LARGEST_DIMENSION = MAX_DIMENSION

# The dtypes by SampleType. Their names: first those in native byte order, then those in the other one.
cdef list CODES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
cdef list DTYPES = [np.dtype(code) for code in CODES]
cdef str OTHER_ORDER = ">" if sys.byteorder == "little" else "<"
cdef list NAMES = [dtype.name.encode() for dtype in DTYPES] + [
    str(np.dtype(OTHER_ORDER + code)).encode() for code in CODES
]

cdef bytes NDARRAY = NDARRAY_KEY.encode()
cdef bytes DTYPE = DTYPE_KEY.encode()
cdef bytes SHAPE = SHAPE_KEY.encode()


cdef int pack_ndarray(Writer* w, array) except -1:
    cdef Py_buffer view
    cdef Py_ssize_t[MOST_DIMENSIONS] shape
    cdef Py_ssize_t[MOST_DIMENSIONS] strides
    cdef bint swapped = False
    cdef SampleType t = type_of(dtype_of(array), &swapped)
    if t == NO_SAMPLE_TYPE or array.ndim > MOST_DIMENSIONS:
        raise unsupported(w, array)
    describe(array, &view, shape, strides, MOST_DIMENSIONS)
    if view.itemsize != item_size(t):
        raise changed(w)
    if w.binary:
        return pack_binary_form(w, array, &view, t, swapped)
    return pack_list_form(w, &view, t, swapped)


cdef SampleType type_of(dtype, bint* swapped) except *:
    """Return the type of an array's samples; set ``swapped`` if their byte order is not that of this machine."""
    cdef int t
    for t in range(SAMPLE_TYPES):          # most arrays share NumPy's own object for their dtype
        if dtype is DTYPES[t]:
            return <SampleType>t
    if not is_sample_dtype(dtype):
        return NO_SAMPLE_TYPE
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
    """Pack ``{"__ndarray__": nested lists, "dtype": name, "shape": [..]}``."""
    check_depth(w, 1 + max(view.ndim, 1))     # the map, and a list for each dimension or for the shape
    container_header(w, 3, FIXMAP, MAP16)
    pack_text(w, NDARRAY)
    pack_samples(w, view, t, swapped)
    pack_text(w, DTYPE)
    pack_text(w, dtype_name(t, swapped))
    pack_text(w, SHAPE)
    return pack_shape(w, view)


cdef int pack_shape(Writer* w, Py_buffer* view) except -1:
    cdef int i
    container_header(w, view.ndim, FIXARRAY, ARRAY16)
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
        grow(w, w.limit)                   # one byte for each list and sample exceeds the limit: refuse at once
    cdef uint8_t* out = reserve_for_samples(w, size_of_samples(view, t, swapped, lists))
    cdef const uint8_t* end = w.base + w.capacity
    cdef const uint8_t* payload = w.base + w.room
    if count < SAMPLES_WITHOUT_GIL:
        out = write_nested(out, end, view, 0, samples, t, swapped)
    else:
        with nogil:
            out = write_nested(out, end, view, 0, samples, t, swapped)
            if out != NULL:                # sum before taking the GIL again, as ``copy_and_sum`` does
                sum_up(w.sum, payload, out - payload)
    if out == NULL:
        raise changed(w)
    w.size = out - w.base
    return 0


cdef Py_ssize_t size_of_samples(Py_buffer* view, SampleType t, bint swapped, Py_ssize_t lists) noexcept:
    """Return the bytes of the samples in list form. Floats have a fixed size; integers have to be read."""
    cdef const char* samples = <const char*>view.buf
    cdef Py_ssize_t steps = lists + (view.len // view.itemsize if is_integer(t) else 0)
    cdef Py_ssize_t size
    if steps < SAMPLES_WITHOUT_GIL:
        return nested_size(view, 0, samples, t, swapped)
    with nogil:
        size = nested_size(view, 0, samples, t, swapped)
    return size


cdef uint8_t* reserve_for_samples(Writer* w, Py_ssize_t size) except NULL:
    """Reserve exactly the samples and TAIL bytes for what follows, so that a large buffer is not doubled."""
    if size + TAIL > w.capacity - w.size:
        foresee(w, size + TAIL)
    return reserve(w, size)


cdef Py_ssize_t lists_in(Py_buffer* view, Py_ssize_t enough) noexcept nogil:
    """Return the number of lists in the array's list form, or any number above ``enough`` if there are more."""
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
    if dim == view.ndim:                   # an array of no dimensions is a single number
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
    """Write the lists and samples at ``out``. Returns their end, or NULL if they do not fit before ``end``."""
    cdef Py_ssize_t i
    if dim == view.ndim:
        return write_row(t, swapped, out, end, p, 1, 0)
    if end - out < container_header_size(view.shape[dim]):
        return NULL
    out = write_container_header(out, view.shape[dim], FIXARRAY, ARRAY16)
    if dim == view.ndim - 1:
        return write_row(t, swapped, out, end, p, view.shape[dim], view.strides[dim])
    for i in range(view.shape[dim]):
        out = write_nested(out, end, view, dim + 1, p + i * view.strides[dim], t, swapped)
        if out == NULL:
            return NULL
    return out


cdef int pack_binary_form(Writer* w, array, Py_buffer* view, SampleType t, bint swapped) except -1:
    """Pack ``{"dtype": name, "__ndarray__": little-endian bytes in C order, "shape": [..]}``.

    The bytes start at a multiple of 8 from the first byte of the frame. Longer MessagePack headers than necessary
    provide the 0 to 7 bytes of padding: one can be longer by 1 byte, another by 2, a third by 4.
    """
    cdef bytes name = dtype_name(t, swapped)
    cdef Py_ssize_t n = view.len
    cdef Py_ssize_t ahead = (
        1 + (1 + PyBytes_GET_SIZE(DTYPE)) + (1 + PyBytes_GET_SIZE(name)) + (1 + PyBytes_GET_SIZE(NDARRAY))
        + (2 if n < 0x100 else 3 if n < 0x10000 else 5)
    )
    cdef int padding = <int>(-(w.size + ahead) & 7)
    check_depth(w, 2)                   # the map and its shape
    if n > w.limit - w.size:
        grow(w, n)
    foresee(w, ahead + padding + n + TAIL)
    widened_header(w, 3, padding & 4, FIXMAP | 3, MAP32, 4)
    widened_header(w, PyBytes_GET_SIZE(DTYPE), padding & 1, FIXSTR | <uint8_t>PyBytes_GET_SIZE(DTYPE), STR8, 1)
    pack_raw(w, PyBytes_AS_STRING(DTYPE), PyBytes_GET_SIZE(DTYPE))
    pack_text(w, name)
    widened_header(w, PyBytes_GET_SIZE(NDARRAY), padding & 2, FIXSTR | <uint8_t>PyBytes_GET_SIZE(NDARRAY), STR16, 2)
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
    """Copy the samples of the array into the frame in one pass, little-endian and in C order."""
    if view.len == 0:
        return 0
    cdef uint8_t* out = reserve(w, view.len)
    if little_endian and PyBuffer_IsContiguous(view, b"C"):
        copy_and_sum(out, view.buf, view.len, w.sum, w.base + w.room)
    else:
        # NumPy copies strided and byte-swapped memory faster than a loop here would, directly into the frame.
        destination = np.ndarray(
            array.shape, array.dtype.newbyteorder("<"), PyMemoryView_FromMemory(<char*>out, view.len, PyBUF_WRITE)
        )
        if destination.nbytes != view.len:
            raise changed(w)
        np.copyto(destination, array)
    w.size += view.len
    return 0
