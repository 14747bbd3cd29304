/* The least that a server in C does for a frame: one send() for each viewer. It queues nothing, and waits for a viewer
   whose buffer is full. Arguments: bytes of the payload, and the answer to the one key of the viewers' handshakes. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 65536

static int viewers[MOST];
static int count = 0;
static unsigned char frame[70000];
static size_t frame_size;

static void make_frame(size_t payload) {
    size_t head = payload < 126 ? 2 : 4;
    frame[0] = 0x82;
    if (head == 2) {
        frame[1] = (unsigned char)payload;
    } else {
        frame[1] = 126;
        frame[2] = (unsigned char)(payload >> 8);
        frame[3] = (unsigned char)payload;
    }
    memset(frame + head, 1, payload);
    frame_size = head + payload;
}

static int open_viewer(int listener, const char *answer) {
    char request[4096], response[512];
    size_t have = 0;
    int one = 1, fd = accept(listener, NULL, NULL);
    if (fd < 0 || count == MOST)
        return -1;
    while (have < sizeof request - 1) {
        ssize_t got = recv(fd, request + have, sizeof request - 1 - have, 0);
        if (got <= 0) {
            close(fd);
            return -1;
        }
        have += (size_t)got;
        request[have] = 0;
        if (strstr(request, "\r\n\r\n"))
            break;
    }
    int size = snprintf(response, sizeof response,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: %s\r\n\r\n", answer);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (send(fd, response, (size_t)size, MSG_NOSIGNAL) != size) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    viewers[count++] = fd;
    return 0;
}

static void publish(void) {
    for (int i = 0; i < count; i++) {
        size_t done = 0;
        while (done < frame_size) {
            ssize_t sent = send(viewers[i], frame + done, frame_size - done, MSG_NOSIGNAL);
            if (sent >= 0) {
                done += (size_t)sent;
            } else if (errno == EAGAIN) {
                struct pollfd full = {viewers[i], POLLOUT, 0};
                poll(&full, 1, -1);
            } else if (errno != EINTR) {
                close(viewers[i]);
                viewers[i--] = viewers[--count];
                break;
            }
        }
    }
}

int main(int argc, char **argv) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof place;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (argc != 3 || atoi(argv[1]) < 1 || atoi(argv[1]) > 65535)
        return 2;
    make_frame((size_t)atoi(argv[1]));
    if (bind(listener, (struct sockaddr *)&place, size) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&place, &size)) {
        perror("loop");
        return 1;
    }
    printf("%d\n", ntohs(place.sin_port));
    fflush(stdout);
    for (;;) {
        struct pollfd both[2] = {{0, POLLIN, 0}, {listener, POLLIN, 0}};
        char orders[256];
        poll(both, 2, -1);
        if (both[1].revents)
            open_viewer(listener, argv[2]);
        if (both[0].revents) {
            ssize_t got = read(0, orders, sizeof orders);
            if (got <= 0)
                return 0;
            for (ssize_t i = 0; i < got; i++)
                publish();
        }
    }
}
