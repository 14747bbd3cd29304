"""Keeps threads that process large frames from sleeping while they wait for the GIL.

Such a thread releases the GIL for the samples, and holds it only for a microsecond or two in between. If another one
requested the GIL in that time, it would be put to sleep, and waking it takes longer than most frames. So a thread that
needs the GIL again first waits here, actively, until the thread that has the turn gives it up. The wait is bounded,
because that thread may be busy with something else by now.

The turn is a hint, not a lock: the GIL still protects all data. Without a GIL, and on Windows, nothing is done.
"""

__all__ = []

cdef extern from "gil_handoff.h":
    void c_release_turn "ecgframe_give_turn"() noexcept nogil
    void c_acquire_turn "ecgframe_await_turn"() noexcept nogil


cdef void release_turn() noexcept nogil:
    """Give up the turn. To be called after releasing the GIL."""
    c_release_turn()


cdef void acquire_turn() noexcept nogil:
    """Wait for the turn, for a bounded time. To be called before requesting the GIL."""
    c_acquire_turn()
