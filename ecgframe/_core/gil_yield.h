/* Releases the GIL every few milliseconds while a thread packs or unpacks millions of values. See gil_yield.pyx. */
#ifndef ECGFRAME_GIL_YIELD_H
#define ECGFRAME_GIL_YIELD_H

#include <Python.h>

#include <stdint.h>
#if !defined(_WIN32)
#include <time.h>
#define ECGFRAME_WORK 6000000             /* nanoseconds after which the GIL is released */
#define ECGFRAME_WORK_IN_BACKGROUND 1000000
#define ECGFRAME_SLEEP 150000  /* nanoseconds: longer than a thread takes to wake up, on virtual machines too */

static __thread int64_t ecgframe_yielded_at;
static __thread int ecgframe_is_in_background;

static int64_t ecgframe_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int ecgframe_yield_is_due(void) {
    int64_t work = ecgframe_is_in_background ? ECGFRAME_WORK_IN_BACKGROUND : ECGFRAME_WORK;
    return ecgframe_now() - ecgframe_yielded_at >= work;
}

static void ecgframe_sleep_if_in_background(void) {
    struct timespec duration = {0, ECGFRAME_SLEEP};
    if (ecgframe_is_in_background) nanosleep(&duration, NULL);
}

static void ecgframe_note_yield(void) {
    ecgframe_yielded_at = ecgframe_now();
}
#else
#include <windows.h>
static __declspec(thread) ULONGLONG ecgframe_yielded_at;  /* milliseconds, in steps of 10 to 16 */
static __declspec(thread) int ecgframe_is_in_background;

static int ecgframe_yield_is_due(void) {
    return ecgframe_is_in_background || GetTickCount64() != ecgframe_yielded_at;
}

static void ecgframe_sleep_if_in_background(void) {
    if (ecgframe_is_in_background) SwitchToThread();
}

static void ecgframe_note_yield(void) {
    ecgframe_yielded_at = GetTickCount64();
}
#endif

static void ecgframe_work_in_background(void) {
    ecgframe_is_in_background = 1;
}

#endif
