"""Rests: a thread that packs or unpacks millions of Python values lets others have the GIL every few milliseconds.

Python takes the GIL from a thread after 5 ms (``sys.getswitchinterval``), but only between two bytecodes; a packer is
one call in C, and holds up all other threads for as long as the call takes. So it lets go of the GIL by itself.

Usually it takes the GIL back at once, which costs next to nothing, and every 6 ms: a thread that has waited for 5 ms by
then has asked for the GIL, and gets it. One that has not is woken for nothing and begins to count anew, so that it
would get the GIL never if this were done more often.

An event loop lets go of the GIL at each call of the system, several times a turn, and must not wait for milliseconds
each time. So a thread that works for one says so with ``work_in_background``: it rests every millisecond, and for long
enough that a thread that waits wakes up and has the GIL.
"""

cimport cython

__all__ = ["work_in_background"]

cdef extern from "gil_yield.h":
    bint is_rest_due "ecgframe_rest_is_due"() noexcept nogil
    void rest "ecgframe_rest"() noexcept nogil
    void note_rest "ecgframe_note_rest"() noexcept nogil
    void set_background "ecgframe_work_in_background"() noexcept nogil


cdef void yield_if_due() noexcept:
    if is_rest_due():
        with nogil:
            rest()
        note_rest()


@cython.binding(True)    # a function without arguments has no signature otherwise
def work_in_background():
    """Have this thread work for an event loop in another one, which goes first from now on."""
    set_background()
