/* Sends one message to many sockets. See send_to_all.pyx. */
#ifndef ECGFRAME_SEND_TO_ALL_H
#define ECGFRAME_SEND_TO_ALL_H

#include <stddef.h>
#include <stdint.h>

#if !defined(_WIN32)
#include <errno.h>
#include <sys/socket.h>
#include <sys/types.h>
#endif

#if !defined(_WIN32) && defined(MSG_DONTWAIT)
#define ECGFRAME_SENDS_TO_ALL 1
#else
#define ECGFRAME_SENDS_TO_ALL 0
#endif

/* Passes the message to each socket, as far as it takes it without waiting. Stores how many bytes each has taken; 0 for
 * those that could not take any, whatever the reason: the caller's own way to write finds it once more. */
static void ecgframe_send_to_all(const int *descriptors, size_t count, const char *message, size_t nbytes,
                                 size_t *taken) {
#if ECGFRAME_SENDS_TO_ALL
#if defined(MSG_NOSIGNAL)
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
#else
    const int flags = MSG_DONTWAIT; /* Python ignores SIGPIPE */
#endif
    for (size_t i = 0; i < count; i++) {
        ssize_t sent;
        do {
            sent = send(descriptors[i], message, nbytes, flags);
        } while (sent < 0 && errno == EINTR);
        taken[i] = sent < 0 ? 0 : (size_t)sent;
    }
#else
    (void)descriptors, (void)message, (void)nbytes;
    for (size_t i = 0; i < count; i++) taken[i] = 0;
#endif
}

#endif
