"""The C face of the frame: what the packer needs to leave room for a header and have it written."""


cdef class Header:
    cdef readonly int version
    cdef readonly object type
    cdef readonly object flags
    cdef readonly unsigned long long length
    cdef readonly unsigned long long checksum
    cdef readonly object timestamp


cdef class Draft:
    cdef bytes frame
    cdef readonly Py_ssize_t room

    @staticmethod
    cdef Draft around(bytes frame, Py_ssize_t room)
