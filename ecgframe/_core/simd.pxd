"""Conversion of many samples at a time by vector instructions, for floats and for ADC counts.

Each function returns the number of converted samples. The loops that call them convert the others, or all samples on
processors without the instructions. ECGFRAME_PORTABLE_LOOPS excludes these functions.
"""

from libc.stdint cimport int16_t, uint8_t, uint64_t

cdef extern from "simd.h":
    bint fill_permutations "ecgframe_fill_permutations"() noexcept
    Py_ssize_t write_permuted "ecgframe_write_permuted"(
        uint8_t* out, const char* p, Py_ssize_t n, int size, uint8_t tag
    ) noexcept nogil
    Py_ssize_t read_permuted "ecgframe_read_permuted"(
        const uint8_t* p, char* out, Py_ssize_t n, int size, uint8_t tag
    ) noexcept nogil


cdef extern from "simd.h":
    Py_ssize_t write_with_one_store "ecgframe_write_with_one_store"(
        uint8_t* out, const char* p, Py_ssize_t n
    ) noexcept nogil


cdef extern from "simd.h":
    bint compresses "ecgframe_compresses"() noexcept
    Py_ssize_t size_counts "ecgframe_size_counts"(
        const char* p, Py_ssize_t n, int size, bint is_signed, Py_ssize_t* nbytes
    ) noexcept nogil
    const uint8_t* skip_counts "ecgframe_skip_counts"(
        const uint8_t* p, const uint8_t* end, Py_ssize_t* n
    ) noexcept nogil
    Py_ssize_t read_counts "ecgframe_read_counts"(
        const uint8_t** source, const uint8_t* end, char* out, Py_ssize_t n, int size, bint is_signed
    ) noexcept nogil
    const uint8_t* read_small_counts "ecgframe_read_small_counts"(
        const uint8_t* p, const uint8_t* end, int16_t* out, Py_ssize_t most, Py_ssize_t* rows, Py_ssize_t* columns
    ) noexcept nogil
    Py_ssize_t write_counts "ecgframe_write_counts"(
        uint8_t** out, const uint8_t* end, const char* p, Py_ssize_t n, int size, bint is_signed
    ) noexcept nogil
