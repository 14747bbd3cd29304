"""Long calls that hold the GIL release it every few milliseconds: see the .pyx."""

cdef enum:
    VALUES_BETWEEN_CHECKS = 1024  # packing the fastest values takes 10 microseconds


# Release the GIL if this thread has held it for some milliseconds. Other threads may then change the objects that this
# one is working on.
cdef void yield_if_due() noexcept


cdef inline int count_values(Py_ssize_t* left, Py_ssize_t n) noexcept:
    """Count n values that were packed or unpacked, release the GIL if it is due. ``left`` may start anywhere."""
    left[0] -= n
    if left[0] < 0:
        left[0] = VALUES_BETWEEN_CHECKS
        yield_if_due()
    return 0
