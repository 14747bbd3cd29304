"""C declarations of ``clock.pyx``."""

from libc.stdint cimport uint64_t


cdef class Clock:
    cdef uint64_t last

    cpdef uint64_t next(self) except? 0
