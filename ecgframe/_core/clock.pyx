"""The time, as frames tell it."""

cimport cython
from libc.stdint cimport uint64_t

__all__ = ["Clock"]

cdef extern from "clock.h":
    uint64_t microseconds_now "ecgframe_microseconds_now"() noexcept nogil


@cython.final
@cython.auto_pickle(False)
cdef class Clock:
    """Microseconds since the Unix epoch, never the same twice: a timestamp names its message."""

    @cython.critical_section
    cpdef uint64_t next(self) except? 0:
        # In one line: a debugger or a coverage tool lets other threads in between two.
        self.last = stamp = max(microseconds_now(), self.last + 1)
        return stamp
