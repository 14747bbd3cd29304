"""Viewers over TLS in a process of their own, which receive and say nothing: they cost as little as viewers can.

    python silent_viewers.py PORT CERTIFICATES VIEWERS VERSION STREAM...

It prints ``ready`` once all have subscribed to all streams, and ends with its standard input.
"""

import os
import select
import socket
import ssl
import sys

import oracle

from ecgframe.session.settings import EVERYTHING, OF_VERSION_4

NAMES = [str(one) for one in (*EVERYTHING, *OF_VERSION_4, "encryption")]


def masked(message):
    """Return a message as a WebSocket frame of a client, with a mask of zeros."""
    size = len(message)
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2, "big")
    return b"\x82" + length + bytes(4) + message


def messages(received):
    """Return the number of whole WebSocket frames of a server."""
    at = number = 0
    while at + 2 <= len(received):
        size, at = received[at + 1], at + 2
        if size == 126:
            size, at = int.from_bytes(received[at : at + 2], "big"), at + 2
        elif size == 127:
            size, at = int.from_bytes(received[at : at + 8], "big"), at + 8
        at += size
        number += at <= len(received)
    return number


def view(context, port, version, streams):
    """Open a connection, subscribe, and return its socket, from which the TLS records are to be read as they are."""
    sock = socket.create_connection(("127.0.0.1", port))
    connection = context.wrap_socket(sock, server_hostname="localhost")
    connection.sendall(
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    choice = {"version": version, "capabilities": NAMES}
    connection.sendall(masked(oracle.encode_frame(oracle.TYPES["PROTOCOL_NEGOTIATION"], choice, 1)))
    for number, stream in enumerate(streams, 1):
        request = oracle.encode_frame(oracle.TYPES["SUBSCRIBE"], {"stream": stream}, version, 0, number)
        connection.sendall(masked(request))
    received = b""
    while messages(received.partition(b"\r\n\r\n")[2]) < 1 + len(streams):  # an answer to each
        received += connection.recv(1 << 16)
    return connection


def main(port, certificates, viewers, version, *streams):
    context = ssl.create_default_context(cafile=certificates)
    poll, connections = select.epoll(), {}
    for _ in range(int(viewers)):
        connection = view(context, int(port), int(version), streams)
        connections[connection.fileno()] = connection
        poll.register(connection.fileno(), select.EPOLLIN)
    poll.register(sys.stdin.fileno(), select.EPOLLIN)
    print("ready", flush=True)
    while True:
        for descriptor, _ in poll.poll():
            if not os.read(descriptor, 1 << 20):  # past the SSL module: nobody looks at what is in the records
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
