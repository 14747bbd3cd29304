"""Sends one message to all connections that can take it now, in one stretch and without the GIL.

A frame of a stream with a thousand viewers is the same bytes for most of them. To look at each connection in Python and
to hand the frame to its transport takes as long as the system call itself. Here, a viewer costs the system call, and
one line of the processor's cache: what decides whether its socket can be written to is in one object, the first part
of its session.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int64_t

__all__ = ["CAN_SEND_TO_ALL", "OTHER_ENCODING", "QUEUE", "Recipient", "send_to_all"]

cdef extern from "send_to_all.h":
    enum: ECGFRAME_SENDS_TO_ALL
    void c_send_to_all "ecgframe_send_to_all"(
        const int* descriptors, size_t count, const char* message, size_t nbytes, size_t* taken
    ) noexcept nogil

CAN_SEND_TO_ALL = bool(ECGFRAME_SENDS_TO_ALL)
QUEUE = -1
OTHER_ENCODING = -2

cdef enum:
    # For fewer sockets, the GIL is kept: a thread that has it meanwhile may keep it for 5 ms.
    WITHOUT_GIL_FROM = 64
    IS_TO_QUEUE = -1
    HAS_OTHER_ENCODING = -2


@cython.auto_pickle(False)
cdef class Recipient:
    """What decides whether a connection may be sent a message at once, and what was sent to it so.

    Attributes:
        descriptor: the socket, while it can be written to past its transport; otherwise -1.
        is_held: whether a task sends what waits, so that nothing else may be sent.
        has_waiting: whether something waits to be sent before.
        closing: None unless the connection is about to be closed.
        encoding: the encoding that the peer understands.
        passed: number of frames that were recorded.
    """

    cdef public int descriptor
    cdef public bint is_held
    cdef public bint has_waiting
    cdef public int64_t _room
    cdef public double _sent_at
    cdef public int64_t passed
    cdef public object closing
    cdef public object encoding

    def __cinit__(self):
        self.descriptor = -1

    def record_sent(self, int64_t nbytes, int64_t frames, double now):
        """Record that frames are sent now, without being queued.

        Args:
            nbytes: bytes of all of them.
            frames: their number.
            now: the time, in seconds.
        """
        record(self, nbytes, frames, now)


cdef inline void record(Recipient one, int64_t nbytes, int64_t frames, double now) noexcept:
    one._room -= nbytes
    one._sent_at = now
    one.passed += frames


def send_to_all(tuple recipients not None, object encoding, bytes message not None, int64_t nbytes, double now):
    """Send a message with one frame to all recipients that can take it now, and record it.

    The descriptors must not be closed meanwhile. The other threads of Python run during the system calls.

    Args:
        recipients: the connections, each of them once.
        encoding: that of the frame. It is not sent to recipients whose encoding is another object.
        message: the bytes to send, with the frame and all that is around it.
        nbytes: bytes of the frame, which are recorded.
        now: the time, in seconds.

    Returns:
        For each recipient to which not everything was sent, its index, and one number: how many bytes its socket has
        taken, if the rest is to be written to its transport; or ``QUEUE`` or ``OTHER_ENCODING``, and nothing was sent
        or recorded.
    """
    cdef Py_ssize_t count = PyTuple_GET_SIZE(recipients), ready = 0, i
    cdef size_t size = PyBytes_GET_SIZE(message)
    cdef const char* octets = PyBytes_AS_STRING(message)
    cdef list rest = []
    cdef Recipient one
    cdef size_t* taken = NULL
    cdef int* descriptors
    cdef int* indices
    if count == 0:
        return rest
    taken = <size_t*> PyMem_Malloc(count * (sizeof(size_t) + 2 * sizeof(int)))
    if taken == NULL:
        raise MemoryError
    descriptors = <int*> (taken + count)
    indices = descriptors + count
    try:
        for i in range(count):
            one = <Recipient?> <object> PyTuple_GET_ITEM(recipients, i)
            if one.encoding is not encoding:
                rest.append((i, HAS_OTHER_ENCODING))
            elif (
                one.descriptor < 0 or one.is_held or one.has_waiting or one._room < 0 or one.closing is not None
            ):
                rest.append((i, IS_TO_QUEUE))
            else:
                record(one, nbytes, 1, now)
                descriptors[ready] = one.descriptor
                indices[ready] = <int> i
                ready += 1
        if ready >= WITHOUT_GIL_FROM:
            with nogil:
                c_send_to_all(descriptors, ready, octets, size, taken)
        else:
            c_send_to_all(descriptors, ready, octets, size, taken)
        for i in range(ready):
            if taken[i] != size:
                rest.append((indices[i], taken[i]))
    finally:
        PyMem_Free(taken)
    return rest
