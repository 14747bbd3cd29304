/* CRC-32 by carry-less multiplication on x86-64. crc32.h includes this file, and explains the arithmetic. */

#include <immintrin.h>

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#define ECGFRAME_CRC32_SSE
#define ECGFRAME_CRC32_AVX2
#define ECGFRAME_CRC32_AVX512
#else
#define ECGFRAME_CRC32_SSE __attribute__((target("pclmul,sse4.1")))
#define ECGFRAME_CRC32_AVX2 __attribute__((target("pclmul,sse4.1,avx2,vpclmulqdq")))
#define ECGFRAME_CRC32_AVX512 __attribute__((target("pclmul,sse4.1,avx2,bmi2,avx512f,avx512bw,avx512vl,vpclmulqdq")))
#endif

/* gcc 8, clang 7, Visual Studio 2019 and later compilers can multiply vectors of 32 and 64 bytes. */
#if (defined(__clang__) && __clang_major__ >= 7) || (!defined(__clang__) && defined(__GNUC__) && __GNUC__ >= 8) \
    || (!defined(__clang__) && defined(_MSC_VER) && _MSC_VER >= 1925)
#define ECGFRAME_CRC32_WIDE
#endif


/* --- features of the processor --- */

#if defined(_MSC_VER) && !defined(__clang__)
static int ecgframe_crc32_has(int leaf, int which, int bits) {
    int found[4];
    __cpuid(found, 0);
    if (found[0] < leaf) return 0;
    __cpuidex(found, leaf, 0);
    return (found[which] & bits) == bits;
}

/* Return true if the operating system saves these parts of the registers when it switches threads. */
static int ecgframe_crc32_keeps(unsigned long long parts) {
    return ecgframe_crc32_has(1, 2, 1 << 27) && (_xgetbv(0) & parts) == parts;
}

static int ecgframe_crc32_has_pclmul(void) { return ecgframe_crc32_has(1, 2, 1 << 1 | 1 << 19); }

static int ecgframe_crc32_has_vpclmul_avx2(void) {
    return ecgframe_crc32_has_pclmul() && ecgframe_crc32_keeps(0x06)
        && ecgframe_crc32_has(7, 1, 1 << 5) && ecgframe_crc32_has(7, 2, 1 << 10);
}

static int ecgframe_crc32_has_vpclmul_avx512(void) {
    return ecgframe_crc32_has_vpclmul_avx2() && ecgframe_crc32_keeps(0xE6)
        && ecgframe_crc32_has(7, 1, 1 << 8 | 1 << 16 | 1 << 30 | (int)(1U << 31));
}
#else
static int ecgframe_crc32_has_pclmul(void) {
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

#ifdef ECGFRAME_CRC32_WIDE
static int ecgframe_crc32_has_vpclmul_avx2(void) {
    return ecgframe_crc32_has_pclmul() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("vpclmulqdq");
}

static int ecgframe_crc32_has_vpclmul_avx512(void) {
    return ecgframe_crc32_has_vpclmul_avx2() && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx512f")
        && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif
#endif


/* --- blocks of 16 bytes, for all widths --- */

ECGFRAME_CRC32_INLINE uint32_t ecgframe_crc32_load4(const uint8_t* p) {
    uint32_t four;
    memcpy(&four, p, 4);
    return four;
}

ECGFRAME_CRC32_INLINE uint64_t ecgframe_crc32_load8(const uint8_t* p) {
    uint64_t eight;
    memcpy(&eight, p, 8);
    return eight;
}

/* Load 4 to 15 bytes, with zeros after them. Bytes in the middle may be read twice. */
ECGFRAME_CRC32_SSE
ECGFRAME_CRC32_INLINE __m128i ecgframe_crc32_load_short(const uint8_t* p, size_t n) {
    uint64_t low, high = 0;
    if (n >= 8) {
        low = ecgframe_crc32_load8(p);
        high = ecgframe_crc32_load8(p + n - 8) >> 8 * (15 - n) >> 8;
    } else {
        low = ecgframe_crc32_load4(p) | (uint64_t)ecgframe_crc32_load4(p + n - 4) << 8 * (n - 4);
    }
    return _mm_set_epi64x((long long)high, (long long)low);
}

/* Load the last n bytes before p, up to 15, with zeros before them. There must be 16 bytes before p. */
ECGFRAME_CRC32_SSE
ECGFRAME_CRC32_INLINE __m128i ecgframe_crc32_load_last(const uint8_t* p, size_t n) {
    static const uint8_t masks[32] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    };
    return _mm_and_si128(_mm_loadu_si128((const __m128i*)(p - 16)), _mm_loadu_si128((const __m128i*)(masks + n)));
}

/* Multiply each half by its power, and add the products. */
ECGFRAME_CRC32_SSE
ECGFRAME_CRC32_INLINE __m128i ecgframe_crc32_times(__m128i block, __m128i powers) {
    return _mm_xor_si128(_mm_clmulepi64_si128(block, powers, 0x00), _mm_clmulepi64_si128(block, powers, 0x11));
}

/* Move a block that ends d bytes before the end of the message to this end. The result has 96 bits. */
ECGFRAME_CRC32_SSE
ECGFRAME_CRC32_INLINE __m128i ecgframe_crc32_moved(__m128i block, ptrdiff_t d) {
    return ecgframe_crc32_times(block, _mm_loadu_si128((const __m128i*)ecgframe_crc32_powers_at(d, 2)));
}

/* Return the remainder of 96 bits divided by P. The quotient begins with the lowest bits, as for power series. */
ECGFRAME_CRC32_SSE
ECGFRAME_CRC32_INLINE uint32_t ecgframe_crc32_divided(__m128i sum) {
    __m128i by = _mm_load_si128((const __m128i*)ecgframe_crc32_division);
    __m128i quotient = _mm_clmulepi64_si128(sum, by, 0x00);
    return ~(uint32_t)_mm_extract_epi32(_mm_xor_si128(sum, _mm_clmulepi64_si128(quotient, by, 0x10)), 2);
}


/* Number of bytes from which unaligned loads cost more time than aligning the start to a cache line. */
#define ECGFRAME_CRC32_ALIGNED_FROM 16384


/* --- registers of 16 bytes --- */

ECGFRAME_CRC32_SSE
static uint32_t ecgframe_crc32_by_pclmul(uint32_t checksum, const uint8_t* p, size_t n);

#define ECGFRAME_CRC32_NAME ecgframe_crc32_by_pclmul
#define ECGFRAME_CRC32_FEATURES ECGFRAME_CRC32_SSE
#define ECGFRAME_CRC32_WIDTH 16
#define ECGFRAME_CRC32_V __m128i
#define ECGFRAME_CRC32_LOAD(p) _mm_loadu_si128((const __m128i*)(p))
#define ECGFRAME_CRC32_SEED(number) _mm_cvtsi32_si128((int)(number))
#define ECGFRAME_CRC32_ZERO() _mm_setzero_si128()
#define ECGFRAME_CRC32_ALL(high, low) _mm_set_epi64x((long long)(low), (long long)(high))
#define ECGFRAME_CRC32_XOR(a, b) _mm_xor_si128(a, b)
#define ECGFRAME_CRC32_TIMES_ADDED(v, by, to) _mm_xor_si128(to, ecgframe_crc32_times(v, by))
#define ECGFRAME_CRC32_GATHER(v) (v)
#include "crc32_fold.h"

#ifdef ECGFRAME_CRC32_WIDE
/* --- registers of 32 bytes --- */

ECGFRAME_CRC32_AVX2
static uint32_t ecgframe_crc32_by_vpclmul_avx2(uint32_t checksum, const uint8_t* p, size_t n);

#define ECGFRAME_CRC32_NAME ecgframe_crc32_by_vpclmul_avx2
#define ECGFRAME_CRC32_FEATURES ECGFRAME_CRC32_AVX2
#define ECGFRAME_CRC32_WIDTH 32
#define ECGFRAME_CRC32_V __m256i
#define ECGFRAME_CRC32_LOAD(p) _mm256_loadu_si256((const __m256i*)(p))
#define ECGFRAME_CRC32_SEED(number) _mm256_set_epi32(0, 0, 0, 0, 0, 0, 0, (int)(number))
#define ECGFRAME_CRC32_ZERO() _mm256_setzero_si256()
#define ECGFRAME_CRC32_ALL(high, low) \
    _mm256_set_epi64x((long long)(low), (long long)(high), (long long)(low), (long long)(high))
#define ECGFRAME_CRC32_XOR(a, b) _mm256_xor_si256(a, b)
#define ECGFRAME_CRC32_TIMES_ADDED(v, by, to) _mm256_xor_si256(to, \
    _mm256_xor_si256(_mm256_clmulepi64_epi128(v, by, 0x00), _mm256_clmulepi64_epi128(v, by, 0x11)))
#define ECGFRAME_CRC32_GATHER(v) _mm_xor_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1))
#include "crc32_fold.h"


/* --- registers of 64 bytes, the last of which is loaded partly --- */

ECGFRAME_CRC32_AVX512
static uint32_t ecgframe_crc32_by_vpclmul_avx512(uint32_t checksum, const uint8_t* p, size_t n);

#define ECGFRAME_CRC32_NAME ecgframe_crc32_by_vpclmul_avx512
#define ECGFRAME_CRC32_FEATURES ECGFRAME_CRC32_AVX512
#define ECGFRAME_CRC32_WIDTH 64
#define ECGFRAME_CRC32_V __m512i
#define ECGFRAME_CRC32_LOAD(p) _mm512_loadu_si512((const void*)(p))
#define ECGFRAME_CRC32_LOAD_FIRST(p, n) _mm512_maskz_loadu_epi8(_bzhi_u64(~(uint64_t)0, (unsigned)(n)), p)
#define ECGFRAME_CRC32_SEED(number) _mm512_maskz_set1_epi32(1, (int)(number))
#define ECGFRAME_CRC32_ZERO() _mm512_setzero_si512()
#define ECGFRAME_CRC32_ALL(high, low) _mm512_broadcast_i32x4(_mm_set_epi64x((long long)(low), (long long)(high)))
#define ECGFRAME_CRC32_XOR(a, b) _mm512_xor_si512(a, b)
#define ECGFRAME_CRC32_TIMES_ADDED(v, by, to) _mm512_ternarylogic_epi64( \
    _mm512_clmulepi64_epi128(v, by, 0x00), _mm512_clmulepi64_epi128(v, by, 0x11), to, 0x96)  /* the sum of all three */
#define ECGFRAME_CRC32_GATHER(v) ecgframe_crc32_gathered(v)

ECGFRAME_CRC32_AVX512
ECGFRAME_CRC32_INLINE __m128i ecgframe_crc32_gathered(__m512i v) {
    __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

#include "crc32_fold.h"

#define ECGFRAME_CRC32_OF_WIDE \
    {"vpclmul-avx512", ecgframe_crc32_by_vpclmul_avx512, ecgframe_crc32_has_vpclmul_avx512}, \
    {"vpclmul-avx2", ecgframe_crc32_by_vpclmul_avx2, ecgframe_crc32_has_vpclmul_avx2},
#else
#define ECGFRAME_CRC32_OF_WIDE
#endif

#define ECGFRAME_CRC32_OF_PROCESSOR \
    ECGFRAME_CRC32_OF_WIDE \
    {"pclmul", ecgframe_crc32_by_pclmul, ecgframe_crc32_has_pclmul},
