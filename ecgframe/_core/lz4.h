/* LZ4 blocks: a compressor for small messages, and a decompressor that trusts nothing.

   A block is a series of sequences: a token, whose upper four bits are the number of literals and whose lower four bits
   are the length of a match minus 4; the literals; the offset of the match, two bytes, little-endian. A number of 15 is
   continued by bytes that are added, up to the first one below 255. The last sequence ends after its literals. By the
   format, a match begins at least 12 bytes before the end of the content, and the last 5 bytes are literals.

   The plain twin (plain/lz4.py) finds the same matches, so that both write the same bytes. */

#ifndef ECGFRAME_LZ4_H
#define ECGFRAME_LZ4_H

#include <stdint.h>
#include <string.h>

#define ECGFRAME_LZ4_HASH_BITS 12
#define ECGFRAME_LZ4_LEAST_MATCH 4
#define ECGFRAME_LZ4_LAST_LITERALS 5
#define ECGFRAME_LZ4_LAST_MATCH 12
#define ECGFRAME_LZ4_FARTHEST 65535
#define ECGFRAME_LZ4_PATIENCE 6  /* after 64 positions without a match, every second one is tried, and so on */

/* Results of decompressing, other than 0. */
#define ECGFRAME_LZ4_CUT_SHORT 1
#define ECGFRAME_LZ4_TOO_LONG 2
#define ECGFRAME_LZ4_BAD_OFFSET 3
#define ECGFRAME_LZ4_TOO_SHORT 4

static inline uint32_t ecgframe_lz4_four(const uint8_t* p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint32_t ecgframe_lz4_hash(uint32_t four) {
  return (four * 2654435761U) >> (32 - ECGFRAME_LZ4_HASH_BITS);
}

/* Number of the first bytes that are the same, at most n. */
static inline size_t ecgframe_lz4_same(const uint8_t* a, const uint8_t* b, size_t n) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t x, y;
    memcpy(&x, a + i, 8);
    memcpy(&y, b + i, 8);
    if (x != y) break;
  }
  while (i < n && a[i] == b[i]) i++;
  return i;
}

/* Bytes that continue a number of a token. */
static inline size_t ecgframe_lz4_more(size_t number) { return number < 15 ? 0 : (number - 15) / 255 + 1; }

static inline uint8_t* ecgframe_lz4_continue(uint8_t* out, size_t number) {
  if (number < 15) return out;
  for (number -= 15; number >= 255; number -= 255) *out++ = 255;
  *out++ = (uint8_t)number;
  return out;
}

/* Copy literals: most are few, and are copied 16 at once where both sides have the room. */
static inline void ecgframe_lz4_literals(uint8_t* out, const uint8_t* p, size_t count, size_t room, size_t left) {
  if (count <= 16 && room >= 16 && left >= 16)
    memcpy(out, p, 16);
  else if (count)
    memcpy(out, p, count);
}

/* Compress n bytes, fewer than 2**32, to at most room bytes. Returns the size of the block; 0 if it needs more. */
static size_t ecgframe_lz4_compress(const uint8_t* src, size_t n, uint8_t* dst, size_t room) {
  uint32_t table[1 << ECGFRAME_LZ4_HASH_BITS];
  uint8_t* out = dst;
  size_t anchor = 0, i = 1, literals;
  uint32_t tried = 1 << ECGFRAME_LZ4_PATIENCE;
  if (n > ECGFRAME_LZ4_LAST_MATCH) {
    const size_t last = n - ECGFRAME_LZ4_LAST_MATCH, end = n - ECGFRAME_LZ4_LAST_LITERALS;
    memset(table, 0, sizeof(table));
    while (i <= last) {
      const uint32_t four = ecgframe_lz4_four(src + i);
      const uint32_t slot = ecgframe_lz4_hash(four);
      size_t from = table[slot], length = ECGFRAME_LZ4_LEAST_MATCH;
      table[slot] = (uint32_t)i;
      if (i - from > ECGFRAME_LZ4_FARTHEST || ecgframe_lz4_four(src + from) != four) {
        i += tried++ >> ECGFRAME_LZ4_PATIENCE;
        continue;
      }
      length += ecgframe_lz4_same(src + i + length, src + from + length, end - i - length);
      while (i > anchor && from > 0 && src[i - 1] == src[from - 1]) i--, from--, length++;
      literals = i - anchor;
      length -= ECGFRAME_LZ4_LEAST_MATCH;
      if (1 + ecgframe_lz4_more(literals) + literals + 2 + ecgframe_lz4_more(length) > room - (size_t)(out - dst)) return 0;
      *out++ = (uint8_t)((literals < 15 ? literals : 15) << 4 | (length < 15 ? length : 15));
      out = ecgframe_lz4_continue(out, literals);
      ecgframe_lz4_literals(out, src + anchor, literals, room - (size_t)(out - dst), n - anchor);
      out += literals;
      *out++ = (uint8_t)(i - from);
      *out++ = (uint8_t)((i - from) >> 8);
      out = ecgframe_lz4_continue(out, length);
      i += length + ECGFRAME_LZ4_LEAST_MATCH;
      anchor = i;
      table[ecgframe_lz4_hash(ecgframe_lz4_four(src + i - 2))] = (uint32_t)(i - 2);
      tried = 1 << ECGFRAME_LZ4_PATIENCE;
    }
  }
  literals = n - anchor;
  if (1 + ecgframe_lz4_more(literals) + literals > room - (size_t)(out - dst)) return 0;
  *out++ = (uint8_t)((literals < 15 ? literals : 15) << 4);
  out = ecgframe_lz4_continue(out, literals);
  if (literals) memcpy(out, src + anchor, literals);
  return (size_t)(out + literals - dst);
}

/* Read the bytes that continue a number of a token. Returns 0 if the block ends within them. */
static inline int ecgframe_lz4_number(const uint8_t** p, const uint8_t* end, size_t* number) {
  uint8_t more;
  if (*number < 15) return 1;
  do {
    if (*p == end) return 0;
    more = *(*p)++;
    *number += more;
  } while (more == 255);
  return 1;
}

/* Copy a match, which may overlap its own copy. Of the at least 8 bytes of room after it, up to 7 are overwritten. */
static inline void ecgframe_lz4_match(uint8_t* out, size_t offset, size_t length, size_t room) {
  const uint8_t* from = out - offset;
  if (offset >= 8 && room - length >= 8) {
    const uint8_t* end = out + length;
    do {
      memcpy(out, from, 8);
      out += 8;
      from += 8;
    } while (out < end);
    return;
  }
  while (length > offset) {  /* what was copied doubles the distance */
    memcpy(out, from, offset);
    out += offset;
    length -= offset;
    offset += offset;
  }
  memcpy(out, out - offset, length);
}

/* Decompress a block of n bytes to exactly size bytes. Returns 0, or one of the results above, with dst half full. */
static int ecgframe_lz4_decompress(const uint8_t* src, size_t n, uint8_t* dst, size_t size) {
  const uint8_t* p = src;
  const uint8_t* const end = src + n;
  uint8_t* out = dst;
  uint8_t* const out_end = dst + size;
  for (;;) {
    size_t literals, length, offset;
    uint8_t token;
    if (p == end) return ECGFRAME_LZ4_CUT_SHORT;
    token = *p++;
    literals = token >> 4;
    if (!ecgframe_lz4_number(&p, end, &literals) || literals > (size_t)(end - p)) return ECGFRAME_LZ4_CUT_SHORT;
    if (literals > (size_t)(out_end - out)) return ECGFRAME_LZ4_TOO_LONG;
    ecgframe_lz4_literals(out, p, literals, (size_t)(out_end - out), (size_t)(end - p));
    out += literals;
    p += literals;
    if (p == end) return out == out_end ? 0 : ECGFRAME_LZ4_TOO_SHORT;
    if (end - p < 2) return ECGFRAME_LZ4_CUT_SHORT;
    offset = (size_t)p[0] | (size_t)p[1] << 8;
    p += 2;
    if (offset == 0 || offset > (size_t)(out - dst)) return ECGFRAME_LZ4_BAD_OFFSET;
    length = token & 15;
    if (!ecgframe_lz4_number(&p, end, &length)) return ECGFRAME_LZ4_CUT_SHORT;
    length += ECGFRAME_LZ4_LEAST_MATCH;
    if (length > (size_t)(out_end - out)) return ECGFRAME_LZ4_TOO_LONG;
    ecgframe_lz4_match(out, offset, length, (size_t)(out_end - out));
    out += length;
  }
}

#endif
