"""Stretches without the GIL, by turns: see the .pyx.

Each begins with ``release_turn`` and ends with ``acquire_turn``.
"""

cdef void release_turn() noexcept nogil
cdef void acquire_turn() noexcept nogil
