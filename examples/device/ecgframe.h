/*
 * Encodes frames of ecgframe, versions 1 to 3, on a device: C99, one file, no allocation, no library.
 *
 *     uint8_t frame[1024];
 *     ecgframe_writer w;
 *     ecgframe_begin(&w, frame, sizeof frame, 3, ECGFRAME_ECG_DATA, 0, microseconds_since_1970);
 *     ecgframe_map(&w, 2);
 *     ecgframe_text(&w, "signal");
 *     ecgframe_array(&w, ECGFRAME_INT16, samples, 2, shape, ECGFRAME_BINARY);
 *     ecgframe_text(&w, "sampling_rate");
 *     ecgframe_int(&w, 500);
 *     size_t length = ecgframe_end(&w);            // 0 if the frame did not fit, or a call was wrong
 *
 * A frame is written in one pass, into the buffer that you give. The functions do not fail on the way: ecgframe_end
 * tells. Frames are not compressed, sealed or signed, and are those that a sender may send: integers, lengths and arrays
 * have the shortest form, floats have 64 bits. Text has to be UTF-8, and the keys of a map have to differ; this is not
 * checked. Pointers to samples need no alignment. The code works on either order of bytes, where double is IEEE 754.
 */

#ifndef ECGFRAME_H
#define ECGFRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Types of messages. */
enum {
    ECGFRAME_ECG_DATA = 0x01,
    ECGFRAME_ANOMALY_ALERT = 0x02,
    ECGFRAME_PREDICTION_RESULT = 0x03,
    ECGFRAME_FEATURE_DATA = 0x04,
    ECGFRAME_HEARTBEAT = 0x10,
    ECGFRAME_PING = 0x11,
    ECGFRAME_PONG = 0x12,
    ECGFRAME_SUBSCRIBE = 0x20,
    ECGFRAME_UNSUBSCRIBE = 0x21,
    ECGFRAME_SUBSCRIPTION_ACK = 0x22,
    ECGFRAME_VERSION_CHECK = 0xfd,
    ECGFRAME_PROTOCOL_NEGOTIATION = 0xfe,
    ECGFRAME_ERROR = 0xff
};

/* Flags, in version 3 only. */
enum {
    ECGFRAME_PRIORITY = 0x04,
    ECGFRAME_BROADCAST = 0x08,
    ECGFRAME_ACK_REQUIRED = 0x10
};

/* Types of the elements of an array. */
typedef enum {
    ECGFRAME_INT8,
    ECGFRAME_INT16,
    ECGFRAME_INT32,
    ECGFRAME_INT64,
    ECGFRAME_UINT8,
    ECGFRAME_UINT16,
    ECGFRAME_UINT32,
    ECGFRAME_UINT64,
    ECGFRAME_FLOAT32,
    ECGFRAME_FLOAT64
} ecgframe_dtype;

/* Forms of an array: every peer reads the list form; the binary one needs the capability "ndarray-bin". */
typedef enum { ECGFRAME_LIST, ECGFRAME_BINARY } ecgframe_form;

#ifndef ECGFRAME_DEPTH
#define ECGFRAME_DEPTH 16 /* arrays and maps inside each other, at most 64 */
#endif

#define ECGFRAME_DIMENSIONS 32 /* of an array */
#define ECGFRAME_DEEPEST 64    /* lists and maps inside each other that receivers read, those of arrays included */

/* The fields are private. */
typedef struct {
    uint8_t *buffer;
    size_t size;
    size_t used;
    uint64_t left[ECGFRAME_DEPTH + 1]; /* values that are still to come, by depth */
    int depth;
    int header;
    int failed;
} ecgframe_writer;

static inline void ecgframe__byte(ecgframe_writer *w, unsigned byte) {
    if (w->used >= w->size) {
        w->failed = 1;
    } else if (!w->failed) {
        w->buffer[w->used++] = (uint8_t)byte;
    }
}

static inline void ecgframe__bytes(ecgframe_writer *w, const void *bytes, size_t length) {
    if (w->failed || length > w->size - w->used) {
        w->failed = 1;
    } else if (length > 0) {
        memcpy(w->buffer + w->used, bytes, length);
        w->used += length;
    }
}

/* The lowest bytes of a number, the most significant one first. */
static inline void ecgframe__big(ecgframe_writer *w, uint64_t number, int bytes) {
    while (bytes-- > 0) {
        ecgframe__byte(w, (unsigned)(number >> (8 * bytes)) & 0xffu);
    }
}

static inline void ecgframe__put(uint8_t *to, uint64_t number, int bytes) {
    while (bytes-- > 0) {
        *to++ = (uint8_t)(number >> (8 * bytes));
    }
}

/* Counts a value. The payload is one value. */
static inline void ecgframe__value(ecgframe_writer *w) {
    if (w->failed) {
        return;
    }
    while (w->depth > 0 && w->left[w->depth] == 0) {
        w->depth--;
    }
    if (w->left[w->depth] == 0) {
        w->failed = 1;
    } else {
        w->left[w->depth]--;
    }
}

static inline void ecgframe__nest(ecgframe_writer *w, uint64_t values) {
    if (w->failed || w->depth == ECGFRAME_DEPTH) {
        w->failed = 1;
    } else {
        w->left[++w->depth] = values;
    }
}

static inline int ecgframe__is_type(unsigned type) {
    return (type >= 0x01 && type <= 0x04) || (type >= 0x10 && type <= 0x12) || (type >= 0x20 && type <= 0x22) ||
           (type >= 0xfd && type <= 0xff);
}

/*
 * Begin a frame.
 *
 * buffer, size: where it is written. version: 1, 2 or 3. type: of the message. flags: 0, or those of version 3.
 * timestamp: microseconds since 1970, in version 3; 0 before.
 */
static inline void ecgframe_begin(ecgframe_writer *w, uint8_t *buffer, size_t size, int version, unsigned type,
                                  unsigned flags, uint64_t timestamp) {
    const unsigned known = ECGFRAME_PRIORITY | ECGFRAME_BROADCAST | ECGFRAME_ACK_REQUIRED;
    memset(w, 0, sizeof *w);
    w->buffer = buffer;
    w->size = size;
    w->left[0] = 1;
    w->header = version == 3 ? 19 : 11;
    if (version < 1 || version > 3 || !ecgframe__is_type(type) || (flags & ~known) != 0 ||
        (version < 3 && (flags != 0 || timestamp != 0))) {
        w->failed = 1;
    }
    ecgframe__byte(w, (unsigned)version);
    ecgframe__byte(w, type);
    ecgframe__byte(w, flags);
    ecgframe__big(w, 0, 8); /* length and checksum, which ecgframe_end knows */
    if (version == 3) {
        ecgframe__big(w, timestamp, 8);
    }
}

static inline void ecgframe_nil(ecgframe_writer *w) {
    ecgframe__value(w);
    ecgframe__byte(w, 0xc0);
}

static inline void ecgframe_bool(ecgframe_writer *w, int is_true) {
    ecgframe__value(w);
    ecgframe__byte(w, is_true ? 0xc3 : 0xc2);
}

static inline void ecgframe__unsigned(ecgframe_writer *w, uint64_t number) {
    if (number < 0x80) {
        ecgframe__byte(w, (unsigned)number);
    } else if (number <= 0xff) {
        ecgframe__byte(w, 0xcc);
        ecgframe__big(w, number, 1);
    } else if (number <= 0xffff) {
        ecgframe__byte(w, 0xcd);
        ecgframe__big(w, number, 2);
    } else if (number <= 0xffffffffu) {
        ecgframe__byte(w, 0xce);
        ecgframe__big(w, number, 4);
    } else {
        ecgframe__byte(w, 0xcf);
        ecgframe__big(w, number, 8);
    }
}

static inline void ecgframe__signed(ecgframe_writer *w, int64_t number) {
    if (number >= 0) {
        ecgframe__unsigned(w, (uint64_t)number);
    } else if (number >= -32) {
        ecgframe__byte(w, 0x100u - (unsigned)-number);
    } else if (number >= -128) {
        ecgframe__byte(w, 0xd0);
        ecgframe__big(w, (uint64_t)number, 1);
    } else if (number >= -32768) {
        ecgframe__byte(w, 0xd1);
        ecgframe__big(w, (uint64_t)number, 2);
    } else if (number >= INT64_C(-2147483648)) {
        ecgframe__byte(w, 0xd2);
        ecgframe__big(w, (uint64_t)number, 4);
    } else {
        ecgframe__byte(w, 0xd3);
        ecgframe__big(w, (uint64_t)number, 8);
    }
}

static inline void ecgframe_int(ecgframe_writer *w, int64_t number) {
    ecgframe__value(w);
    ecgframe__signed(w, number);
}

static inline void ecgframe_uint(ecgframe_writer *w, uint64_t number) {
    ecgframe__value(w);
    ecgframe__unsigned(w, number);
}

static inline void ecgframe__float64(ecgframe_writer *w, double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    ecgframe__byte(w, 0xcb);
    ecgframe__big(w, bits, 8);
}

static inline void ecgframe_double(ecgframe_writer *w, double number) {
    ecgframe__value(w);
    ecgframe__float64(w, number);
}

/* A length, in the shortest of the forms with 0 (if small says so), 1 (if one is not 0), 2 and 4 bytes. */
static inline void ecgframe__length(ecgframe_writer *w, size_t length, unsigned small, size_t most_small, unsigned one,
                                    unsigned two) {
    if (most_small > 0 && length <= most_small) {
        ecgframe__byte(w, small | (unsigned)length);
    } else if (one != 0 && length <= 0xff) {
        ecgframe__byte(w, one);
        ecgframe__big(w, length, 1);
    } else if (length <= 0xffff) {
        ecgframe__byte(w, two);
        ecgframe__big(w, length, 2);
    } else if ((uint64_t)length <= 0xffffffffu) {
        ecgframe__byte(w, two + 1);
        ecgframe__big(w, length, 4);
    } else {
        w->failed = 1;
    }
}

static inline void ecgframe__string(ecgframe_writer *w, const char *text, size_t length) {
    ecgframe__length(w, length, 0xa0, 31, 0xd9, 0xda);
    ecgframe__bytes(w, text, length);
}

/* Text in UTF-8, also as the key of a map. */
static inline void ecgframe_text_of(ecgframe_writer *w, const char *text, size_t length) {
    ecgframe__value(w);
    ecgframe__string(w, text, length);
}

static inline void ecgframe_text(ecgframe_writer *w, const char *text) { ecgframe_text_of(w, text, strlen(text)); }

static inline void ecgframe_bytes(ecgframe_writer *w, const void *bytes, size_t length) {
    ecgframe__value(w);
    ecgframe__length(w, length, 0, 0, 0xc4, 0xc5);
    ecgframe__bytes(w, bytes, length);
}

/* A map: its entries follow, each a key (text or integer) and a value. */
static inline void ecgframe_map(ecgframe_writer *w, size_t entries) {
    ecgframe__value(w);
    ecgframe__length(w, entries, 0x80, 15, 0, 0xde);
    ecgframe__nest(w, 2 * (uint64_t)entries);
}

/* A list: its values follow. */
static inline void ecgframe_list(ecgframe_writer *w, size_t values) {
    ecgframe__value(w);
    ecgframe__length(w, values, 0x90, 15, 0, 0xdc);
    ecgframe__nest(w, values);
}

static inline int ecgframe__size_of(ecgframe_dtype dtype) {
    static const uint8_t sizes[] = {1, 2, 4, 8, 1, 2, 4, 8, 4, 8};
    return sizes[dtype];
}

/* The bits of an element, which may be anywhere in memory. */
static inline uint64_t ecgframe__element(ecgframe_dtype dtype, const uint8_t *at) {
    uint8_t one;
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    switch (ecgframe__size_of(dtype)) {
        case 1: memcpy(&one, at, 1); return one;
        case 2: memcpy(&two, at, 2); return two;
        case 4: memcpy(&four, at, 4); return four;
        default: memcpy(&eight, at, 8); return eight;
    }
}

static inline void ecgframe__number(ecgframe_writer *w, ecgframe_dtype dtype, const uint8_t *at) {
    const uint64_t bits = ecgframe__element(dtype, at);
    switch (dtype) {
        case ECGFRAME_INT8: ecgframe__signed(w, bits < 0x80 ? (int64_t)bits : (int64_t)bits - 0x100); break;
        case ECGFRAME_INT16: ecgframe__signed(w, bits < 0x8000 ? (int64_t)bits : (int64_t)bits - 0x10000); break;
        case ECGFRAME_INT32:
            ecgframe__signed(w, bits < 0x80000000u ? (int64_t)bits : (int64_t)bits - INT64_C(0x100000000));
            break;
        case ECGFRAME_INT64: {
            int64_t number;
            memcpy(&number, at, sizeof number);
            ecgframe__signed(w, number);
            break;
        }
        case ECGFRAME_FLOAT32:
            ecgframe__byte(w, 0xca);
            ecgframe__big(w, bits, 4);
            break;
        case ECGFRAME_FLOAT64:
            ecgframe__byte(w, 0xcb);
            ecgframe__big(w, bits, 8);
            break;
        default: ecgframe__unsigned(w, bits); break;
    }
}

static inline void ecgframe__shape(ecgframe_writer *w, int dimensions, const uint32_t *shape) {
    int i;
    ecgframe__string(w, "shape", 5);
    ecgframe__length(w, (size_t)dimensions, 0x90, 15, 0, 0xdc);
    for (i = 0; i < dimensions; i++) {
        ecgframe__unsigned(w, shape[i]);
    }
}

/* The elements as nested lists, one level for each dimension. */
static inline void ecgframe__nested(ecgframe_writer *w, ecgframe_dtype dtype, const uint8_t *elements, int dimensions,
                                    const uint32_t *shape) {
    uint32_t at[ECGFRAME_DIMENSIONS + 1] = {0};
    const int size = ecgframe__size_of(dtype);
    int level = 0;
    if (dimensions == 0) {
        ecgframe__number(w, dtype, elements);
        return;
    }
    ecgframe__length(w, shape[0], 0x90, 15, 0, 0xdc);
    while (level >= 0 && !w->failed) {
        if (at[level] == shape[level]) {
            level--;
        } else if (level == dimensions - 1) {
            ecgframe__number(w, dtype, elements);
            elements += size;
            at[level]++;
        } else {
            at[level]++;
            level++;
            at[level] = 0;
            ecgframe__length(w, shape[level], 0x90, 15, 0, 0xdc);
        }
    }
}

/* The elements as little-endian bytes, whose first one stands at a multiple of 8 from the beginning of the frame. */
static inline void ecgframe__binary(ecgframe_writer *w, ecgframe_dtype dtype, const char *name, const uint8_t *elements,
                                    uint64_t count) {
    const int size = ecgframe__size_of(dtype);
    const uint64_t length = count * (uint64_t)size;
    const size_t before = w->used + 1 + 6 + 1 + strlen(name) + 12 + (length <= 0xff ? 2 : length <= 0xffff ? 3 : 5);
    const unsigned missing = (unsigned)(0 - before) & 7u;
    uint64_t i;
    int shift;
    if (missing & 4) {
        ecgframe__byte(w, 0xdf);
        ecgframe__big(w, 3, 4);
    } else {
        ecgframe__byte(w, 0x83);
    }
    if (missing & 1) {
        ecgframe__byte(w, 0xd9);
        ecgframe__byte(w, 5);
    } else {
        ecgframe__byte(w, 0xa5);
    }
    ecgframe__bytes(w, "dtype", 5);
    ecgframe__string(w, name, strlen(name));
    if (missing & 2) {
        ecgframe__byte(w, 0xda);
        ecgframe__big(w, 11, 2);
    } else {
        ecgframe__byte(w, 0xab);
    }
    ecgframe__bytes(w, "__ndarray__", 11);
    ecgframe__length(w, (size_t)length, 0, 0, 0xc4, 0xc5);
    for (i = 0; i < count && !w->failed; i++) {
        const uint64_t bits = ecgframe__element(dtype, elements);
        for (shift = 0; shift < 8 * size; shift += 8) {
            ecgframe__byte(w, (unsigned)(bits >> shift) & 0xffu);
        }
        elements += size;
    }
}

/*
 * An array of numbers.
 *
 * elements: in C order, the last dimension innermost, in the device's order of bytes. shape: the size of each dimension;
 * an ECG of 12 leads with 25 samples each has {12, 25}.
 */
static inline void ecgframe_array(ecgframe_writer *w, ecgframe_dtype dtype, const void *elements, int dimensions,
                                  const uint32_t *shape, ecgframe_form form) {
    static const char *const names[] = {"int8",   "int16",  "int32",  "int64",   "uint8",
                                        "uint16", "uint32", "uint64", "float32", "float64"};
    uint64_t count = 1;
    int i, is_empty = 0;
    ecgframe__value(w);
    if (w->failed || dimensions < 0 || dimensions > ECGFRAME_DIMENSIONS || (int)dtype < 0 ||
        (int)dtype > (int)ECGFRAME_FLOAT64 ||
        w->depth + 1 + (form == ECGFRAME_LIST && dimensions > 1 ? dimensions : 1) > ECGFRAME_DEEPEST) {
        w->failed = 1;
        return;
    }
    for (i = 0; i < dimensions; i++) {
        is_empty |= shape[i] == 0;
    }
    for (i = 0; i < dimensions && !is_empty; i++) {
        count *= shape[i];
        if (count > w->size) { /* each element takes at least a byte */
            w->failed = 1;
            return;
        }
    }
    count = is_empty ? 0 : count;
    if (form == ECGFRAME_BINARY) {
        ecgframe__binary(w, dtype, names[dtype], (const uint8_t *)elements, count);
        ecgframe__shape(w, dimensions, shape);
        return;
    }
    ecgframe__byte(w, 0x83);
    ecgframe__string(w, "__ndarray__", 11);
    ecgframe__nested(w, dtype, (const uint8_t *)elements, dimensions, shape);
    ecgframe__string(w, "dtype", 5);
    ecgframe__string(w, names[dtype], strlen(names[dtype]));
    ecgframe__shape(w, dimensions, shape);
}

/* CRC-32 as in zlib. crc: 0, or that of the bytes before. */
static inline uint32_t ecgframe_crc32(uint32_t crc, const uint8_t *bytes, size_t length) {
    static const uint32_t of[16] = {0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u,
                                    0x4db26158u, 0x5005713cu, 0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu,
                                    0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu};
    crc = ~crc;
    while (length-- > 0) {
        crc ^= *bytes++;
        crc = (crc >> 4) ^ of[crc & 15];
        crc = (crc >> 4) ^ of[crc & 15];
    }
    return ~crc;
}

/*
 * End a frame. Returns its length; 0 if it did not fit into the buffer, a value is missing or was too many, or an
 * argument was wrong. A payload without any value is nil.
 */
static inline size_t ecgframe_end(ecgframe_writer *w) {
    size_t payload;
    int is_missing = 0, i;
    if (w->failed) {
        return 0;
    }
    payload = w->used - (size_t)w->header;
    for (i = 0; i <= w->depth; i++) {
        is_missing |= w->left[i] != 0 && payload > 0;
    }
    if (is_missing || (uint64_t)payload > 0xffffffffu) {
        return 0;
    }
    ecgframe__put(w->buffer + 3, payload, 4);
    ecgframe__put(w->buffer + 7, ecgframe_crc32(0, w->buffer + w->header, payload), 4);
    return w->used;
}

#endif
