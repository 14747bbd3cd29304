"""Work that holds the GIL for long lets other threads have it now and then: see the .pyx."""

cdef enum:
    VALUES_BETWEEN_LOOKS = 1024  # 10 microseconds of the values that are packed fastest


# Let other threads have the GIL if this one has worked for milliseconds since it last did. What it works on may have
# changed then, as it may wherever Python code runs.
cdef void yield_if_due() noexcept


cdef inline int count_values(Py_ssize_t* left, Py_ssize_t n) noexcept:
    """Count n values that were packed or unpacked, and rest now and then. Starts with any number in ``left``."""
    left[0] -= n
    if left[0] < 0:
        left[0] = VALUES_BETWEEN_LOOKS
        yield_if_due()
    return 0
