/* Conversion of many samples at a time by vector instructions, for floats and for ADC counts. See simd.pxd. */
#ifndef ECGFRAME_SIMD_H
#define ECGFRAME_SIMD_H

#include <Python.h>

/* Floats: a permutation of 64 bytes adds or removes tags and swaps the byte order of seven samples of 8 bytes, or of
   twelve of 4 bytes, in each step. Both functions stop before they would read or write more than n samples. */
#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__) && !defined(ECGFRAME_PORTABLE_LOOPS)
#include <immintrin.h>
#define ECGFRAME_PERMUTES __attribute__((target("avx512f,avx512bw,avx512vbmi")))

typedef struct { uint8_t to_wire[64], from_wire[64]; uint64_t tags; } ecgframe_permutation;
static ecgframe_permutation ecgframe_permutations[9];  /* by the size of a sample: 4 or 8 bytes */

static int ecgframe_fill_permutations(void) {
    for (int size = 4; size <= 8; size += 4) {
        ecgframe_permutation* of = &ecgframe_permutations[size];
        for (int k = 0; k < 64; k++) {
            int wide = size + 1;
            of->to_wire[k] = k % wide ? size * (k / wide) + size - k % wide : 0;
            of->from_wire[k] = wide * (k / size) + size - k % size;
            of->tags |= (uint64_t)(k % wide == 0) << k;
        }
    }
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi");
}

ECGFRAME_PERMUTES
static inline Py_ssize_t ecgframe_write_permuted(uint8_t* out, const char* p, Py_ssize_t n, int size, uint8_t tag) {
    const ecgframe_permutation* by = &ecgframe_permutations[size];
    const __m512i order = _mm512_loadu_si512(by->to_wire);
    const __m512i tags = _mm512_set1_epi8((char)tag);
    const Py_ssize_t step = 64 / (size + 1);
    Py_ssize_t i;
    for (i = 0; i + 64 / size <= n; i += step) {
        __m512i samples = _mm512_permutexvar_epi8(order, _mm512_loadu_si512(p + size * i));
        _mm512_storeu_si512(out + (size + 1) * i, _mm512_mask_blend_epi8(by->tags, samples, tags));
    }
    return i;
}

ECGFRAME_PERMUTES
static inline Py_ssize_t ecgframe_read_permuted(const uint8_t* p, char* out, Py_ssize_t n, int size, uint8_t tag) {
    const ecgframe_permutation* by = &ecgframe_permutations[size];
    const __m512i order = _mm512_loadu_si512(by->from_wire);
    const __m512i tags = _mm512_set1_epi8((char)tag);
    const Py_ssize_t step = 64 / (size + 1);
    Py_ssize_t i;
    for (i = 0; i + 64 / size <= n; i += step) {
        __m512i numbers = _mm512_loadu_si512(p + (size + 1) * i);
        if (by->tags & ~_mm512_cmpeq_epi8_mask(numbers, tags)) break;  /* at least one number has another type */
        _mm512_storeu_si512(out + size * i, _mm512_permutexvar_epi8(order, numbers));
    }
    return i;
}
#else
static int ecgframe_fill_permutations(void) { return 0; }
static inline Py_ssize_t ecgframe_write_permuted(uint8_t* out, const char* p, Py_ssize_t n, int size, uint8_t tag) {
    return 0;
}
static inline Py_ssize_t ecgframe_read_permuted(const uint8_t* p, char* out, Py_ssize_t n, int size, uint8_t tag) {
    return 0;
}
#endif

/* Write a tag and a sample of 8 bytes by one store of 16 bytes, whose last 7 bytes the next store overwrites. This
   takes a fifth less time than two stores. Returns the number of samples written: all but the last, or none on processors
   without the instructions. */
#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__) && !defined(ECGFRAME_PORTABLE_LOOPS)
#include <tmmintrin.h>
__attribute__((target("ssse3")))
static inline Py_ssize_t ecgframe_write_ssse3(uint8_t* out, const char* p, Py_ssize_t n) {
    const __m128i reversed = _mm_setr_epi8(-1, 7, 6, 5, 4, 3, 2, 1, 0, -1, -1, -1, -1, -1, -1, -1);
    const __m128i tag = _mm_setr_epi8((char)0xCB, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    Py_ssize_t i;
    for (i = 0; i < n - 1; i++) {
        __m128i sample = _mm_loadl_epi64((const __m128i*)(p + 8 * i));
        _mm_storeu_si128((__m128i*)(out + 9 * i), _mm_or_si128(_mm_shuffle_epi8(sample, reversed), tag));
    }
    return i;
}
static inline Py_ssize_t ecgframe_write_with_one_store(uint8_t* out, const char* p, Py_ssize_t n) {
    return __builtin_cpu_supports("ssse3") ? ecgframe_write_ssse3(out, p, n) : 0;
}
#else
static inline Py_ssize_t ecgframe_write_with_one_store(uint8_t* out, const char* p, Py_ssize_t n) {
    return 0;
}
#endif

/* ADC counts: MessagePack integers of at most three bytes, up to sixteen at a time. Each is expanded to four bytes, the
   tag first, and then the bytes that it does not need are removed. Stops before sixteen integers of which one is longer,
   if only a few are left, and if the memory does not suffice for sixteen of three bytes. */
#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__) && !defined(ECGFRAME_PORTABLE_LOOPS)
#define ECGFRAME_COMPRESSES __attribute__((target("avx512f,avx512bw,avx512vbmi,avx512vbmi2,popcnt,bmi,bmi2,lzcnt")))
#define ECGFRAME_COUNTS_AT_ONCE 6  /* for fewer, a loop takes less time */

static int ecgframe_compresses(void) {
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi2")
        && __builtin_cpu_supports("bmi2");
}

/* Load sixteen samples, or the first of them; the others become 0. Where their number is known to the compiler, it
   leaves out the masks. */
#define ECGFRAME_ALL ((__mmask16)0xFFFF)
ECGFRAME_COMPRESSES __attribute__((always_inline))
static inline __m512i ecgframe_load_counts(const char* p, __mmask16 present, int size, int is_signed) {
    const __m512i largest = _mm512_set1_epi32(INT32_MAX);  /* larger unsigned integers remain larger than all counts */
    const int all = present == ECGFRAME_ALL;
    if (size == 2) {
        __m256i counts = all ? _mm256_loadu_si256((const __m256i*)p)
            : _mm512_castsi512_si256(_mm512_maskz_loadu_epi16((__mmask32)present, p));
        return is_signed ? _mm512_cvtepi16_epi32(counts) : _mm512_cvtepu16_epi32(counts);
    }
    if (size == 4) {
        __m512i counts = all ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi32(present, p);
        return is_signed ? counts : _mm512_min_epu32(counts, largest);
    }
    __m512i low = all ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi64((__mmask8)present, p);
    __m512i high = all ? _mm512_loadu_si512(p + 64) : _mm512_maskz_loadu_epi64((__mmask8)(present >> 8), p + 64);
    if (is_signed)
        return _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm512_cvtsepi64_epi32(low)), _mm512_cvtsepi64_epi32(high), 1);
    return _mm512_min_epu32(
        _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm512_cvtusepi64_epi32(low)), _mm512_cvtusepi64_epi32(high), 1),
        largest);
}

/* Return a mask of the counts outside first..last. */
ECGFRAME_COMPRESSES
static inline __mmask16 ecgframe_outside(__m512i counts, int first, int last) {
    return _mm512_cmpgt_epu32_mask(
        _mm512_sub_epi32(counts, _mm512_set1_epi32(first)), _mm512_set1_epi32(last - first));
}

/* Return how many bytes so many counts take; 0 if one is too long. */
ECGFRAME_COMPRESSES __attribute__((always_inline))
static inline int ecgframe_size_part(const char* p, int here, int size, int is_signed) {
    __m512i counts = ecgframe_load_counts(p, (__mmask16)((1u << here) - 1), size, is_signed);
    if (ecgframe_outside(counts, INT16_MIN, UINT16_MAX)) return 0;
    return here + __builtin_popcount(ecgframe_outside(counts, -32, INT8_MAX))
        + __builtin_popcount(ecgframe_outside(counts, INT8_MIN, UINT8_MAX));
}

ECGFRAME_COMPRESSES
static inline Py_ssize_t ecgframe_size_counts(
    const char* p, Py_ssize_t n, int size, int is_signed, Py_ssize_t* nbytes
) {
    Py_ssize_t i;
    int more;
    for (i = 0; i + 16 <= n; i += 16) {
        more = ecgframe_size_part(p + size * i, 16, size, is_signed);
        if (!more) return i;
        *nbytes += more;
    }
    if (n - i < ECGFRAME_COUNTS_AT_ONCE) return i;
    more = ecgframe_size_part(p + size * i, (int)(n - i), size, is_signed);
    *nbytes += more;
    return more ? n : i;
}

/* Write so many counts, at most sixteen. Returns their bytes; 0 if one is too long. */
ECGFRAME_COMPRESSES __attribute__((always_inline))
static inline int ecgframe_write_part(uint8_t* out, const char* p, int here, int size, int is_signed) {
    const __mmask16 present = (__mmask16)((1u << here) - 1);
    __m512i counts = ecgframe_load_counts(p, present, size, is_signed);
    if (ecgframe_outside(counts, INT16_MIN, UINT16_MAX)) return 0;
    __mmask16 two = ecgframe_outside(counts, -32, INT8_MAX);
    __mmask16 three = ecgframe_outside(counts, INT8_MIN, UINT8_MAX);
    __mmask16 negative = _mm512_cmplt_epi32_mask(counts, _mm512_setzero_si512());
    __m512i low = _mm512_and_si512(counts, _mm512_set1_epi32(0xFF));
    __m512i tag2 = _mm512_mask_blend_epi32(negative, _mm512_set1_epi32(0xCC), _mm512_set1_epi32(0xD0));
    __m512i tag3 = _mm512_add_epi32(tag2, _mm512_set1_epi32(1));
    __m512i high = _mm512_and_si512(counts, _mm512_set1_epi32(0xFF00));
    __m512i lanes = _mm512_mask_or_epi32(low, two, _mm512_slli_epi32(low, 8), tag2);
    lanes = _mm512_mask_or_epi32(lanes, three, _mm512_or_si512(_mm512_slli_epi32(low, 16), high), tag3);
    __m512i needed = present == ECGFRAME_ALL ? _mm512_set1_epi32(0x80) : _mm512_maskz_set1_epi32(present, 0x80);
    needed = _mm512_mask_mov_epi32(needed, two, _mm512_set1_epi32(0x8080));
    needed = _mm512_mask_mov_epi32(needed, three, _mm512_set1_epi32(0x808080));
    __mmask64 bytes = _mm512_movepi8_mask(needed);
    int taken = __builtin_popcountll(bytes);
    __mmask64 first = ((__mmask64)1 << taken) - 1;  /* write nothing after the last number */
    _mm512_mask_storeu_epi8(out, first, _mm512_maskz_compress_epi8(bytes, lanes));
    return taken;
}

ECGFRAME_COMPRESSES
static inline Py_ssize_t ecgframe_write_counts(
    uint8_t** out, const uint8_t* end, const char* p, Py_ssize_t n, int size, int is_signed
) {
    Py_ssize_t i;
    int taken;
    for (i = 0; i + 16 <= n && end - *out >= 48; i += 16) {
        taken = ecgframe_write_part(*out, p + size * i, 16, size, is_signed);
        if (!taken) return i;
        *out += taken;
    }
    if (n - i < ECGFRAME_COUNTS_AT_ONCE || n - i >= 16 || end - *out < 48) return i;
    taken = ecgframe_write_part(*out, p + size * i, (int)(n - i), size, is_signed);
    *out += taken;
    return taken ? n : i;
}

/* Return a mask of the first n bytes. */
ECGFRAME_COMPRESSES
static inline uint64_t ecgframe_first_bytes(Py_ssize_t n) {
    return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
}

/* Return a mask of the tags of at most n integers of at most three bytes that follow one another from the first byte on,
   and the offset of what follows them: another value, one of which a byte is missing, or the 63rd byte. */
ECGFRAME_COMPRESSES
static inline uint64_t ecgframe_tags_of_counts(__m512i bytes, Py_ssize_t available, Py_ssize_t n, int* next) {
    const int size = available < 62 ? (int)available : 62;
    uint64_t three = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8((char)0xCD))
        | _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8((char)0xD1));
    uint64_t wide = three | _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8((char)0xCC))
        | _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8((char)0xD0));
    uint64_t one = _mm512_cmpgt_epi8_mask(bytes, _mm512_set1_epi8(-33));  /* -32 to 127 */
    uint64_t known = wide | one, tags = ecgframe_first_bytes(size), covered, alike, others;
    wide &= tags;
    for (;;) {  /* remove false tags, which are bytes of the integer before: the first one always follows a true tag */
        covered = wide << 1 | (wide & three) << 2;
        alike = wide & covered;
        if (!alike) break;
        wide &= ~(alike & -alike);
    }
    *next = size + __builtin_popcountll(covered >> size);
    tags &= ~covered;
    others = tags & ~known;
    if (others) {  /* what stands before another value is right, whatever the bytes after it are */
        *next = __builtin_ctzll(others);
        tags &= ecgframe_first_bytes(*next);
    }
    if (__builtin_popcountll(tags) > n) {
        *next = __builtin_ctzll(_pdep_u64((uint64_t)1 << n, tags));
        tags &= ecgframe_first_bytes(*next);
    }
    if (*next > available) {
        *next = 63 - __builtin_clzll(tags);
        tags &= ecgframe_first_bytes(*next);
    }
    return tags;
}

/* Skip as many of n numbers as possible, and subtract them from n. Returns their end. */
ECGFRAME_COMPRESSES
static inline const uint8_t* ecgframe_skip_counts(const uint8_t* p, const uint8_t* end, Py_ssize_t* n) {
    int next;
    while (*n >= ECGFRAME_COUNTS_AT_ONCE && p < end) {
        __m512i bytes = _mm512_maskz_loadu_epi8(ecgframe_first_bytes(end - p), p);
        uint64_t tags = ecgframe_tags_of_counts(bytes, end - p, *n, &next);
        if (!tags) break;
        *n -= __builtin_popcountll(tags);
        p += next;
    }
    return p;
}

ECGFRAME_COMPRESSES
static inline __m256i ecgframe_half(__m512i both, int upper) {
    return upper ? _mm512_extracti64x4_epi64(both, 1) : _mm512_castsi512_si256(both);
}

/* Store those of thirty-two int16 that are in the mask, as samples of any size. */
ECGFRAME_COMPRESSES
static inline void ecgframe_store_counts(char* out, __m512i counts, __mmask32 stored, int size) {
    if (size == 2) {
        _mm512_mask_storeu_epi16(out, stored, counts);
        return;
    }
    for (int half = 0; half < 2; half++, stored >>= 16, out += 16 * size) {
        __m256i sixteen = ecgframe_half(counts, half);
        if (size == 4) {
            _mm512_mask_storeu_epi32(out, (__mmask16)stored, _mm512_cvtepi16_epi32(sixteen));
            continue;
        }
        _mm512_mask_storeu_epi64(
            out, (__mmask8)stored, _mm512_cvtepi16_epi64(_mm256_castsi256_si128(sixteen)));
        _mm512_mask_storeu_epi64(
            out + 64, (__mmask8)(stored >> 8), _mm512_cvtepi16_epi64(_mm256_extracti128_si256(sixteen, 1)));
    }
}

/* Read numbers in the range of int16 as integers of 2, 4 or 8 bytes. Stops before other numbers, and if only a few are
   left. */
ECGFRAME_COMPRESSES
static inline Py_ssize_t ecgframe_read_counts(
    const uint8_t** source, const uint8_t* end, char* out, Py_ssize_t n, int size, int is_signed
) {
    Py_ssize_t i = 0;
    while (n - i >= ECGFRAME_COUNTS_AT_ONCE && *source < end) {
        int next;
        const uint8_t* p = *source;
        Py_ssize_t left = end - p;
        __m512i bytes = _mm512_maskz_loadu_epi8(ecgframe_first_bytes(left), p);
        uint64_t tags = ecgframe_tags_of_counts(bytes, left, n - i, &next);
        if (!tags) return i;
        int found = __builtin_popcountll(tags);
        __m512i after = _mm512_maskz_loadu_epi8(ecgframe_first_bytes(left - 1), p + 1);
        __m512i last = _mm512_maskz_loadu_epi8(left > 1 ? ecgframe_first_bytes(left - 2) : 0, p + 2);
        __m512i first = _mm512_maskz_compress_epi8(tags, bytes);
        __m512i second = _mm512_maskz_compress_epi8(tags, after);
        __m512i third = _mm512_maskz_compress_epi8(tags, last);
        for (int half = 0; 32 * half < found; half++) {
            __m512i tag = _mm512_cvtepi8_epi16(ecgframe_half(first, half));
            __m512i high = _mm512_cvtepi8_epi16(ecgframe_half(second, half));
            __m512i low = _mm512_cvtepu8_epi16(ecgframe_half(third, half));
            __m512i both = _mm512_or_si512(_mm512_slli_epi16(high, 8), low);
            __mmask32 u8 = _mm512_cmpeq_epi16_mask(tag, _mm512_set1_epi16((char)0xCC));
            __mmask32 i8 = _mm512_cmpeq_epi16_mask(tag, _mm512_set1_epi16((char)0xD0));
            __mmask32 u16 = _mm512_cmpeq_epi16_mask(tag, _mm512_set1_epi16((char)0xCD));
            __mmask32 i16 = _mm512_cmpeq_epi16_mask(tag, _mm512_set1_epi16((char)0xD1));
            __m512i counts = _mm512_mask_mov_epi16(tag, i8, high);
            counts = _mm512_mask_mov_epi16(counts, u8, _mm512_and_si512(high, _mm512_set1_epi16(0xFF)));
            counts = _mm512_mask_mov_epi16(counts, u16 | i16, both);
            int here = found - 32 * half;
            __mmask32 stored = here >= 32 ? ~(__mmask32)0 : ((__mmask32)1 << here) - 1;
            __mmask32 negative = _mm512_movepi16_mask(counts) & stored;
            if (negative & (is_signed ? u16 : stored)) return i;  /* a number is out of range */
            ecgframe_store_counts(out + size * (i + 32 * half), counts, stored, size);
        }
        i += found;
        *source = p + next;
    }
    return i;
}

/* Read a row of n integers of at most three bytes as int16. Returns its end; NULL for any other row. */
ECGFRAME_COMPRESSES __attribute__((always_inline))
static inline const uint8_t* ecgframe_read_row_of_counts(const uint8_t* p, const uint8_t* end, char* out, Py_ssize_t n) {
    for (Py_ssize_t i = ecgframe_read_counts(&p, end, out, n, 2, 1); i < n; i++) {
        int16_t count;
        if (end - p < 3) {  /* nearly at the end */
            if (p >= end || (p[0] >= 0x80 && p[0] < 0xE0)) return NULL;
            count = (int8_t)*p++;
        } else if (p[0] < 0x80 || p[0] >= 0xE0) {
            count = (int8_t)*p++;
        } else if (p[0] == 0xD1 || (p[0] == 0xCD && p[1] < 0x80)) {
            count = (int16_t)(p[1] << 8 | p[2]);
            p += 3;
        } else if (p[0] == 0xCC || p[0] == 0xD0) {
            count = p[0] == 0xCC ? (int16_t)p[1] : (int16_t)(int8_t)p[1];
            p += 2;
        } else {
            return NULL;
        }
        memcpy(out + 2 * i, &count, 2);
    }
    return p;
}

/* Read the header of an array. Returns its end; NULL if there is none of at most 65,535 values. */
static inline const uint8_t* ecgframe_short_array(const uint8_t* p, const uint8_t* end, Py_ssize_t* n) {
    if (p < end && (p[0] & 0xF0) == 0x90) {
        *n = p[0] & 0x0F;
        return p + 1;
    }
    if (end - p < 3 || p[0] != 0xDC) return NULL;
    *n = p[1] << 8 | p[2];
    return p + 3;
}

/* Read a list of integers, or of lists of equal length, as at most ``most`` int16. Returns its end, and the rows (-1 for a
   plain list) and columns; NULL for anything else. */
ECGFRAME_COMPRESSES
static inline const uint8_t* ecgframe_read_small_counts(
    const uint8_t* p, const uint8_t* end, int16_t* out, Py_ssize_t most, Py_ssize_t* rows, Py_ssize_t* columns
) {
    Py_ssize_t n, width;
    const uint8_t* first;
    p = ecgframe_short_array(p, end, &n);
    if (!p || n > most || n == 0) return NULL;
    first = ecgframe_short_array(p, end, columns);
    if (!first) {
        *rows = -1;
        *columns = n;
        return ecgframe_read_row_of_counts(p, end, (char*)out, n);
    }
    *rows = n;
    if (*columns == 0 || *columns > most / n) return NULL;
    for (Py_ssize_t i = 0; i < n; i++) {
        p = ecgframe_short_array(p, end, &width);
        if (!p || width != *columns) return NULL;
        p = ecgframe_read_row_of_counts(p, end, (char*)(out + i * width), width);
        if (!p) return NULL;
    }
    return p;
}
#else
static int ecgframe_compresses(void) { return 0; }
static inline const uint8_t* ecgframe_read_small_counts(
    const uint8_t* p, const uint8_t* end, int16_t* out, Py_ssize_t most, Py_ssize_t* rows, Py_ssize_t* columns
) {
    return NULL;
}
static inline const uint8_t* ecgframe_skip_counts(const uint8_t* p, const uint8_t* end, Py_ssize_t* n) { return p; }
static inline Py_ssize_t ecgframe_read_counts(
    const uint8_t** source, const uint8_t* end, char* out, Py_ssize_t n, int size, int is_signed
) {
    return 0;
}
static inline Py_ssize_t ecgframe_size_counts(
    const char* p, Py_ssize_t n, int size, int is_signed, Py_ssize_t* nbytes
) {
    return 0;
}
static inline Py_ssize_t ecgframe_write_counts(
    uint8_t** out, const uint8_t* end, const char* p, Py_ssize_t n, int size, int is_signed
) {
    return 0;
}
#endif

#endif
