/* CRC-32 by the CRC instructions of ARMv8, and by carry-less multiplication for many bytes. crc32.h includes this file,
   and explains the arithmetic. */

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#include <windows.h>
#define ECGFRAME_CRC32_TARGET_CRC
#define ECGFRAME_CRC32_BYTE(rest, p) __crc32b(rest, *(p))
#define ECGFRAME_CRC32_EIGHT(rest, eight) __crc32d(rest, eight)
#elif defined(__clang__)
#define ECGFRAME_CRC32_TARGET_CRC __attribute__((target("crc")))
#define ECGFRAME_CRC32_TARGET_PMULL __attribute__((target("crc,aes")))
#define ECGFRAME_CRC32_BYTE(rest, p) __builtin_arm_crc32b(rest, *(p))
#define ECGFRAME_CRC32_EIGHT(rest, eight) __builtin_arm_crc32d(rest, eight)
#else
#define ECGFRAME_CRC32_TARGET_CRC __attribute__((target("+crc")))
#define ECGFRAME_CRC32_TARGET_PMULL __attribute__((target("+crc+crypto")))
#define ECGFRAME_CRC32_BYTE(rest, p) __builtin_aarch64_crc32b(rest, *(p))
#define ECGFRAME_CRC32_EIGHT(rest, eight) __builtin_aarch64_crc32x(rest, eight)
#endif

/* clang declares the multiplication for functions with their own target since version 16. */
#if defined(ECGFRAME_CRC32_TARGET_PMULL) \
    && (!defined(__clang__) || __clang_major__ >= 16 || defined(__ARM_FEATURE_AES) || defined(__ARM_FEATURE_CRYPTO))
#include <arm_neon.h>
#define ECGFRAME_CRC32_PMULL
#endif

#if defined(__linux__) || defined(__ANDROID__)
#include <sys/auxv.h>
static int ecgframe_crc32_has(unsigned long bit) { return (getauxval(AT_HWCAP) & bit) != 0; }
static int ecgframe_crc32_has_crc(void) { return ecgframe_crc32_has(1UL << 7); }                    /* HWCAP_CRC32 */
#ifdef ECGFRAME_CRC32_PMULL
static int ecgframe_crc32_has_pmull(void) { return ecgframe_crc32_has_crc() && ecgframe_crc32_has(1UL << 4); }
#endif
#elif defined(__APPLE__)
static int ecgframe_crc32_has_crc(void) { return 1; }    /* all ARM processors of Apple that run macOS */
static int ecgframe_crc32_has_pmull(void) { return 1; }
#elif defined(_MSC_VER) && !defined(__clang__)
/* PF_ARM_V8_CRC32_INSTRUCTIONS_AVAILABLE, missing in older headers */
static int ecgframe_crc32_has_crc(void) { return IsProcessorFeaturePresent(31); }
#else
#undef ECGFRAME_CRC32_PMULL
#if defined(__ARM_FEATURE_CRC32)
static int ecgframe_crc32_has_crc(void) { return 1; }
#else
static int ecgframe_crc32_has_crc(void) { return 0; }
#endif
#endif

ECGFRAME_CRC32_INLINE uint64_t ecgframe_crc32_load8(const uint8_t* p) {
    uint64_t eight;
    memcpy(&eight, p, 8);
    return eight;
}

ECGFRAME_CRC32_TARGET_CRC
static uint32_t ecgframe_crc32_by_crc(uint32_t checksum, const uint8_t* p, size_t n) {
    uint32_t rest = ~checksum;
    for (; n >= 32; p += 32, n -= 32) {
        rest = ECGFRAME_CRC32_EIGHT(rest, ecgframe_crc32_load8(p));
        rest = ECGFRAME_CRC32_EIGHT(rest, ecgframe_crc32_load8(p + 8));
        rest = ECGFRAME_CRC32_EIGHT(rest, ecgframe_crc32_load8(p + 16));
        rest = ECGFRAME_CRC32_EIGHT(rest, ecgframe_crc32_load8(p + 24));
    }
    for (; n >= 8; p += 8, n -= 8) rest = ECGFRAME_CRC32_EIGHT(rest, ecgframe_crc32_load8(p));
    for (; n; p++, n--) rest = ECGFRAME_CRC32_BYTE(rest, p);
    return ~rest;
}

#ifdef ECGFRAME_CRC32_PMULL
enum { ECGFRAME_CRC32_LANES = 8 };

ECGFRAME_CRC32_TARGET_PMULL
ECGFRAME_CRC32_INLINE uint64x2_t ecgframe_crc32_load16(const uint8_t* p) { return vreinterpretq_u64_u8(vld1q_u8(p)); }

/* Move a block by f bytes, and add it to another. */
ECGFRAME_CRC32_TARGET_PMULL
ECGFRAME_CRC32_INLINE uint64x2_t ecgframe_crc32_folded(uint64x2_t block, uint64x2_t powers, uint64x2_t to) {
    poly64x2_t a = vreinterpretq_p64_u64(block), b = vreinterpretq_p64_u64(powers);
    uint64x2_t high = vreinterpretq_u64_p128(vmull_p64(vgetq_lane_p64(a, 0), vgetq_lane_p64(b, 0)));
    uint64x2_t low = vreinterpretq_u64_p128(vmull_high_p64(a, b));
    return veorq_u64(to, veorq_u64(high, low));
}

ECGFRAME_CRC32_TARGET_PMULL
ECGFRAME_CRC32_INLINE uint64x2_t ecgframe_crc32_by_bytes(ptrdiff_t f) {
    return vcombine_u64(vcreate_u64(ecgframe_crc32_power(f)), vcreate_u64(ecgframe_crc32_power(f - 8)));
}

/* Fold eight blocks at once, then single ones. The CRC instructions sum the 16 bytes of the last block. */
ECGFRAME_CRC32_TARGET_PMULL
static uint32_t ecgframe_crc32_by_pmull(uint32_t checksum, const uint8_t* p, size_t n) {
    uint64x2_t blocks[ECGFRAME_CRC32_LANES], by, last;
    uint32_t rest;
    int k;
    if (n < 32 * ECGFRAME_CRC32_LANES) return ecgframe_crc32_by_crc(checksum, p, n);
    for (k = 0; k < ECGFRAME_CRC32_LANES; k++) blocks[k] = ecgframe_crc32_load16(p + 16 * k);
    blocks[0] = veorq_u64(blocks[0], vcombine_u64(vcreate_u64(~checksum), vcreate_u64(0)));
    by = ecgframe_crc32_by_bytes(16 * ECGFRAME_CRC32_LANES);
    p += 16 * ECGFRAME_CRC32_LANES;
    n -= 16 * ECGFRAME_CRC32_LANES;
    do {
        for (k = 0; k < ECGFRAME_CRC32_LANES; k++) {
            blocks[k] = ecgframe_crc32_folded(blocks[k], by, ecgframe_crc32_load16(p + 16 * k));
        }
        p += 16 * ECGFRAME_CRC32_LANES;
        n -= 16 * ECGFRAME_CRC32_LANES;
    } while (n >= 16 * ECGFRAME_CRC32_LANES);
    last = blocks[ECGFRAME_CRC32_LANES - 1];
    for (k = 0; k < ECGFRAME_CRC32_LANES - 1; k++) {
        last = ecgframe_crc32_folded(blocks[k], ecgframe_crc32_by_bytes(16 * (ECGFRAME_CRC32_LANES - 1 - k)), last);
    }
    rest = ECGFRAME_CRC32_EIGHT(0, vgetq_lane_u64(last, 0));
    rest = ECGFRAME_CRC32_EIGHT(rest, vgetq_lane_u64(last, 1));
    return ecgframe_crc32_by_crc(~rest, p, n);
}

#define ECGFRAME_CRC32_OF_PROCESSOR \
    {"pmull", ecgframe_crc32_by_pmull, ecgframe_crc32_has_pmull}, \
    {"crc", ecgframe_crc32_by_crc, ecgframe_crc32_has_crc},
#else
#define ECGFRAME_CRC32_OF_PROCESSOR {"crc", ecgframe_crc32_by_crc, ecgframe_crc32_has_crc},
#endif
