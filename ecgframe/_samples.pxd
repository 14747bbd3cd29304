"""Samples between an ndarray's memory and MessagePack numbers: tight C loops, a row at a time, no Python object."""

from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef enum SampleType:
    BOOL
    INT8
    INT16
    INT32
    INT64
    UINT8
    UINT16
    UINT32
    UINT64
    FLOAT16
    FLOAT32
    FLOAT64
    SAMPLE_TYPES
    NO_SAMPLE_TYPE = -1


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
    UNSIGNED    # above the largest int64
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
    # What a row of numbers holds, for choosing the dtype of a plain list.
    bint floating
    bint negative
    bint above_int64
    bint beyond_float64   # an integer that float64 cannot hold exactly


cdef Py_ssize_t item_size(SampleType t) noexcept nogil
cdef SampleType sample_type(char kind, Py_ssize_t itemsize) noexcept nogil
cdef bint is_integer(SampleType t) noexcept nogil

cdef Py_ssize_t row_size(SampleType t, bint swapped, const char* p, Py_ssize_t n, Py_ssize_t stride) noexcept nogil
cdef uint8_t* write_row(
    SampleType t, bint swapped, uint8_t* out, const uint8_t* end, const char* p, Py_ssize_t n, Py_ssize_t stride
) noexcept nogil

cdef const uint8_t* read_number(const uint8_t* p, const uint8_t* end, Number* number) noexcept nogil
cdef const uint8_t* read_row(
    SampleType t, const uint8_t* p, const uint8_t* end, char* out, Py_ssize_t n, Fault* fault, Py_ssize_t* index
) noexcept nogil
cdef const uint8_t* survey_row(const uint8_t* p, const uint8_t* end, Py_ssize_t n, Survey* survey) noexcept nogil
cdef const uint8_t* skip_numbers(const uint8_t* p, const uint8_t* end, int depth) noexcept nogil
cdef const uint8_t* predict_end(const uint8_t* p, const uint8_t* end, int depth) noexcept nogil
cdef const uint8_t* array_header(const uint8_t* p, const uint8_t* end, Py_ssize_t* n) noexcept nogil
