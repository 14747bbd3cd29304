/* The number of the running process. See nonces.pyx. */
#ifndef ECGFRAME_PROCESS_ID_H
#define ECGFRAME_PROCESS_ID_H

#include <stdint.h>
#if defined(_WIN32)
#include <windows.h>
static uint64_t ecgframe_process_id(void) { return (uint64_t)GetCurrentProcessId(); }
#else
#include <unistd.h>
static uint64_t ecgframe_process_id(void) { return (uint64_t)getpid(); }
#endif

#endif
