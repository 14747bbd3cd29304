"""The types of samples in the memory of an ndarray. Inline, for the loops that write and read samples."""


cdef enum SampleType:
    BOOL
    INT8
    INT16
    INT32
    INT64
    UINT8
    UINT16
    UINT32
    UINT64
    FLOAT16
    FLOAT32
    FLOAT64
    SAMPLE_TYPES
    NO_SAMPLE_TYPE = -1


cdef inline Py_ssize_t item_size(SampleType t) noexcept nogil:
    if t in (BOOL, INT8, UINT8):
        return 1
    if t in (INT16, UINT16, FLOAT16):
        return 2
    if t in (INT32, UINT32, FLOAT32):
        return 4
    return 8


cdef inline SampleType sample_type(char kind, Py_ssize_t itemsize) noexcept nogil:
    """Return the type of samples whose dtype has this ``kind``, as in NumPy, and this size."""
    if kind == c"b":
        return BOOL
    if kind == c"i":
        return integer_type(itemsize, INT8)
    if kind == c"u":
        return integer_type(itemsize, UINT8)
    return floating_type(itemsize) if kind == c"f" else NO_SAMPLE_TYPE


cdef inline SampleType integer_type(Py_ssize_t itemsize, SampleType narrowest) noexcept nogil:
    """Return the integer type of this size, beginning with INT8 or UINT8."""
    if itemsize == 1:
        return narrowest
    if itemsize == 2:
        return <SampleType>(<int>narrowest + 1)
    if itemsize == 4:
        return <SampleType>(<int>narrowest + 2)
    return <SampleType>(<int>narrowest + 3) if itemsize == 8 else NO_SAMPLE_TYPE


cdef inline SampleType floating_type(Py_ssize_t itemsize) noexcept nogil:
    if itemsize == 2:
        return FLOAT16
    if itemsize == 4:
        return FLOAT32
    return FLOAT64 if itemsize == 8 else NO_SAMPLE_TYPE


cdef inline bint is_integer(SampleType t) noexcept nogil:
    return is_signed(t) or t in (UINT8, UINT16, UINT32, UINT64)


cdef inline bint is_signed(SampleType t) noexcept nogil:
    return t in (INT8, INT16, INT32, INT64)
