/* The filter DELTA of records: rows of integers as residuals of few bits. See record.pyx and docs/protocol.md.

   record_rows.h defines each function once per sample type. Intermediate values are int32 for samples of 8 and 16 bits,
   int64 for samples of 32 bits. Samples are aligned and in native byte order. */
#ifndef ECGFRAME_RECORD_FILTER_H
#define ECGFRAME_RECORD_FILTER_H

#include <stdint.h>
#include <string.h>

enum {
    ECGFRAME_BLOCK = 32,          /* residuals with a common width */
    ECGFRAME_WIDEST = 24,         /* maximum bits of a residual */
    ECGFRAME_LARGEST_STEP = 65535,
    ECGFRAME_ORDERS = 4,
    ECGFRAME_STEP = 1,            /* flags of a row's options */
    ECGFRAME_PREDICTION = 2,
    ECGFRAME_SLACK = 8            /* bytes after the output that a store of 8 bytes may overwrite */
};

typedef enum {
    ECGFRAME_WHOLE,
    ECGFRAME_CUT_SHORT,
    ECGFRAME_BAD_ORDER,
    ECGFRAME_BAD_WIDTH,
    ECGFRAME_BAD_OPTIONS,
    ECGFRAME_BAD_STEP,
    ECGFRAME_BAD_PREDICTION,
    ECGFRAME_SPARE_BITS,
    ECGFRAME_OUT_OF_RANGE,
    ECGFRAME_LEFT_OVER
} ecgframe_row_fault;

/* The position of a reader: the next byte, or the invalid one after a fault. */
typedef struct {
    const uint8_t* at;
    const uint8_t* end;
    int64_t row;
    ecgframe_row_fault fault;
} ecgframe_row_reader;

/* A form in which a row can be written. */
typedef struct {
    const uint8_t* prediction;    /* three bytes: row a, row b, rule; or NULL */
    int order;
    uint32_t step;                /* 1: none */
    int64_t nbytes;               /* negative: the row has no form */
} ecgframe_form;

static inline int ecgframe_bits_of(uint64_t v) {
#if defined(__GNUC__) || defined(__clang__)
    return v ? 64 - __builtin_clzll(v) : 0;
#else
    int n = 0;
    for (; v; v >>= 1) n++;
    return n;
#endif
}

static inline uint64_t ecgframe_gcd(uint64_t a, uint64_t b) {
    while (b) {
        uint64_t rest = (a | b) >> 32 ? a % b : (uint32_t)a % (uint32_t)b;
        a = b;
        b = rest;
    }
    return a;
}

static inline uint32_t ecgframe_load32(const uint8_t* p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t ecgframe_load64(const uint8_t* p) {
    return ecgframe_load32(p) | (uint64_t)ecgframe_load32(p + 4) << 32;
}

static inline void ecgframe_store64(uint8_t* p, uint64_t v) {
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* Write n values of `width` bits, lowest bit first. Overwrites up to 8 bytes after the end. */
static inline uint8_t* ecgframe_write_bits(uint8_t* out, const uint32_t* values, int n, int width) {
    uint64_t bits = 0;
    int filled = 0;
    for (int i = 0; i < n; i++) {
        bits |= (uint64_t)values[i] << filled;
        filled += width;
        if (filled >= 32) {
            ecgframe_store64(out, bits);
            out += 4;
            bits >>= 32;
            filled -= 32;
        }
    }
    ecgframe_store64(out, bits);
    return out + (filled + 7) / 8;
}

/* Check a block of n residuals and advance the reader. Returns the bytes of the block, or NULL if it is refused. Four
   bytes can be read from the first byte of any residual: near the end of the buffer, the bytes are copied. */
static inline const uint8_t* ecgframe_block_at(ecgframe_row_reader* r, uint8_t* copied, int n, int width) {
    const uint8_t* p = r->at;
    const int nbytes = (n * width + 7) / 8;
    if (r->end - p < nbytes) {
        r->fault = ECGFRAME_CUT_SHORT;
        return NULL;
    }
    if (n * width & 7 && p[nbytes - 1] >> (n * width & 7)) {
        r->at += nbytes - 1;
        r->fault = ECGFRAME_SPARE_BITS;
        return NULL;
    }
    r->at += nbytes;
    if (r->end - p >= nbytes + 4) return p;
    memcpy(copied, p, nbytes);
    memset(copied + nbytes, 0, 4);
    return copied;
}

static inline int32_t ecgframe_residual_at(const uint8_t* p, int bit, uint32_t mask) {
    const uint32_t zigzag = ecgframe_load32(p + (bit >> 3)) >> (bit & 7) & mask;
    return (int32_t)(zigzag >> 1) ^ -(int32_t)(zigzag & 1);
}

#define ECGFRAME_JOIN_(a, b) a##b
#define ECGFRAME_JOIN(a, b) ECGFRAME_JOIN_(a, b)
#define ROWS(name) ECGFRAME_JOIN(ecgframe_##name##_, SAMPLE_NAME)

#define SAMPLE_NAME i1
#define SAMPLE int8_t
#define LEAST INT8_MIN
#define MOST INT8_MAX
#define WORK int32_t
#define UNSIGNED_WORK uint32_t
#include "record_rows.h"

#define SAMPLE_NAME u1
#define SAMPLE uint8_t
#define LEAST 0
#define MOST UINT8_MAX
#define WORK int32_t
#define UNSIGNED_WORK uint32_t
#include "record_rows.h"

#define SAMPLE_NAME i2
#define SAMPLE int16_t
#define LEAST INT16_MIN
#define MOST INT16_MAX
#define WORK int32_t
#define UNSIGNED_WORK uint32_t
#include "record_rows.h"

#define SAMPLE_NAME u2
#define SAMPLE uint16_t
#define LEAST 0
#define MOST UINT16_MAX
#define WORK int32_t
#define UNSIGNED_WORK uint32_t
#include "record_rows.h"

#define SAMPLE_NAME i4
#define SAMPLE int32_t
#define LEAST INT32_MIN
#define MOST INT32_MAX
#define WORK int64_t
#define UNSIGNED_WORK uint64_t
#include "record_rows.h"

/* Dispatch on the size of the samples in bytes and their sign. */
static int64_t ecgframe_write_rows(
    int size, int is_signed,
    uint8_t* out, int64_t room, const void* samples, int64_t rows, int64_t n, const uint8_t* predictions, void* d
) {
    if (size == 4) return ecgframe_write_i4(out, room, samples, rows, n, predictions, d);
    if (size == 2) return (is_signed ? ecgframe_write_i2 : ecgframe_write_u2)(out, room, samples, rows, n, predictions, d);
    return (is_signed ? ecgframe_write_i1 : ecgframe_write_u1)(out, room, samples, rows, n, predictions, d);
}

static int ecgframe_read_rows(int size, int is_signed, ecgframe_row_reader* r, void* target, int64_t rows, int64_t n) {
    if (size == 4) return ecgframe_read_i4(r, target, rows, n);
    if (size == 2) return (is_signed ? ecgframe_read_i2 : ecgframe_read_u2)(r, target, rows, n);
    return (is_signed ? ecgframe_read_i1 : ecgframe_read_u1)(r, target, rows, n);
}

#endif
