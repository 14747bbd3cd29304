"""Whose turn it is with the GIL, among the threads that let go of it for large frames.

Between two such stretches a thread has the GIL for a microsecond or two. Another one that wants it then is put to
sleep, and to be woken takes longer than most frames. So who comes back waits here first, awake, until the turn is
given; for a bounded time, since its owner may be busy with something else by now.

It is advice and no lock: what has to be safe, the GIL makes safe. Without a GIL, and on Windows, it does nothing.
"""

__all__ = []

cdef extern from *:
    """
    #include <time.h>
    #if (defined(__GNUC__) || defined(__clang__)) && !defined(_WIN32) && !defined(Py_GIL_DISABLED)
    #define ECGFRAME_LONGEST_WAIT 5000  /* nanoseconds: more than a turn usually takes */

    static unsigned long ecgframe_turn;  /* the thread whose it is; 0 for nobody */

    static int64_t ecgframe_nanoseconds(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
    }

    static int ecgframe_take_turn(unsigned long me) {
        unsigned long nobody = 0;
        return __atomic_compare_exchange_n(&ecgframe_turn, &nobody, me, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }

    static void ecgframe_give_turn(void) {
        unsigned long me = PyThread_get_thread_ident();
        __atomic_compare_exchange_n(&ecgframe_turn, &me, 0, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }

    static void ecgframe_await_turn(void) {
        unsigned long me = PyThread_get_thread_ident();
        int64_t end;
        if (ecgframe_take_turn(me)) return;
        end = ecgframe_nanoseconds() + ECGFRAME_LONGEST_WAIT;
        while (!ecgframe_take_turn(me)) {
            if (ecgframe_nanoseconds() > end) {
                __atomic_store_n(&ecgframe_turn, me, __ATOMIC_RELAXED);
                return;
            }
        }
    }
    #else
    static void ecgframe_give_turn(void) {}
    static void ecgframe_await_turn(void) {}
    #endif
    """
    void c_give_turn "ecgframe_give_turn"() noexcept nogil
    void c_await_turn "ecgframe_await_turn"() noexcept nogil


cdef void give_turn() noexcept nogil:
    """At the start of a stretch without the GIL."""
    c_give_turn()


cdef void await_turn() noexcept nogil:
    """At its end, before the GIL is taken back."""
    c_await_turn()
