"""Stretches without the GIL, by turns: see the .pyx. Each begins with ``give_turn`` and ends with ``await_turn``."""

cdef void give_turn() noexcept nogil
cdef void await_turn() noexcept nogil
