/* CRC-32 (ISO-HDLC, as in zlib, gzip and PNG) by the fastest kernel that the processor can run.

   Each kernel is a function of (checksum so far, bytes, count) with the same results as crc32() of zlib. The only
   constant in the source is the polynomial P; ecgframe_crc32_prepare() computes all others from it, once.

   The arithmetic: bytes are polynomials over GF(2), and the first bit of the first byte is the highest coefficient. In
   a register of N bits loaded from memory, lowest bit first, bit m therefore is the coefficient of x^(N-1-m). Let M be
   a message, and v one of its blocks of 16 bytes, with d bytes between its end and the end of M. Then M is the sum of
   all v * x^(8d), and the checksum is M * x^32 mod P. With H and L the two halves of v,
       v * x^(8d) * x^32  =  H * x^(8d + 96)  +  L * x^(8d + 32)       (mod P)
   Each power, taken mod P, has 32 bits. A carry-less product of 64 by 32 bits has at most 96 bits. The products of all
   blocks are added in one register, which is divided by P at the end. Each stored power lacks one factor x, because
   the product of two reflected numbers of 64 and 32 bits is one bit shorter than 96. d may be negative, since x has an
   inverse mod P: a short block at the end is read with zeros after it, as if the message were longer. A message of up
   to some hundred bytes takes one load, two products and two additions for each block, independent of each other, and
   one division.
   A longer message is folded first: v * x^(8f) is added to the block f bytes after v, until few blocks are left. */

#ifndef ECGFRAME_CRC32_H
#define ECGFRAME_CRC32_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ECGFRAME_CRC32_POLYNOMIAL 0xEDB88320U  /* reflected: bit i is the coefficient of x^(31-i); without x^32 */

typedef uint32_t (*ecgframe_crc32_function)(uint32_t checksum, const uint8_t* p, size_t n);

typedef struct {
    const char* name;
    ecgframe_crc32_function function;
    int (*runs_here)(void);
} ecgframe_crc32_kernel;

#if defined(_MSC_VER) && !defined(__clang__)
#define ECGFRAME_CRC32_ALIGN(bytes) __declspec(align(bytes))
#define ECGFRAME_CRC32_INLINE static __forceinline
#elif defined(__GNUC__)
#define ECGFRAME_CRC32_ALIGN(bytes) __attribute__((aligned(bytes)))
#define ECGFRAME_CRC32_INLINE static inline __attribute__((always_inline))
#else
#define ECGFRAME_CRC32_ALIGN(bytes)
#define ECGFRAME_CRC32_INLINE static inline
#endif


/* --- slices: eight bytes in each step, by tables; for any processor and byte order --- */

static uint32_t ecgframe_crc32_slices[8][256];  /* [k][b]: remainder of byte b followed by k bytes */

ECGFRAME_CRC32_INLINE uint32_t ecgframe_crc32_word(const uint8_t* p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

ECGFRAME_CRC32_INLINE uint32_t ecgframe_crc32_bytewise(uint32_t rest, const uint8_t* p, size_t n) {
    for (; n; p++, n--) rest = rest >> 8 ^ ecgframe_crc32_slices[0][(rest ^ *p) & 0xFF];
    return ~rest;
}

static uint32_t ecgframe_crc32_by_slices(uint32_t checksum, const uint8_t* p, size_t n) {
    const uint32_t (*slices)[256] = (const uint32_t (*)[256])ecgframe_crc32_slices;
    uint32_t rest = ~checksum;
    for (; n >= 8; p += 8, n -= 8) {
        rest ^= ecgframe_crc32_word(p);
        rest = slices[7][rest & 0xFF] ^ slices[6][rest >> 8 & 0xFF]
             ^ slices[5][rest >> 16 & 0xFF] ^ slices[4][rest >> 24]
             ^ slices[3][p[4]] ^ slices[2][p[5]] ^ slices[1][p[6]] ^ slices[0][p[7]];
    }
    if (n >= 4) {
        rest ^= ecgframe_crc32_word(p);
        rest = slices[3][rest & 0xFF] ^ slices[2][rest >> 8 & 0xFF]
             ^ slices[1][rest >> 16 & 0xFF] ^ slices[0][rest >> 24];
        p += 4;
        n -= 4;
    }
    return ecgframe_crc32_bytewise(rest, p, n);
}

static int ecgframe_crc32_always(void) { return 1; }


/* --- powers of x, for kernels that multiply --- */

enum {
    ECGFRAME_CRC32_BEFORE = 64,                  /* bytes by which a block may exceed the message */
    ECGFRAME_CRC32_COLUMNS = 80,
    ECGFRAME_CRC32_POWERS = 8 * ECGFRAME_CRC32_COLUMNS
};

/* x^(8u + 31) mod P, for u from -64 on. Powers whose u differ by 8 are adjacent, in descending order, as the lanes of a
   register need them: each half of a block is 8 bytes closer to the end than the one before. */
static ECGFRAME_CRC32_ALIGN(64) uint64_t ecgframe_crc32_powers[8][ECGFRAME_CRC32_COLUMNS];
static ECGFRAME_CRC32_ALIGN(16) uint64_t ecgframe_crc32_division[2];  /* the inverse of P as a power series; P */

/* Return the powers for a register with so many halves of blocks that ends d bytes before the end of the message. */
ECGFRAME_CRC32_INLINE const uint64_t* ecgframe_crc32_powers_at(ptrdiff_t d, int halves) {
    size_t u = (size_t)(d + ECGFRAME_CRC32_BEFORE);
    return &ecgframe_crc32_powers[u & 7][ECGFRAME_CRC32_COLUMNS - (u >> 3) - (size_t)halves];
}

ECGFRAME_CRC32_INLINE uint64_t ecgframe_crc32_power(ptrdiff_t d) { return *ecgframe_crc32_powers_at(d, 1); }

static uint32_t ecgframe_crc32_times_x(uint32_t number) {
    return number >> 1 ^ (number & 1 ? ECGFRAME_CRC32_POLYNOMIAL : 0);
}

static uint32_t ecgframe_crc32_over_x(uint32_t number) {
    return number >> 31 ? (number ^ ECGFRAME_CRC32_POLYNOMIAL) << 1 | 1 : number << 1;
}

static void ecgframe_crc32_prepare(void) {
    uint64_t whole = (uint64_t)ECGFRAME_CRC32_POLYNOMIAL << 1 | 1, rest = 1, inverse = 0;
    uint32_t power = 1U << 31;  /* x^0 */
    int i, k;
    for (i = 0; i < 256; i++) {
        uint32_t left = (uint32_t)i;
        for (k = 0; k < 8; k++) left = ecgframe_crc32_times_x(left);
        ecgframe_crc32_slices[0][i] = left;
    }
    for (k = 1; k < 8; k++) {
        for (i = 0; i < 256; i++) {
            uint32_t left = ecgframe_crc32_slices[k - 1][i];
            ecgframe_crc32_slices[k][i] = left >> 8 ^ ecgframe_crc32_slices[0][left & 0xFF];
        }
    }
    for (i = 0; i < 8 * ECGFRAME_CRC32_BEFORE - 31; i++) power = ecgframe_crc32_over_x(power);
    for (i = 0; i < ECGFRAME_CRC32_POWERS; i++) {
        ecgframe_crc32_powers[i & 7][ECGFRAME_CRC32_COLUMNS - 1 - (i >> 3)] = power;
        for (k = 0; k < 8; k++) power = ecgframe_crc32_times_x(power);
    }
    for (i = 0; i < 64; i++) {
        if (rest >> i & 1) {
            inverse |= (uint64_t)1 << i;
            rest ^= whole << i;
        }
    }
    ecgframe_crc32_division[0] = inverse;
    ecgframe_crc32_division[1] = whole;
}


/* --- kernels for some processors --- */

#if !defined(ECGFRAME_PORTABLE_LOOPS)
#if defined(__x86_64__) || (defined(_M_X64) && !defined(_M_ARM64EC))
#include "crc32_x86.h"
#elif (defined(__aarch64__) && !defined(__AARCH64EB__)) || defined(_M_ARM64)
#include "crc32_arm.h"
#endif
#endif

static const ecgframe_crc32_kernel ecgframe_crc32_kernels[] = {  /* the fastest first */
#ifdef ECGFRAME_CRC32_OF_PROCESSOR
    ECGFRAME_CRC32_OF_PROCESSOR
#endif
    {"slices", ecgframe_crc32_by_slices, ecgframe_crc32_always},
};

enum { ECGFRAME_CRC32_KERNELS = sizeof ecgframe_crc32_kernels / sizeof ecgframe_crc32_kernels[0] };

#endif
