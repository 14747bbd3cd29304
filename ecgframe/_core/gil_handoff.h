/* Keeps threads that process large frames from sleeping while they wait for the GIL. See gil_handoff.pyx. */
#ifndef ECGFRAME_GIL_HANDOFF_H
#define ECGFRAME_GIL_HANDOFF_H

#include <Python.h>

#include <time.h>
#if (defined(__GNUC__) || defined(__clang__)) && !defined(_WIN32) && !defined(Py_GIL_DISABLED)
#define ECGFRAME_LONGEST_WAIT 5000  /* nanoseconds: longer than a thread usually has the turn */

static unsigned long ecgframe_turn;  /* the thread that has the turn; 0 if none has */

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

#endif
