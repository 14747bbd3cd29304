/* The current time in microseconds since the Unix epoch. See clock.pyx. */
#ifndef ECGFRAME_CLOCK_H
#define ECGFRAME_CLOCK_H

#include <Python.h>

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

#endif
