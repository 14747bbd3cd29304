/* A kernel that uses carry-less multiplication. crc32_x86.h includes this file once for each width of a register, which
   macros describe; they are undefined at the end. crc32.h explains the arithmetic. */

/* Bytes that are folded at once, in four or eight registers. Eight products do not wait for each other. Four registers
   fold the rest, and shorter messages. */
#define ECGFRAME_CRC32_FEW (4 * ECGFRAME_CRC32_WIDTH)
#define ECGFRAME_CRC32_MANY (8 * ECGFRAME_CRC32_WIDTH)

/* The powers that move a register by f bytes. The result has 128 bits again, unlike a product for the final sum. */
#define ECGFRAME_CRC32_BY(f) ECGFRAME_CRC32_ALL(ecgframe_crc32_power(f), ecgframe_crc32_power((f) - 8))
#define ECGFRAME_CRC32_MOVED_ADDED(v, d, to) ECGFRAME_CRC32_TIMES_ADDED( \
    v, ECGFRAME_CRC32_LOAD(ecgframe_crc32_powers_at((ptrdiff_t)(d), ECGFRAME_CRC32_WIDTH / 8)), to)

ECGFRAME_CRC32_FEATURES
static uint32_t ECGFRAME_CRC32_NAME(uint32_t checksum, const uint8_t* p, size_t n) {
    ECGFRAME_CRC32_V seed, sum;
    __m128i last;
    if (n <= 16) {
        if (n < 4) return ecgframe_crc32_bytewise(~checksum, p, n);
        last = n == 16 ? _mm_loadu_si128((const __m128i*)p) : ecgframe_crc32_load_short(p, n);
        last = _mm_xor_si128(last, _mm_cvtsi32_si128((int)~checksum));
        return ecgframe_crc32_divided(ecgframe_crc32_moved(last, (ptrdiff_t)n - 16));
    }
    seed = ECGFRAME_CRC32_SEED(~checksum);
    sum = ECGFRAME_CRC32_ZERO();
    if (n >= ECGFRAME_CRC32_FEW) {
        ECGFRAME_CRC32_V a, b, c, d, by = ECGFRAME_CRC32_BY(ECGFRAME_CRC32_FEW);
        if (n >= 2 * ECGFRAME_CRC32_MANY) {
            ECGFRAME_CRC32_V e, f, g, h, by_many = ECGFRAME_CRC32_BY(ECGFRAME_CRC32_MANY);
            if (n >= ECGFRAME_CRC32_ALIGNED_FROM && (uintptr_t)p % ECGFRAME_CRC32_WIDTH) {
                size_t ahead = ECGFRAME_CRC32_WIDTH - (uintptr_t)p % ECGFRAME_CRC32_WIDTH;
                seed = ECGFRAME_CRC32_SEED(~ECGFRAME_CRC32_NAME(checksum, p, ahead));
                p += ahead;
                n -= ahead;
            }
            a = ECGFRAME_CRC32_XOR(ECGFRAME_CRC32_LOAD(p), seed);
            b = ECGFRAME_CRC32_LOAD(p + 1 * ECGFRAME_CRC32_WIDTH);
            c = ECGFRAME_CRC32_LOAD(p + 2 * ECGFRAME_CRC32_WIDTH);
            d = ECGFRAME_CRC32_LOAD(p + 3 * ECGFRAME_CRC32_WIDTH);
            e = ECGFRAME_CRC32_LOAD(p + 4 * ECGFRAME_CRC32_WIDTH);
            f = ECGFRAME_CRC32_LOAD(p + 5 * ECGFRAME_CRC32_WIDTH);
            g = ECGFRAME_CRC32_LOAD(p + 6 * ECGFRAME_CRC32_WIDTH);
            h = ECGFRAME_CRC32_LOAD(p + 7 * ECGFRAME_CRC32_WIDTH);
            p += ECGFRAME_CRC32_MANY;
            n -= ECGFRAME_CRC32_MANY;
            do {
                a = ECGFRAME_CRC32_TIMES_ADDED(a, by_many, ECGFRAME_CRC32_LOAD(p));
                b = ECGFRAME_CRC32_TIMES_ADDED(b, by_many, ECGFRAME_CRC32_LOAD(p + 1 * ECGFRAME_CRC32_WIDTH));
                c = ECGFRAME_CRC32_TIMES_ADDED(c, by_many, ECGFRAME_CRC32_LOAD(p + 2 * ECGFRAME_CRC32_WIDTH));
                d = ECGFRAME_CRC32_TIMES_ADDED(d, by_many, ECGFRAME_CRC32_LOAD(p + 3 * ECGFRAME_CRC32_WIDTH));
                e = ECGFRAME_CRC32_TIMES_ADDED(e, by_many, ECGFRAME_CRC32_LOAD(p + 4 * ECGFRAME_CRC32_WIDTH));
                f = ECGFRAME_CRC32_TIMES_ADDED(f, by_many, ECGFRAME_CRC32_LOAD(p + 5 * ECGFRAME_CRC32_WIDTH));
                g = ECGFRAME_CRC32_TIMES_ADDED(g, by_many, ECGFRAME_CRC32_LOAD(p + 6 * ECGFRAME_CRC32_WIDTH));
                h = ECGFRAME_CRC32_TIMES_ADDED(h, by_many, ECGFRAME_CRC32_LOAD(p + 7 * ECGFRAME_CRC32_WIDTH));
                p += ECGFRAME_CRC32_MANY;
                n -= ECGFRAME_CRC32_MANY;
            } while (n >= ECGFRAME_CRC32_MANY);
            a = ECGFRAME_CRC32_TIMES_ADDED(a, by, e);
            b = ECGFRAME_CRC32_TIMES_ADDED(b, by, f);
            c = ECGFRAME_CRC32_TIMES_ADDED(c, by, g);
            d = ECGFRAME_CRC32_TIMES_ADDED(d, by, h);
        } else {
            a = ECGFRAME_CRC32_XOR(ECGFRAME_CRC32_LOAD(p), seed);
            b = ECGFRAME_CRC32_LOAD(p + 1 * ECGFRAME_CRC32_WIDTH);
            c = ECGFRAME_CRC32_LOAD(p + 2 * ECGFRAME_CRC32_WIDTH);
            d = ECGFRAME_CRC32_LOAD(p + 3 * ECGFRAME_CRC32_WIDTH);
            p += ECGFRAME_CRC32_FEW;
            n -= ECGFRAME_CRC32_FEW;
        }
        for (; n >= ECGFRAME_CRC32_FEW; p += ECGFRAME_CRC32_FEW, n -= ECGFRAME_CRC32_FEW) {
            a = ECGFRAME_CRC32_TIMES_ADDED(a, by, ECGFRAME_CRC32_LOAD(p));
            b = ECGFRAME_CRC32_TIMES_ADDED(b, by, ECGFRAME_CRC32_LOAD(p + 1 * ECGFRAME_CRC32_WIDTH));
            c = ECGFRAME_CRC32_TIMES_ADDED(c, by, ECGFRAME_CRC32_LOAD(p + 2 * ECGFRAME_CRC32_WIDTH));
            d = ECGFRAME_CRC32_TIMES_ADDED(d, by, ECGFRAME_CRC32_LOAD(p + 3 * ECGFRAME_CRC32_WIDTH));
        }
        if (n >= 2 * ECGFRAME_CRC32_WIDTH) {  /* with the powers that are loaded already */
            ECGFRAME_CRC32_V next = ECGFRAME_CRC32_TIMES_ADDED(a, by, ECGFRAME_CRC32_LOAD(p));
            ECGFRAME_CRC32_V after = ECGFRAME_CRC32_TIMES_ADDED(b, by, ECGFRAME_CRC32_LOAD(p + ECGFRAME_CRC32_WIDTH));
            a = c;
            b = d;
            c = next;
            d = after;
            p += 2 * ECGFRAME_CRC32_WIDTH;
            n -= 2 * ECGFRAME_CRC32_WIDTH;
        }
        if (n >= ECGFRAME_CRC32_WIDTH) {
            ECGFRAME_CRC32_V next = ECGFRAME_CRC32_TIMES_ADDED(a, by, ECGFRAME_CRC32_LOAD(p));
            a = b;
            b = c;
            c = d;
            d = next;
            p += ECGFRAME_CRC32_WIDTH;
            n -= ECGFRAME_CRC32_WIDTH;
        }
        seed = ECGFRAME_CRC32_ZERO();
        sum = ECGFRAME_CRC32_MOVED_ADDED(a, n + 3 * ECGFRAME_CRC32_WIDTH, sum);
        sum = ECGFRAME_CRC32_MOVED_ADDED(b, n + 2 * ECGFRAME_CRC32_WIDTH, sum);
        sum = ECGFRAME_CRC32_MOVED_ADDED(c, n + 1 * ECGFRAME_CRC32_WIDTH, sum);
        sum = ECGFRAME_CRC32_MOVED_ADDED(d, n, sum);
    }
    for (; n >= ECGFRAME_CRC32_WIDTH; p += ECGFRAME_CRC32_WIDTH) {
        n -= ECGFRAME_CRC32_WIDTH;
        sum = ECGFRAME_CRC32_MOVED_ADDED(ECGFRAME_CRC32_XOR(ECGFRAME_CRC32_LOAD(p), seed), n, sum);
        seed = ECGFRAME_CRC32_ZERO();
    }
#ifdef ECGFRAME_CRC32_LOAD_FIRST
    if (n) {
        ECGFRAME_CRC32_V first = ECGFRAME_CRC32_XOR(ECGFRAME_CRC32_LOAD_FIRST(p, n), seed);
        sum = ECGFRAME_CRC32_MOVED_ADDED(first, (ptrdiff_t)n - ECGFRAME_CRC32_WIDTH, sum);
    }
    return ecgframe_crc32_divided(ECGFRAME_CRC32_GATHER(sum));
#else
    last = ECGFRAME_CRC32_GATHER(sum);
#if ECGFRAME_CRC32_WIDTH == 32
    if (n >= 16) {
        __m128i block = _mm_xor_si128(_mm_loadu_si128((const __m128i*)p), _mm256_castsi256_si128(seed));
        n -= 16;
        p += 16;
        last = _mm_xor_si128(last, ecgframe_crc32_moved(block, (ptrdiff_t)n));
    }
#endif
    if (n) last = _mm_xor_si128(last, ecgframe_crc32_moved(ecgframe_crc32_load_last(p + n, n), 0));
    return ecgframe_crc32_divided(last);
#endif
}

#undef ECGFRAME_CRC32_FEW
#undef ECGFRAME_CRC32_MANY
#undef ECGFRAME_CRC32_BY
#undef ECGFRAME_CRC32_MOVED_ADDED
#undef ECGFRAME_CRC32_NAME
#undef ECGFRAME_CRC32_FEATURES
#undef ECGFRAME_CRC32_WIDTH
#undef ECGFRAME_CRC32_V
#undef ECGFRAME_CRC32_LOAD
#undef ECGFRAME_CRC32_LOAD_FIRST
#undef ECGFRAME_CRC32_SEED
#undef ECGFRAME_CRC32_ZERO
#undef ECGFRAME_CRC32_ALL
#undef ECGFRAME_CRC32_XOR
#undef ECGFRAME_CRC32_TIMES_ADDED
#undef ECGFRAME_CRC32_GATHER
