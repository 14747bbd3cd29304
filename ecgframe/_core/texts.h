/* Short texts of a payload, compared a word at a time. All functions read only the n bytes from p on. */
#ifndef ECGFRAME_TEXTS_H
#define ECGFRAME_TEXTS_H

#include <Python.h>

#include <stdint.h>
#include <string.h>

static inline uint64_t ecgframe_word64(const uint8_t* p) {
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

static inline uint64_t ecgframe_word32(const uint8_t* p) {
    uint32_t word;
    memcpy(&word, p, 4);
    return word;
}

/* Return a number below 2**bits for a text of at least one byte: of its length, its first bytes and its last. */
static inline Py_ssize_t ecgframe_text_slot(const uint8_t* p, Py_ssize_t n, int bits) {
    uint64_t first, last;
    if (n >= 8) {
        first = ecgframe_word64(p);
        last = ecgframe_word64(p + n - 8);
    } else if (n >= 4) {
        first = ecgframe_word32(p);
        last = ecgframe_word32(p + n - 4);
    } else {
        first = p[0] | (uint64_t)p[n / 2] << 8;
        last = p[n - 1];
    }
    first ^= (last << 29 | last >> 35) + (uint64_t)n;
    return (Py_ssize_t)((first * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - bits));
}

/* Return whether two texts of at most 32 bytes are equal: a call of memcmp takes longer than the comparison, and a loop
   has a branch that is hard to predict. */
static inline int ecgframe_same_text(const uint8_t* a, const uint8_t* b, Py_ssize_t n) {
    uint64_t other = 0;
    if (n >= 8) {
        other = (ecgframe_word64(a) ^ ecgframe_word64(b)) | (ecgframe_word64(a + n - 8) ^ ecgframe_word64(b + n - 8));
        if (n > 16) {
            other |= ecgframe_word64(a + 8) ^ ecgframe_word64(b + 8);
            other |= ecgframe_word64(a + n - 16) ^ ecgframe_word64(b + n - 16);
        }
        return !other;
    }
    if (n >= 4)
        return !((ecgframe_word32(a) ^ ecgframe_word32(b)) | (ecgframe_word32(a + n - 4) ^ ecgframe_word32(b + n - 4)));
    for (Py_ssize_t i = 0; i < n; i++) other |= a[i] ^ b[i];
    return !other;
}

/* Return whether a key, an ASCII text of at most 31 characters, stands at a place in the payload. */
static inline int ecgframe_is_key(PyObject* key, const uint8_t* at, const uint8_t* end) {
    Py_ssize_t n = PyUnicode_GET_LENGTH(key);
    return n < end - at && at[0] == (0xA0 | n) && ecgframe_same_text(PyUnicode_1BYTE_DATA(key), at + 1, n);
}

/* Return whether all of n bytes are ASCII. */
static inline int ecgframe_is_ascii(const uint8_t* p, Py_ssize_t n) {
    uint64_t bits = 0;
    Py_ssize_t i = 0;
    for (; i + 8 <= n; i += 8) bits |= ecgframe_word64(p + i);
    for (; i < n; i++) bits |= p[i];
    return !(bits & UINT64_C(0x8080808080808080));
}

#endif
