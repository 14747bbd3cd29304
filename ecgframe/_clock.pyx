"""The time, as frames tell it."""

cimport cython
from libc.stdint cimport uint64_t

__all__ = ["Clock"]

cdef extern from *:
    """
    #include <stdint.h>
    #if defined(_WIN32)
    #include <windows.h>
    static uint64_t ecgframe_microseconds_now(void) {
        FILETIME since_1601;  /* in units of 100 ns */
        GetSystemTimePreciseAsFileTime(&since_1601);
        uint64_t units = ((uint64_t)since_1601.dwHighDateTime << 32) | since_1601.dwLowDateTime;
        return units / 10 - UINT64_C(11644473600000000);
    }
    #else
    #include <time.h>
    static uint64_t ecgframe_microseconds_now(void) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    }
    #endif
    """
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
