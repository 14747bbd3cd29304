/* The number of the running process. See nonces.pyx. */
#ifndef ECGFRAME_PROCESS_ID_H
#define ECGFRAME_PROCESS_ID_H

#include <stdint.h>
#if defined(_WIN32)
#include <windows.h>
static uint64_t ecgframe_process_id(void) { return (uint64_t)GetCurrentProcessId(); }
#else
#include <sys/mman.h>
#include <unistd.h>

#if defined(MADV_WIPEONFORK) && (defined(__GNUC__) || defined(__clang__))
/* getpid is a system call, which takes as long as the cipher for a short message. So the number is kept in a page that
 * the kernel fills with zeros in a child, however it was forked. */
static uint64_t ecgframe_process_id(void) {
    static uint64_t *kept = NULL;
    static uint64_t *const none = (uint64_t *)MAP_FAILED;
    uint64_t *page = __atomic_load_n(&kept, __ATOMIC_ACQUIRE);
    if (page == NULL) {
        size_t size = (size_t)sysconf(_SC_PAGESIZE);
        page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page != none && madvise(page, size, MADV_WIPEONFORK) != 0) { /* Linux before 4.14 */
            munmap(page, size);
            page = none;
        }
        __atomic_store_n(&kept, page, __ATOMIC_RELEASE);
    }
    if (page == none) return (uint64_t)getpid();
    uint64_t id = __atomic_load_n(page, __ATOMIC_RELAXED);
    if (id == 0) {
        id = (uint64_t)getpid();
        __atomic_store_n(page, id, __ATOMIC_RELAXED);
    }
    return id;
}
#else
static uint64_t ecgframe_process_id(void) { return (uint64_t)getpid(); }
#endif
#endif

#endif
