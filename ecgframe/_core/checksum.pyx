"""CRC-32 (ISO-HDLC, as in zlib), computed by the fastest kernel in ``crc32.h`` that the processor can run."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy


__all__ = []

cdef enum:
    SUM_WITHOUT_GIL = 131072     # fewer bytes are summed before another thread could take the GIL

cdef extern from "crc32.h":
    ctypedef uint32_t (*Crc32 "ecgframe_crc32_function")(uint32_t checksum, const uint8_t* p, size_t n) noexcept nogil

    ctypedef struct Kernel "ecgframe_crc32_kernel":
        const char* name
        Crc32 function
        bint (*runs_here)() noexcept nogil

    enum:
        KERNELS "ECGFRAME_CRC32_KERNELS"
        POWERS "ECGFRAME_CRC32_POWERS"

    const Kernel* kernels "ecgframe_crc32_kernels"
    const uint64_t* division "ecgframe_crc32_division"
    uint64_t power_at "ecgframe_crc32_power"(Py_ssize_t d) noexcept nogil
    void prepare "ecgframe_crc32_prepare"() noexcept nogil


cdef int fastest_kernel() noexcept nogil:
    """Return the first kernel that the processor can run. The last one runs on all processors."""
    cdef int i
    for i in range(KERNELS - 1):
        if kernels[i].runs_here():
            return i
    return KERNELS - 1


prepare()
cdef Crc32 crc32_in_c = kernels[fastest_kernel()].function


cdef uint32_t checksum_of(const uint8_t* p, Py_ssize_t n) noexcept:
    return extend(0, p, n)


cdef uint32_t complete(Sum* sum, const uint8_t* p, Py_ssize_t n) noexcept:
    return extend(sum.checksum, p + sum.nbytes, n - sum.nbytes)


cdef void sum_up(Sum* sum, const uint8_t* p, Py_ssize_t n) noexcept nogil:
    if sum != NULL:
        sum.checksum = crc32_in_c(sum.checksum, p + sum.nbytes, n - sum.nbytes)
        sum.nbytes = n


cdef void copy_and_sum(uint8_t* to, const void* source, Py_ssize_t n, Sum* sum, const uint8_t* payload) noexcept:
    """Copy and sum in one section without the GIL: acquiring it again may take longer than a copy or a sum."""
    if n >= COPY_WITHOUT_GIL:
        with nogil:
            memcpy(to, source, n)
            sum_up(sum, payload, to + n - payload)
    elif n:
        memcpy(to, source, n)


cdef uint32_t extend(uint32_t checksum, const uint8_t* p, Py_ssize_t n) noexcept:
    if n < SUM_WITHOUT_GIL:
        return crc32_in_c(checksum, p, n)
    with nogil:
        checksum = crc32_in_c(checksum, p, n)
    return checksum


# --- kernels, for tests and reports ---

@cython.binding(True)
def kernel_names():
    """Return the names of the kernels that this processor can run, the fastest first. The first is used."""
    return [kernels[i].name.decode() for i in range(KERNELS) if kernels[i].runs_here()]


def crc32_by(str kernel, buffer, uint32_t checksum=0):
    """Continue a CRC-32 over the bytes of a buffer with the named kernel.

    Raises:
        ValueError: this processor has no kernel of that name.
    """
    cdef Py_buffer flat
    cdef int i
    for i in range(KERNELS):
        if kernels[i].name == kernel.encode() and kernels[i].runs_here():
            PyObject_GetBuffer(buffer, &flat, PyBUF_SIMPLE)
            checksum = kernels[i].function(checksum, <const uint8_t*>flat.buf, flat.len)
            PyBuffer_Release(&flat)
            return checksum
    raise ValueError(f"the kernel {kernel!r} is none of {kernel_names()}")


@cython.binding(True)
def constants():
    """Return the constants of the kernels: x^(8d + 31) for d from -64 on; the polynomial's inverse; the polynomial."""
    return {d: power_at(d) for d in range(-64, POWERS - 64)}, division[0], division[1]
