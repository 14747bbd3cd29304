"""Whose turn it is with the GIL, among the threads that let go of it for large frames.

Between two such stretches a thread has the GIL for a microsecond or two. Another one that wants it then is put to
sleep, and to be woken takes longer than most frames. So who comes back waits here first, awake, until the turn is
given; for a bounded time, since its owner may be busy with something else by now.

It is advice and no lock: what has to be safe, the GIL makes safe. Without a GIL, and on Windows, it does nothing.
"""

__all__ = []

cdef extern from "gil_handoff.h":
    void c_release_turn "ecgframe_give_turn"() noexcept nogil
    void c_acquire_turn "ecgframe_await_turn"() noexcept nogil


cdef void release_turn() noexcept nogil:
    """At the start of a stretch without the GIL."""
    c_release_turn()


cdef void acquire_turn() noexcept nogil:
    """At its end, before the GIL is taken back."""
    c_acquire_turn()
