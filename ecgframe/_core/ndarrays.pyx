"""Makes ndarrays through NumPy's C interface: for a small array, its Python functions take five times as long.

This is the only module that is compiled against NumPy. Headers of NumPy 2 make a module that runs with 1.26, too.
"""

from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF

cimport numpy as cnp

cnp.import_array()

__all__ = []

cdef extern from "numpy/arrayobject.h":
    # Declared anew: it takes over a reference to the dtype, which NumPy's own declaration does not say.
    ctypedef struct PyArray_Descr:
        pass
    PyTypeObject PyArray_Type
    PyArray_Descr* PyArray_DESCR(cnp.ndarray array)
    object PyArray_NewFromDescr(
        PyTypeObject* subtype, PyArray_Descr* dtype, int ndim, const cnp.npy_intp* dims, const cnp.npy_intp* strides,
        void* data, int flags, PyObject* obj,
    )


cdef object new_array(object dtype, int ndim, const Py_ssize_t* dims):
    """Return a new array in C order, whose samples are not set yet."""
    Py_INCREF(dtype)
    return PyArray_NewFromDescr(&PyArray_Type, <PyArray_Descr*>dtype, ndim, <cnp.npy_intp*>dims, NULL, NULL, 0, NULL)


cdef object view_of(object owner, const void* start, object dtype, int ndim, const Py_ssize_t* dims):
    """Return a read-only array over the samples at ``start``, in C order, aligned or not, which keeps the owner alive.

    It can be made writable only if the owner exports a writable buffer.
    """
    Py_INCREF(dtype)
    array = PyArray_NewFromDescr(
        &PyArray_Type, <PyArray_Descr*>dtype, ndim, <cnp.npy_intp*>dims, NULL, <void*>start, 0, NULL
    )
    cnp.set_array_base(array, owner)
    return array


cdef int describe(
    object array, Py_buffer* view, Py_ssize_t* shape, Py_ssize_t* strides, Py_ssize_t most_dimensions
) except -1:
    """Fill the view with what the buffer protocol says of an array, except the format. Nothing has to be released.

    ``shape`` and ``strides`` are copies, so they do not change while the GIL is released. An array of more than
    ``most_dimensions`` gives a RuntimeError.
    """
    cdef cnp.ndarray source = <cnp.ndarray>array
    cdef int i
    view.ndim = cnp.PyArray_NDIM(source)
    if view.ndim > most_dimensions:
        raise RuntimeError(f"an array of {view.ndim} dimensions where at most {most_dimensions} were counted")
    for i in range(view.ndim):
        shape[i] = cnp.PyArray_DIM(source, i)
        strides[i] = cnp.PyArray_STRIDE(source, i)
    view.buf = cnp.PyArray_DATA(source)
    view.itemsize = cnp.PyArray_ITEMSIZE(source)
    view.len = cnp.PyArray_NBYTES(source)
    view.shape = shape
    view.strides = strides
    view.suboffsets = NULL
    return 0


cdef object dtype_of(object array):
    """Return the dtype of an array."""
    return <object>PyArray_DESCR(<cnp.ndarray>array)


cdef void* data_of(object array) noexcept:
    """Return where the samples of an array begin."""
    return cnp.PyArray_DATA(<cnp.ndarray>array)


cdef int ndim_of(object value) noexcept:
    """Return the number of dimensions of an ndarray, but not of an instance of a subclass; -1 for anything else."""
    return cnp.PyArray_NDIM(<cnp.ndarray>value) if cnp.PyArray_CheckExact(value) else -1


cdef char kind_of(object array) noexcept:
    """Return the kind of the dtype of an array, as NumPy has it."""
    return (<cnp.dtype>PyArray_DESCR(<cnp.ndarray>array)).kind


cdef Py_ssize_t length_of(object array) noexcept:
    """Return the first dimension of an array that has one."""
    return cnp.PyArray_DIM(<cnp.ndarray>array, 0)
