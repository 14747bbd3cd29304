"""Conversion of MessagePack numbers to samples of an ndarray, row by row, in C loops without Python objects."""

from libc.stdint cimport int16_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from .dtypes cimport SampleType


cdef enum Fault:
    FINE
    CUT_SHORT
    NOT_A_NUMBER
    BOOL_AMONG_NUMBERS
    NUMBER_AMONG_BOOLS
    FRACTION
    OUT_OF_RANGE


cdef enum NumberKind:
    SIGNED      # in an int64
    UNSIGNED    # larger than any int64
    FLOATING
    TRUTH
    NO_NUMBER
    TRUNCATED


cdef struct Number:
    NumberKind kind
    int64_t signed
    uint64_t unsigned
    double floating


cdef struct Survey:
    # Types and range of a row of numbers, for choosing the dtype of a plain list.
    bint floating
    bint negative
    bint above_int64
    bint beyond_float64   # an integer that float64 cannot hold exactly


cdef inline double as_double(uint64_t bits) noexcept nogil:
    cdef double v
    memcpy(&v, &bits, 8)
    return v


cdef const uint8_t* read_number(const uint8_t* p, const uint8_t* end, Number* number) noexcept nogil
cdef const uint8_t* read_row(
    SampleType t, const uint8_t* p, const uint8_t* end, char* out, Py_ssize_t n, Fault* fault, Py_ssize_t* index
) noexcept nogil
cdef const uint8_t* survey_row(const uint8_t* p, const uint8_t* end, Py_ssize_t n, Survey* survey) noexcept nogil
cdef const uint8_t* skip_numbers(const uint8_t* p, const uint8_t* end, int depth) noexcept nogil
cdef const uint8_t* read_few_counts(
    const uint8_t* p, const uint8_t* end, int16_t* out, Py_ssize_t most, Py_ssize_t* rows, Py_ssize_t* columns
) noexcept nogil
cdef const uint8_t* predict_end(const uint8_t* p, const uint8_t* end, int depth) noexcept nogil
cdef const uint8_t* array_header(const uint8_t* p, const uint8_t* end, Py_ssize_t* n) noexcept nogil
