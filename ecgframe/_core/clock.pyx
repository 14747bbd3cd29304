"""The timestamps of frames."""

cimport cython
from libc.stdint cimport uint64_t

__all__ = ["Clock"]

cdef extern from "clock.h":
    uint64_t microseconds_now "ecgframe_microseconds_now"() noexcept nogil


@cython.final
@cython.auto_pickle(False)
cdef class Clock:
    """Returns strictly increasing microseconds since the Unix epoch, so that a timestamp identifies its message."""

    @cython.critical_section
    cpdef uint64_t next(self) except? 0:
        # In one line: with a debugger or a coverage tool, other threads can run between two lines.
        self.last = stamp = max(microseconds_now(), self.last + 1)
        return stamp
