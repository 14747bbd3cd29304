"""Payloads of records of version 4: the head, and the samples with or without the filter DELTA.

Samples are rows of one dtype. Templates state their meaning. Specification: ``docs/protocol.md``, "Templates and
records".
"""

cimport cython
from cpython.buffer cimport PyBuffer_IsContiguous
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t, uintptr_t
from libc.math cimport rint, trunc
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from ._header cimport FlatBuffer, flatten
from .byteorder cimport BIG_ENDIAN_HOST, load16, load32, load64, store16, store32, store64
from .dtypes cimport is_integer, sample_type
from .ndarrays cimport data_of, describe, dtype_of, ndim_of, new_array, view_of

from sys import getsizeof

import numpy as np

from .record_faults import (
    LEFT_OVER,
    bad_filter,
    bad_record_options,
    bad_row,
    short_record,
    too_few_bytes,
    too_many_samples,
    wrong_size,
)
from ..protocol import (
    DELTA_BLOCK,
    DELTA_STEP,
    DELTA_WIDTH,
    MAX_TEMPLATE_ROWS,
    RECORD_FIELDS,
    TEMPLATE_DTYPES,
    RECORD_HEADER,
    TEMPLATE_DIGEST_SIZE,
    RecordFilter,
    RecordOption,
)

__all__ = ["TemplateCoder", "divide_common", "read_record_head", "read_record_samples", "write_record"]

cdef extern from "record_filter.h":
    enum:
        BLOCK "ECGFRAME_BLOCK"
        WIDEST "ECGFRAME_WIDEST"
        LARGEST_STEP "ECGFRAME_LARGEST_STEP"
        SLACK "ECGFRAME_SLACK"
        LEFT_OVER_IN_C "ECGFRAME_LEFT_OVER"

    ctypedef int RowFault "ecgframe_row_fault"

    ctypedef struct RowReader "ecgframe_row_reader":
        const uint8_t* at
        const uint8_t* end
        int64_t row
        RowFault fault

    int64_t write_rows "ecgframe_write_rows"(
        int size, bint is_signed, uint8_t* out, int64_t room, const void* samples, int64_t rows, int64_t n,
        const uint8_t* predictions, void* work
    ) noexcept nogil
    bint read_rows "ecgframe_read_rows"(
        int size, bint is_signed, RowReader* r, void* target, int64_t rows, int64_t n
    ) noexcept nogil

cdef extern from "Python.h":
    ctypedef struct PyFloatObject:
        double ob_fval

cdef enum:
    HEAD_SIZE = 16
    DIGEST_SIZE = 8
    NUMBERED = 1
    BOUND = 2
    NONE = 0
    DELTA = 1
    HIGHEST_ORDER = 3
    ON_STACK = 512               # samples per row up to which the work buffer is on the stack
    SAMPLES_WITHOUT_GIL = 8192

cdef int64_t LARGEST_COUNT = 0xFFFFFFFF
cdef int64_t MOST_ROWS = MAX_TEMPLATE_ROWS
cdef object LARGEST_SEQUENCE = 2**64 - 1
cdef double MOST_SECONDS = 9e12  # in microseconds, less than 64 bits
cdef object ndarray = np.ndarray
cdef str SIGNAL, STREAM, TIMESTAMP, SEQUENCE
SIGNAL, STREAM, TIMESTAMP, SEQUENCE = RECORD_FIELDS

if (
    RECORD_HEADER, TEMPLATE_DIGEST_SIZE, DELTA_BLOCK, DELTA_WIDTH, DELTA_STEP, LEFT_OVER,
    RecordOption.NUMBERED, RecordOption.BOUND, RecordFilter.NONE, RecordFilter.DELTA,
) != (HEAD_SIZE, DIGEST_SIZE, BLOCK, WIDEST, LARGEST_STEP, LEFT_OVER_IN_C, NUMBERED, BOUND, NONE, DELTA):
    raise ImportError("the compiled core has other limits than ecgframe.protocol: build it anew")


cdef class RecordDtype:
    """A dtype of records, with its properties for reading and writing."""


cdef dict DTYPES = {}


cdef RecordDtype new_dtype(name):
    cdef RecordDtype known = RecordDtype()
    dtype = np.dtype(name)
    known.t = sample_type(ord(dtype.kind), dtype.itemsize)
    known.size = dtype.itemsize
    known.is_signed = dtype.kind == "i"
    known.dtype = dtype
    known.little_endian = dtype.newbyteorder("<")
    return known


for _name in TEMPLATE_DTYPES:
    DTYPES[_name] = new_dtype(_name)

cdef list KINDS = [*DTYPES.values()]


# --- writing ---

cdef enum Taken:
    NOT_OF_RECORDS
    TAKEN
    UNUSUAL


@cython.final
@cython.freelist(4)
cdef class RecordParts:
    """What a record holds of a map, as far as it was looked at."""

    cdef object signal
    cdef object timestamp
    cdef object sequence

    cdef Taken take(self, str key, value, str stream):
        """Take an entry of the map of a stream, if records have a place for it, and its type is a usual one."""
        if key == SIGNAL:
            self.signal = value
        elif key == TIMESTAMP:
            self.timestamp = value
        elif key == SEQUENCE:
            if type(value) is not int or not 0 <= value <= LARGEST_SEQUENCE:
                return UNUSUAL
            self.sequence = value
        elif key == STREAM:
            if type(value) is not str or <str>value != stream:
                return UNUSUAL
        else:
            return NOT_OF_RECORDS
        return TAKEN

    cdef bint set_time(self, int64_t* time):
        """Round the seconds to microseconds. False if they are unusual."""
        cdef double seconds, whole
        if type(self.timestamp) is not float:
            return False
        seconds = self.timestamp
        if not -MOST_SECONDS < seconds < MOST_SECONDS:  # NaN included
            return False
        whole = trunc(seconds)  # apart from the fraction: their product would be rounded twice
        time[0] = <int64_t>whole * 1_000_000 + <int64_t>rint((seconds - whole) * 1e6)
        return True


def divide_common(data, str stream):
    """Divide a map of the usual types for a record of a stream.

    Usual are a dict whose keys are str, an ndarray whose dtype is NumPy's own object, ``timestamp`` as float, and
    ``sequence`` as int.

    Returns:
        Signal, time, sequence or None, and the other fields; None for a map that has to be looked at more closely.
    """
    cdef RecordParts parts = RecordParts()
    cdef dict fields = {}
    cdef int64_t time
    cdef Taken taken
    if type(data) is not dict:
        return None
    for key, value in (<dict>data).items():
        if type(key) is not str:
            return None
        taken = parts.take(<str>key, value, stream)
        if taken == UNUSUAL:
            return None
        if taken == NOT_OF_RECORDS:
            fields[key] = value
    if not is_usual_signal(parts.signal) or not parts.set_time(&time):
        return None
    return parts.signal, time, parts.sequence, fields


cdef bint is_usual_signal(signal):
    cdef Py_buffer view
    cdef Py_ssize_t[2] shape
    cdef Py_ssize_t[2] strides
    cdef RecordDtype kind
    if not 1 <= ndim_of(signal) <= 2:
        return False
    dtype = dtype_of(signal)
    for kind in KINDS:
        if dtype is kind.dtype:
            break
    else:
        return False
    describe(signal, &view, shape, strides, 2)
    return shape[view.ndim - 1] <= LARGEST_COUNT and (view.ndim == 1 or 1 <= shape[0] <= MOST_ROWS)


def write_record(
    int template, int64_t time, sequence, digest, samples, str dtype, int64_t rows, int64_t count,
    bytes predictions, int filter,
):
    """Write the payload of a record.

    Args:
        template: number of the template.
        time: time of the first sample, in microseconds since 1970.
        sequence: ``sequence`` of the message, or None.
        digest: digest of the template, 8 bytes, to bind the record to it; or None.
        samples: a buffer of rows times count samples in C order, in native byte order.
        dtype: name of the dtype.
        rows: number of rows, at least 1.
        count: number of samples per row.
        predictions: for each row, the number of predictions to try, and three bytes for each; empty for none.
        filter: DELTA to try that filter; NONE is used instead if DELTA makes the record no shorter.

    Raises:
        ValueError: the buffer has another size, or the predictions are invalid.
    """
    cdef RecordDtype kind = DTYPES[dtype]
    cdef FlatBuffer flat = flatten(samples)
    cdef int64_t raw = rows * count * kind.size
    if flat.nbytes != raw:
        raise ValueError(f"{flat.nbytes} bytes of samples, where {rows} times {count} of {dtype} are {raw}")
    if <uintptr_t>flat.start % <uintptr_t>kind.size:
        flat = flatten(bytes(flat))
    return record_of(template, time, sequence, digest, flat.start, kind, rows, count, predictions, filter)


cdef bytes record_of(
    int template, int64_t time, sequence, digest, const uint8_t* samples, RecordDtype kind, int64_t rows, int64_t count,
    bytes predictions, int filter,
):
    """Write the payload of a record of aligned samples."""
    cdef int64_t raw = rows * count * kind.size
    cdef int64_t nbytes = -1
    cdef Py_ssize_t start = HEAD_SIZE
    cdef int options = 0
    cdef bint filtered = filter == DELTA and is_integer(kind.t)
    if sequence is not None:
        options |= NUMBERED
        start += 8
    if digest is not None:
        options |= BOUND
        start += DIGEST_SIZE
    cdef bytes record = PyBytes_FromStringAndSize(NULL, start + raw + (SLACK if filtered else 0))
    cdef uint8_t* p = <uint8_t*>PyBytes_AS_STRING(record)
    if filtered:
        nbytes = filter_rows(p + start, raw, samples, kind, rows, count, predictions)
    store16(p, template)
    p[2] = NONE if nbytes < 0 else DELTA
    p[3] = <uint8_t>options
    store32(p + 4, <uint64_t>count)
    store64(p + 8, <uint64_t>time)
    if sequence is not None:
        store64(p + HEAD_SIZE, sequence)
    if digest is not None:
        memcpy(p + start - DIGEST_SIZE, <const char*>PyBytes_AS_STRING(digest), DIGEST_SIZE)
    if nbytes < 0:
        copy_little_endian(p + start, samples, raw, kind.size)
        nbytes = raw
    return record if start + nbytes == len(record) else record[:start + nbytes]


cdef int64_t filter_rows(
    uint8_t* out, int64_t room, const uint8_t* samples, RecordDtype kind, int64_t rows, int64_t count,
    bytes predictions,
) except -2:
    """Filter the rows. Returns the number of bytes written; -1 if the result would be no shorter."""
    cdef int64_t stack[ON_STACK]
    cdef void* work = stack
    cdef const uint8_t* worth_trying = NULL
    cdef int64_t nbytes
    if predictions:
        check_predictions(predictions, rows)
        worth_trying = <const uint8_t*>PyBytes_AS_STRING(predictions)
    if count > ON_STACK:
        work = malloc(count * sizeof(int64_t))
        if work == NULL:
            raise MemoryError
    if rows * count < SAMPLES_WITHOUT_GIL:
        nbytes = write_rows(kind.size, kind.is_signed, out, room, samples, rows, count, worth_trying, work)
    else:
        with nogil:
            nbytes = write_rows(kind.size, kind.is_signed, out, room, samples, rows, count, worth_trying, work)
    if count > ON_STACK:
        free(work)
    return nbytes


cdef int check_predictions(bytes predictions, int64_t rows) except -1:
    """Check that there are predictions for all rows, each from earlier rows only. Raises ValueError."""
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(predictions)
    cdef const uint8_t* end = p + len(predictions)
    cdef const uint8_t* last
    cdef int64_t row
    for row in range(rows):
        if p >= end or end - p < 1 + 3 * p[0]:
            raise ValueError(f"predictions that end before row {row}")
        last = p + 1 + 3 * p[0]
        p += 1
        while p < last:
            if p[0] >= row or p[1] >= row or (p[2] & 7) > 4 or (p[2] >> 3 & 7) > 4 or p[2] & 0x80:
                raise ValueError(f"a prediction of row {row} that no reader takes")
            p += 3
    return 0


cdef void copy_little_endian(uint8_t* to, const uint8_t* source, int64_t nbytes, int size) noexcept:
    cdef int64_t i
    if not BIG_ENDIAN_HOST or size == 1:
        memcpy(to, source, nbytes)
        return
    for i in range(nbytes):
        to[i] = source[i - i % size + size - 1 - i % size]


# --- reading ---

cpdef tuple read_record_head(FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop):
    """Read the head of a record, which is the part of the buffer from ``start`` to ``stop``.

    Returns:
        Template, filter, count, time, sequence or None, digest or None, and the offset of the samples from ``start``.

    Raises:
        InvalidDataFormat: 0x200, check 11; the head is cut short, or has undefined options.
    """
    cdef const uint8_t* p = flat.start + start
    cdef Py_ssize_t nbytes = stop - start
    cdef Py_ssize_t samples = HEAD_SIZE
    if not 0 <= start <= stop <= flat.nbytes:
        raise IndexError("a record outside its buffer")
    if nbytes < HEAD_SIZE:
        raise short_record(nbytes, HEAD_SIZE)
    cdef int options = p[3]
    if options & ~(NUMBERED | BOUND):
        raise bad_record_options(options)
    if options & NUMBERED:
        samples += 8
    if options & BOUND:
        samples += DIGEST_SIZE
    if nbytes < samples:
        raise short_record(nbytes, samples)
    return (
        load16(p),
        p[2],
        load32(p + 4),
        <int64_t>load64(p + 8),
        load64(p + HEAD_SIZE) if options & NUMBERED else None,
        PyBytes_FromStringAndSize(<const char*>p + samples - DIGEST_SIZE, DIGEST_SIZE) if options & BOUND else None,
        samples,
    )


def read_record_samples(
    FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t offset, int filter, str dtype, int64_t rows,
    int64_t count, int64_t limit, int size, bint copy,
):
    """Read the samples of a record whose head has been read.

    Args:
        flat: the buffer.
        start: offset of the record in the buffer.
        stop: end of the record in the buffer.
        offset: offset of the samples from ``start``.
        filter: filter, from the head.
        dtype: name of the dtype, from the template.
        rows: number of rows, from the template; 0 for a signal of one dimension.
        count: number of samples per row, from the head.
        limit: maximum bytes of the signal in the message that the record stands for.
        size: bytes per sample in that message.
        copy: whether the array must be writable. If not, samples without filter are a read-only view of the buffer, or
            a read-only copy if they are not aligned.

    Returns:
        The samples in native byte order, [rows, count], or [count] for 0 rows.

    Raises:
        InvalidDataFormat: 0x200, check 11; filter, size or samples are invalid.
        MessageTooLarge: 0x102, check 11; the signal is larger than ``limit``.
    """
    return samples_of(flat, start, stop, offset, filter, DTYPES[dtype], rows, count, limit, size, copy)


cdef object samples_of(
    FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t offset, int filter, RecordDtype kind, int64_t rows,
    int64_t count, int64_t limit, int size, bint copy,
):
    cdef int64_t all_rows = rows if rows else 1
    cdef int64_t nbytes = stop - start - offset
    cdef int64_t needed
    cdef Py_ssize_t[2] dims
    cdef int ndim = 2 if rows else 1
    if not 0 <= start <= start + offset <= stop <= flat.nbytes:
        raise IndexError("a record outside its buffer")
    if not (filter == NONE or (filter == DELTA and is_integer(kind.t))):
        raise bad_filter(filter, kind.dtype.name)
    if all_rows * count * size > limit:
        raise too_many_samples(all_rows, count, size, limit)
    dims[0] = rows
    dims[1 if rows else 0] = count
    if filter == DELTA:
        needed = all_rows
        if count > BLOCK + HIGHEST_ORDER:
            needed = all_rows * ((count - HIGHEST_ORDER + BLOCK - 1) // BLOCK)
        if nbytes < needed:
            raise too_few_bytes(nbytes, all_rows, count, needed, offset)
        array = new_array(kind.dtype, ndim, dims)
        unfilter(flat, start, stop, offset, kind, data_of(array), all_rows, count)
        return array
    if nbytes != all_rows * count * kind.size:
        raise wrong_size(nbytes, all_rows, count, kind.size, offset)
    array = view_of(flat, flat.start + start + offset, kind.little_endian, ndim, dims)
    if copy:
        return array.astype(kind.dtype)
    if BIG_ENDIAN_HOST or <uintptr_t>(flat.start + start + offset) % <uintptr_t>kind.size:
        array = array.astype(kind.dtype)
        array.flags.writeable = False
    return array


cdef int unfilter(
    FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t offset, RecordDtype kind, void* target,
    int64_t rows, int64_t count,
) except -1:
    cdef RowReader r
    cdef bint whole
    r.at = flat.start + start + offset
    r.end = flat.start + stop
    r.row = 0
    r.fault = <RowFault>0
    if rows * count < SAMPLES_WITHOUT_GIL:
        whole = read_rows(kind.size, kind.is_signed, &r, target, rows, count)
    else:
        with nogil:
            whole = read_rows(kind.size, kind.is_signed, &r, target, rows, count)
    if not whole:
        raise bad_row(<int>r.fault, r.row, r.at - flat.start - start)
    return 0


@cython.final
cdef class TemplateCoder:
    """Reads and writes the records of a template without ``missing`` and ``scale``, whose counts are the signal.

    Args:
        number: number of the template.
        dtype: name of the dtype.
        rows: number of leads; 0 for one dimension.
        stream: name of the stream.
        fields: the other fields of the map that a record stands for.
        copied: those of them that each map has a copy of: name, function that copies, and value.
        predictions: as ``write_record`` takes them.

    Attributes:
        nbytes: bytes of memory that it takes besides the fields.
    """

    def __init__(self, int number, str dtype, int64_t rows, str stream, dict fields, list copied, bytes predictions):
        self.number = number
        self.predictions = predictions
        self.kind = DTYPES[dtype]
        self.rows = rows
        self.map = dict(fields, stream=stream, signal=None, timestamp=None)
        self.copied = copied
        self.entries = [*fields.items()]
        self.nbytes = getsizeof(self.map) + getsizeof(self.entries) + len(fields) * getsizeof((None, None))

    cpdef dict read(
        self, FlatBuffer flat, Py_ssize_t start, Py_ssize_t stop, tuple head, Py_ssize_t limit, bint copy
    ):
        """Return the map that a record stands for, without a digest. ``head`` is that of ``read_record_head``.

        Raises as ``read_record_samples``, which says what limit and copy are.
        """
        cdef dict items
        signal = samples_of(
            flat, start, stop, head[6], head[1], self.kind, self.rows, head[2], limit, self.kind.size, copy
        )
        items = self.map.copy()
        for name, copier, value in self.copied:
            items[name] = copier(value)
        items["signal"] = signal
        items["timestamp"] = <int64_t>head[3] / 1e6
        if head[4] is not None:
            items["sequence"] = head[4]
        return items

    cpdef bytes write_map(self, data, bint delta, int64_t limit):
        """Write the payload of a record of a map in one pass; None for maps that have to be looked at more closely.

        These are maps whose fields differ from those of the template, or are neither numbers, texts, nor lists of them;
        those that ``divide_common`` does not divide; and those whose signal ``write`` does not take.
        """
        cdef RecordParts parts = RecordParts()
        cdef Py_ssize_t found = 0
        cdef int64_t time
        cdef Taken taken
        cdef str stream = self.map[STREAM]
        if type(data) is not dict:
            return None
        for key, value in (<dict>data).items():
            if type(key) is not str:
                return None
            taken = parts.take(<str>key, value, stream)
            if taken == UNUSUAL:
                return None
            if taken == NOT_OF_RECORDS:
                if found == len(self.entries) or not is_entry(<tuple>self.entries[found], <str>key, value):
                    return None
                found += 1
        if found != len(self.entries) or not parts.set_time(&time):
            return None
        return self.write(parts.signal, time, parts.sequence, delta, limit)

    cpdef bytes write(self, signal, int64_t time, sequence, bint delta, int64_t limit):
        """Write the payload of a record of an array that can be taken as it is; None for all others.

        An array can be taken if it is aligned and in C order, has the template's shape and NumPy's own object for the
        dtype, and is within the limit of bytes.
        """
        cdef Py_buffer view
        cdef Py_ssize_t[2] shape
        cdef Py_ssize_t[2] strides
        cdef int ndim = 2 if self.rows else 1
        if type(signal) is not ndarray or dtype_of(signal) is not self.kind.dtype or signal.ndim != ndim:
            return None
        describe(signal, &view, shape, strides, 2)
        if (
            (self.rows and shape[0] != self.rows) or shape[ndim - 1] > LARGEST_COUNT or view.len > limit
            or <uintptr_t>view.buf % <uintptr_t>self.kind.size or not PyBuffer_IsContiguous(&view, b"C")
        ):
            return None
        return record_of(
            self.number, time, sequence, None, <const uint8_t*>view.buf, self.kind, self.rows or 1, shape[ndim - 1],
            self.predictions, DELTA if delta else NONE,
        )


cdef bint is_entry(tuple known, str key, value):
    """Return whether an entry of a map is surely packed like one of a template."""
    return type(known[0]) is str and <str>known[0] == key and is_packed_alike(value, known[1])


cdef bint is_packed_alike(value, known):
    cdef Py_ssize_t i
    if type(value) is not type(known):
        return False
    if known is None or type(known) is bool:
        return value is known
    if type(known) is str:
        return <str>value == <str>known
    if type(known) is int:
        return value == known
    if type(known) is float:
        return memcmp(&(<PyFloatObject*>value).ob_fval, &(<PyFloatObject*>known).ob_fval, sizeof(double)) == 0
    if type(known) is not list or len(<list>value) != len(<list>known):
        return False
    for i in range(len(<list>known)):
        if not is_packed_alike((<list>value)[i], (<list>known)[i]):
            return False
    return True
