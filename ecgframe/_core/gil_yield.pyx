"""Releases the GIL every few milliseconds while a thread packs or unpacks millions of Python values.

Python takes the GIL from a thread after 5 ms (``sys.getswitchinterval``), but only between two bytecodes. Packing and
unpacking are one call in C, during which no other thread can run. So the call releases the GIL itself.

By default, it does so every 6 ms, and requests the GIL again at once, which costs almost nothing. A thread that has
waited for 5 ms by then has requested the GIL, and gets it. A thread that has waited for less is woken without getting
the GIL, and its 5 ms start again: if the GIL were released more often, such a thread would never get it.

An event loop releases the GIL at each system call, several times per iteration, and must not wait for milliseconds each
time. So a thread that works for an event loop calls ``work_in_background``: from then on it releases the GIL every
millisecond, for long enough that a waiting thread wakes up and takes it.
"""

cimport cython

__all__ = ["work_in_background"]

cdef extern from "gil_yield.h":
    bint is_yield_due "ecgframe_yield_is_due"() noexcept nogil
    void sleep_if_in_background "ecgframe_sleep_if_in_background"() noexcept nogil
    void note_yield "ecgframe_note_yield"() noexcept nogil
    void set_background "ecgframe_work_in_background"() noexcept nogil


cdef void yield_if_due() noexcept:
    if is_yield_due():
        with nogil:
            sleep_if_in_background()
        note_yield()


@cython.binding(True)    # a function without arguments has no signature otherwise
def work_in_background():
    """Mark this thread as one that works for an event loop in another thread, which has priority from now on."""
    set_background()
