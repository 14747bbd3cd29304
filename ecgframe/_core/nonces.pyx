"""The nonces of sealed payloads: each is taken once, in the process that drew the sender."""

cimport cython
from cpython.buffer cimport PyBUF_WRITE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

__all__ = ["NonceCounter", "count_fork"]

cdef extern from "process_id.h":
    uint64_t process_id "ecgframe_process_id"() noexcept nogil

cdef uint64_t forks = 0


@cython.binding(True)
def count_fork():
    """End all counters of this process: it is the child of a fork, and its parent has the same ones."""
    global forks
    forks += 1


@cython.final
@cython.auto_pickle(False)
cdef class NonceCounter:
    """Counts the messages of one sender, and gives each its nonce and additional data.

    Args:
        head: key id and sender, 12 bytes.
        iv: the derived IV, 12 bytes.
        messages: number of messages after which the sender has ended.
        nbytes: number of bytes after which it has.
    """

    cdef uint8_t head[12]
    cdef uint8_t iv[12]
    cdef uint64_t messages
    cdef uint64_t nbytes
    cdef uint64_t process
    cdef uint64_t forks
    cdef uint32_t counter

    def __cinit__(self, bytes head, bytes iv, uint64_t messages, uint64_t nbytes):
        if len(head) != 12 or len(iv) != 12:
            raise ValueError("head and iv have 12 bytes each")
        memcpy(self.head, PyBytes_AS_STRING(head), 12)
        memcpy(self.iv, PyBytes_AS_STRING(iv), 12)
        self.messages = messages if messages < (1 << 24) else (1 << 24)
        self.nbytes = nbytes
        self.process = process_id()
        self.forks = forks
        self.counter = 0

    cpdef tuple take(self, uint8_t type, uint8_t flags, uint8_t form, uint64_t nbytes):
        """Take the next counter, for a message of so many bytes.

        Returns:
            The additional data, 19 bytes of which the last 16 are the prefix of the sealed payload, and the nonce; or
            None if the sender has ended, or was drawn in another process.
        """
        cdef uint64_t counter
        if not self.count(nbytes, &counter):
            return None
        cdef bytes associated = PyBytes_FromStringAndSize(NULL, 19)
        cdef bytes nonce = PyBytes_FromStringAndSize(NULL, 12)
        cdef uint8_t* out = <uint8_t*> PyBytes_AS_STRING(associated)
        cdef uint8_t* mixed = <uint8_t*> PyBytes_AS_STRING(nonce)
        cdef int i
        cdef uint8_t octet
        out[0] = type
        out[1] = flags
        out[2] = form
        memcpy(out + 3, self.head, 12)
        memcpy(mixed, self.iv, 12)
        for i in range(4):
            octet = (counter >> (24 - 8 * i)) & 0xFF
            out[15 + i] = octet
            mixed[8 + i] ^= octet
        return associated, nonce

    def seal(self, encrypt, payload, uint8_t type, uint8_t flags, uint8_t form, uint64_t nbytes):
        """Take the next counter and encrypt a payload of so many bytes: ``encrypt(nonce, payload, associated data)``.

        Returns:
            The prefix, 16 bytes, and what ``encrypt`` returns, bytes; or None where ``take`` does.
        """
        cdef tuple taken = self.take(type, flags, form, nbytes)
        if taken is None:
            return None
        cdef bytes text = encrypt(taken[1], payload, taken[0])
        cdef Py_ssize_t size = len(text)
        cdef bytes sealed = PyBytes_FromStringAndSize(NULL, 16 + size)
        memcpy(PyBytes_AS_STRING(sealed), PyBytes_AS_STRING(<bytes> taken[0]) + 3, 16)
        memcpy(PyBytes_AS_STRING(sealed) + 16, PyBytes_AS_STRING(text), size)
        return sealed

    def seal_into(self, encrypt_into, payload, uint8_t type, uint8_t flags, uint8_t form, uint64_t nbytes):
        """Do the same where the cipher writes in place: ``encrypt_into(nonce, payload, associated data, buffer)``.

        Without a copy, which takes longer than the buffer of a large payload.
        """
        cdef tuple taken = self.take(type, flags, form, nbytes)
        if taken is None:
            return None
        cdef bytes sealed = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> nbytes + 32)
        memcpy(PyBytes_AS_STRING(sealed), PyBytes_AS_STRING(<bytes> taken[0]) + 3, 16)
        # Nobody else has seen these bytes yet, so they may still be written.
        view = PyMemoryView_FromMemory(PyBytes_AS_STRING(sealed) + 16, <Py_ssize_t> nbytes + 16, PyBUF_WRITE)
        try:
            written = encrypt_into(taken[1], payload, taken[0], view)
        finally:
            view.release()
        if written != nbytes + 16:
            raise RuntimeError(f"the cipher has written {written} bytes, not {nbytes + 16}")
        return sealed

    @cython.critical_section
    cdef bint count(self, uint64_t nbytes, uint64_t* counter) noexcept:
        """Take the counter, before anything else happens: nothing in here lets another thread run."""
        if self.forks != forks or self.process != process_id():
            return False
        if self.counter >= self.messages or nbytes > self.nbytes:
            return False
        counter[0] = self.counter
        self.counter += 1
        self.nbytes -= nbytes
        return True
