"""C declarations of ``common_frame.pyx``."""

cpdef object decode_common(buffer, Py_ssize_t max_payload, int versions, bint numeric, bint copy)
