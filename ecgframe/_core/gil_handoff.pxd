"""Turns of threads that release the GIL for large frames: see the .pyx.

A section without the GIL begins with ``release_turn`` and ends with ``acquire_turn``.
"""

cdef void release_turn() noexcept nogil
cdef void acquire_turn() noexcept nogil
