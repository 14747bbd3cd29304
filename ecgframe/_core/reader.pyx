"""Errors for invalid payloads, with the path and the offset. See the .pxd for the reader."""

from libc.stdint cimport uint8_t

from .path import path_text
from ..errors import InvalidDataFormat, MessageTooLarge
from ..protocol import MAX_DEPTH, MAX_VALUES, Check

__all__ = []

TOO_DEEP = f"more than {MAX_DEPTH} arrays and maps inside one another"


cdef int refuse(Reader* r, const uint8_t* at, why) except -1:
    path = where(r)
    raise InvalidDataFormat(
        f"{path}: {why} (payload byte {at - r.base})", check=Check.PAYLOAD, path=path, offset=at - r.base
    )


cdef int refuse_end(Reader* r, Py_ssize_t n) except -1:
    return refuse(r, r.at, f"the payload ends {n - (r.end - r.at)} bytes early")


cdef int refuse_more(Reader* r, const uint8_t* at) except -1:
    path = where(r)
    raise MessageTooLarge(
        f"{path}: more than {MAX_VALUES} values in one payload (payload byte {at - r.base})",
        check=Check.PAYLOAD, path=path, offset=at - r.base,
    )


cdef where(Reader* r):
    return path_text(keys_to(r))


cdef list keys_to(Reader* r):
    cdef int level
    return [r.index[level] if r.key[level] == NULL else <object>r.key[level] for level in range(1, r.depth + 1)]
