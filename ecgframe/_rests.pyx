"""Rests: a thread that packs or unpacks millions of Python values lets others have the GIL every few milliseconds.

Python takes the GIL from a thread after 5 ms (``sys.getswitchinterval``), but only between two bytecodes; a packer is
one call in C, and holds up all other threads for as long as the call takes. So it lets go of the GIL by itself.

Usually it takes the GIL back at once, which costs next to nothing, and every 6 ms: a thread that has waited for 5 ms by
then has asked for the GIL, and gets it. One that has not is woken for nothing and begins to count anew, so that it
would get the GIL never if this were done more often.

An event loop lets go of the GIL at each call of the system, several times a turn, and must not wait for milliseconds
each time. So a thread that works for one says so with ``work_in_background``: it rests every millisecond, and for long
enough that a thread that waits wakes up and has the GIL.
"""

cimport cython

__all__ = ["work_in_background"]

cdef extern from *:
    """
    #include <stdint.h>
    #if !defined(_WIN32)
    #include <time.h>
    #define ECGFRAME_WORK 6000000             /* nanoseconds between two rests */
    #define ECGFRAME_WORK_IN_BACKGROUND 1000000
    #define ECGFRAME_REST 20000  /* nanoseconds; with what the system adds, as long as it takes to wake up */

    static __thread int64_t ecgframe_rested_at;
    static __thread int ecgframe_is_in_background;

    static int64_t ecgframe_now(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
    }

    static int ecgframe_rest_is_due(void) {
        int64_t work = ecgframe_is_in_background ? ECGFRAME_WORK_IN_BACKGROUND : ECGFRAME_WORK;
        return ecgframe_now() - ecgframe_rested_at >= work;
    }

    static void ecgframe_rest(void) {
        struct timespec rest = {0, ECGFRAME_REST};
        if (ecgframe_is_in_background) nanosleep(&rest, NULL);
    }

    static void ecgframe_note_rest(void) {
        ecgframe_rested_at = ecgframe_now();
    }
    #else
    #include <windows.h>
    static __declspec(thread) ULONGLONG ecgframe_rested_at;  /* milliseconds, in steps of 10 to 16 */
    static __declspec(thread) int ecgframe_is_in_background;

    static int ecgframe_rest_is_due(void) {
        return ecgframe_is_in_background || GetTickCount64() != ecgframe_rested_at;
    }

    static void ecgframe_rest(void) {
        if (ecgframe_is_in_background) SwitchToThread();
    }

    static void ecgframe_note_rest(void) {
        ecgframe_rested_at = GetTickCount64();
    }
    #endif

    static void ecgframe_work_in_background(void) {
        ecgframe_is_in_background = 1;
    }
    """
    bint is_rest_due "ecgframe_rest_is_due"() noexcept nogil
    void rest "ecgframe_rest"() noexcept nogil
    void note_rest "ecgframe_note_rest"() noexcept nogil
    void set_background "ecgframe_work_in_background"() noexcept nogil


cdef void rest_if_due() noexcept:
    if is_rest_due():
        with nogil:
            rest()
        note_rest()


@cython.binding(True)    # a function without arguments has no signature otherwise
def work_in_background():
    """Have this thread work for an event loop in another one, which goes first from now on."""
    set_background()
