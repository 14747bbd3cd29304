"""Makes ndarrays through NumPy's C interface: see the .pyx."""

cdef object new_array(object dtype, int ndim, const Py_ssize_t* dims)
cdef object view_of(object owner, const void* start, object dtype, int ndim, const Py_ssize_t* dims)
cdef void* data_of(object array) noexcept
cdef object dtype_of(object array)
cdef int ndim_of(object value) noexcept
cdef char kind_of(object array) noexcept
cdef Py_ssize_t length_of(object array) noexcept
cdef int describe(
    object array, Py_buffer* view, Py_ssize_t* shape, Py_ssize_t* strides, Py_ssize_t most_dimensions
) except -1
