/*
 * Frames of ecgframe, written in C99 for a device: versions 1 to 3 of the protocol, without allocation.
 *
 * One file, without sources of its own; it needs <stddef.h>, <stdint.h> and <string.h>. Each function writes into the
 * buffer of its caller and never beyond it. Errors are kept until ecgframe_end(), which returns 0 then.
 *
 *     uint8_t buffer[2048];
 *     ecgframe_writer w;
 *     struct ecgframe_ecg ecg = {.samples16 = counts, .leads = 2, .columns = 25, .stride = 25, .sampling_rate = 500,
 *                                .gain = 200, .units = "mV", .stream = "ecg/bed-7", .sequence = &number};
 *     ecgframe_begin(&w, buffer, sizeof buffer, 3, ECGFRAME_ECG_DATA, 0, microseconds_since_1970);
 *     ecgframe_put_ecg(&w, &ecg);
 *     size_t size = ecgframe_end(&w);
 *     if (size == 0) fail(ecgframe_error_text(w.error), w.needed);
 *
 * The protocol, byte by byte: docs/protocol.md. MIT licence, as all of ecgframe.
 */
#ifndef ECGFRAME_H
#define ECGFRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ECGFRAME_V1_HEADER 11
#define ECGFRAME_V3_HEADER 19
/* Arrays and maps that may be open at once. Receivers accept 64; the messages of the protocol need four. */
#define ECGFRAME_DEPTH 8

enum ecgframe_type {
    ECGFRAME_ECG_DATA = 0x01,
    ECGFRAME_ANOMALY_ALERT = 0x02,
    ECGFRAME_PREDICTION_RESULT = 0x03,
    ECGFRAME_FEATURE_DATA = 0x04,
    ECGFRAME_HEARTBEAT = 0x10,
};

/* Version 3 only. */
enum ecgframe_flag {
    ECGFRAME_PRIORITY = 0x04,
    ECGFRAME_BROADCAST = 0x08,
    ECGFRAME_ACK_REQUIRED = 0x10,
};

enum ecgframe_form {
    ECGFRAME_LIST = 0,   /* every peer reads it */
    ECGFRAME_BINARY = 1, /* for peers that announced the capability ndarray-bin */
};

enum ecgframe_error {
    ECGFRAME_OK = 0,
    ECGFRAME_TOO_SMALL,   /* the buffer; ecgframe_writer.needed says how many bytes the frame takes */
    ECGFRAME_BAD_VERSION, /* other than 1, 2, 3 */
    ECGFRAME_BAD_TYPE,    /* none of ecgframe_type */
    ECGFRAME_BAD_FLAGS,   /* that the version does not have, or that only the protocol sets */
    ECGFRAME_BAD_COUNT,   /* a map or an array has more or fewer values than it announced */
    ECGFRAME_BAD_TEXT,    /* not UTF-8 */
    ECGFRAME_BAD_SIGNAL,  /* both or neither kind of samples, leads that overlap, or a number that is not finite */
};

typedef struct {
    uint8_t *buffer;
    size_t size;
    size_t needed; /* bytes of the frame so far, also where the buffer is too small for them */
    enum ecgframe_error error;
    int header;
    int depth;
    uint64_t open[ECGFRAME_DEPTH + 1]; /* values that are still missing, of each open map or array */
} ecgframe_writer;

/* A message with samples. Zero and NULL leave out what is not known, but for the fields that are marked as required. */
struct ecgframe_ecg {
    const int16_t *samples16;    /* required: one of both, lead by lead, ADC counts */
    const int32_t *samples32;
    uint32_t leads;              /* required */
    uint32_t columns;            /* required: samples of each lead */
    size_t stride;               /* required: elements from one lead to the next */
    double sampling_rate;        /* required: samples a second of each lead */
    const double *timestamp;     /* of the first sample, in seconds since 1970 */
    const char *stream;          /* the name under which viewers subscribe */
    const char *const *names;    /* of the leads */
    const char *units;           /* of the physical values, such as "mV" */
    double gain;                 /* counts per unit */
    const int32_t *baseline;     /* the count of physical zero */
    const int32_t *missing;      /* the count that stands for a sample that is missing */
    const uint64_t *sequence;    /* of the message within its stream, by which receivers see losses */
    const char *device_id;
    enum ecgframe_form form;
};

/* --- the frame --- */

/* Returns the CRC-32 of bytes, as in zlib; continues the one of the bytes before them. */
static inline uint32_t ecgframe_crc32(uint32_t crc, const uint8_t *bytes, size_t size)
{
    static const uint32_t of_four_bits[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    crc = ~crc;
    while (size--) {
        crc ^= *bytes++;
        crc = crc >> 4 ^ of_four_bits[crc & 15];
        crc = crc >> 4 ^ of_four_bits[crc & 15];
    }
    return ~crc;
}

static inline void ecgframe_fail(ecgframe_writer *w, enum ecgframe_error error)
{
    if (w->error == ECGFRAME_OK) w->error = error;
}

/* Writes so many big-endian bytes of a number, or counts them where the buffer has ended. */
static inline void ecgframe_put_bytes(ecgframe_writer *w, uint64_t value, int count)
{
    for (int shift = 8 * (count - 1); shift >= 0; shift -= 8) {
        if (w->needed < w->size) w->buffer[w->needed] = (uint8_t)(value >> shift);
        w->needed++;
    }
}

/*
 * Begins a frame in a buffer.
 *
 * version: 1, 2 or 3; that of the peer. type: one of ecgframe_type. flags: of ecgframe_flag, in version 3.
 * timestamp: microseconds since 1970, in version 3.
 */
static inline void ecgframe_begin(ecgframe_writer *w, void *buffer, size_t size, int version, int type, int flags,
                                  uint64_t timestamp)
{
    memset(w, 0, sizeof *w);
    w->buffer = (uint8_t *)buffer;
    w->size = size;
    w->header = version == 3 ? ECGFRAME_V3_HEADER : ECGFRAME_V1_HEADER;
    w->open[0] = 1;
    if (version < 1 || version > 3) ecgframe_fail(w, ECGFRAME_BAD_VERSION);
    if (!((type >= ECGFRAME_ECG_DATA && type <= ECGFRAME_FEATURE_DATA) || type == ECGFRAME_HEARTBEAT))
        ecgframe_fail(w, ECGFRAME_BAD_TYPE);
    if (flags & ~(version == 3 ? ECGFRAME_PRIORITY | ECGFRAME_BROADCAST | ECGFRAME_ACK_REQUIRED : 0))
        ecgframe_fail(w, ECGFRAME_BAD_FLAGS);
    ecgframe_put_bytes(w, (uint64_t)version, 1);
    ecgframe_put_bytes(w, (uint64_t)type, 1);
    ecgframe_put_bytes(w, (uint64_t)flags, 1);
    ecgframe_put_bytes(w, 0, 8); /* length and checksum */
    if (version == 3) ecgframe_put_bytes(w, timestamp, 8);
}

/* Ends the frame. Returns its bytes; 0 if there is an error, and the buffer holds no frame. */
static inline size_t ecgframe_end(ecgframe_writer *w)
{
    if (w->depth != 0 || w->open[0] != 0) ecgframe_fail(w, ECGFRAME_BAD_COUNT);
    if (w->needed > w->size || w->needed - (size_t)w->header > UINT32_MAX) ecgframe_fail(w, ECGFRAME_TOO_SMALL);
    if (w->error != ECGFRAME_OK) return 0;
    size_t end = w->needed, payload = end - (size_t)w->header;
    uint32_t crc = ecgframe_crc32(0, w->buffer + w->header, payload);
    w->needed = 3;
    ecgframe_put_bytes(w, payload, 4);
    ecgframe_put_bytes(w, crc, 4);
    w->needed = end;
    return end;
}

static inline const char *ecgframe_error_text(enum ecgframe_error error)
{
    static const char *const texts[] = {
        "no error",
        "the buffer is too small for the frame",
        "the version is not 1, 2 or 3",
        "the type is not one that a device sends",
        "the version does not have these flags",
        "a map or an array has another number of values than announced, or too many are open",
        "a text is not UTF-8",
        "a signal needs one kind of samples, leads that do not overlap, a sampling rate, and finite numbers",
    };
    return error >= ECGFRAME_OK && error <= ECGFRAME_BAD_SIGNAL ? texts[error] : "an unknown error";
}

/* --- values, each in its shortest form --- */

/* Counts a value in the map or array that is open; begins one of so many values where there are any. */
static inline void ecgframe_count(ecgframe_writer *w, uint64_t values)
{
    if (w->open[w->depth] == 0) {
        ecgframe_fail(w, ECGFRAME_BAD_COUNT);
        return;
    }
    w->open[w->depth]--;
    if (values != 0) {
        if (w->depth == ECGFRAME_DEPTH) {
            ecgframe_fail(w, ECGFRAME_BAD_COUNT);
            return;
        }
        w->open[++w->depth] = values;
    }
    while (w->depth > 0 && w->open[w->depth] == 0) w->depth--;
}

/* Writes a length with its tag: within the tag, or behind one of 8, 16 or 32 bits; tag8 is 0 where there is none. */
static inline void ecgframe_put_length(ecgframe_writer *w, uint32_t length, int fix, uint32_t most, int tag8, int tag16)
{
    if (length <= most)
        ecgframe_put_bytes(w, (uint64_t)fix | length, 1);
    else if (tag8 != 0 && length <= UINT8_MAX) {
        ecgframe_put_bytes(w, (uint64_t)tag8, 1);
        ecgframe_put_bytes(w, length, 1);
    } else if (length <= UINT16_MAX) {
        ecgframe_put_bytes(w, (uint64_t)tag16, 1);
        ecgframe_put_bytes(w, length, 2);
    } else {
        ecgframe_put_bytes(w, (uint64_t)tag16 + 1, 1);
        ecgframe_put_bytes(w, length, 4);
    }
}

static inline void ecgframe_put_nil(ecgframe_writer *w)
{
    ecgframe_count(w, 0);
    ecgframe_put_bytes(w, 0xc0, 1);
}

static inline void ecgframe_put_bool(ecgframe_writer *w, int value)
{
    ecgframe_count(w, 0);
    ecgframe_put_bytes(w, value ? 0xc3 : 0xc2, 1);
}

/* Writes an integer without counting it. */
static inline void ecgframe_put_integer(ecgframe_writer *w, int64_t value)
{
    static const uint8_t tags[2][4] = {{0xcc, 0xcd, 0xce, 0xcf}, {0xd0, 0xd1, 0xd2, 0xd3}};
    int negative = value < 0, width = 0;
    if (value >= -32 && value <= 127) {
        ecgframe_put_bytes(w, (uint64_t)value & 0xff, 1);
        return;
    }
    while (width < 3 && (negative ? value < -((int64_t)1 << (8 * (1 << width) - 1))
                                  : (uint64_t)value >> (8 * (1 << width)) != 0))
        width++;
    ecgframe_put_bytes(w, tags[negative][width], 1);
    ecgframe_put_bytes(w, (uint64_t)value, 1 << width);
}

static inline void ecgframe_put_int(ecgframe_writer *w, int64_t value)
{
    ecgframe_count(w, 0);
    ecgframe_put_integer(w, value);
}

static inline void ecgframe_put_uint(ecgframe_writer *w, uint64_t value)
{
    ecgframe_count(w, 0);
    if (value <= INT64_MAX) {
        ecgframe_put_integer(w, (int64_t)value);
        return;
    }
    ecgframe_put_bytes(w, 0xcf, 1);
    ecgframe_put_bytes(w, value, 8);
}

static inline void ecgframe_put_double(ecgframe_writer *w, double value)
{
    uint64_t bits;
    ecgframe_count(w, 0);
    memcpy(&bits, &value, sizeof bits);
    ecgframe_put_bytes(w, 0xcb, 1);
    ecgframe_put_bytes(w, bits, 8);
}

/* Writes a whole number as an integer, and any other one as a double. */
static inline void ecgframe_put_number(ecgframe_writer *w, double value)
{
    if (value > -9e15 && value < 9e15 && (double)(int64_t)value == value)
        ecgframe_put_int(w, (int64_t)value);
    else
        ecgframe_put_double(w, value);
}

static inline int ecgframe_is_utf8(const char *text, size_t size)
{
    const uint8_t *at = (const uint8_t *)text, *end = at + size;
    while (at < end) {
        uint8_t first = *at++;
        int more = first < 0x80 ? 0 : first >= 0xc2 && first < 0xe0 ? 1 : (first & 0xf0) == 0xe0 ? 2 : 3;
        if (first >= 0x80 && (first < 0xc2 || first > 0xf4 || end - at < more)) return 0;
        if (more > 0 && ((first == 0xe0 && *at < 0xa0) || (first == 0xed && *at > 0x9f) ||
                         (first == 0xf0 && *at < 0x90) || (first == 0xf4 && *at > 0x8f)))
            return 0; /* longer than needed, half of a surrogate pair, or beyond the last character */
        while (more-- > 0)
            if ((*at++ & 0xc0) != 0x80) return 0;
    }
    return 1;
}

static inline void ecgframe_put_raw(ecgframe_writer *w, const void *bytes, size_t size)
{
    if (w->needed <= w->size && size <= w->size - w->needed) memcpy(w->buffer + w->needed, bytes, size);
    w->needed += size;
}

static inline void ecgframe_put_text(ecgframe_writer *w, const char *text)
{
    size_t size = strlen(text);
    ecgframe_count(w, 0);
    if (size > UINT32_MAX || !ecgframe_is_utf8(text, size)) {
        ecgframe_fail(w, ECGFRAME_BAD_TEXT);
        return;
    }
    ecgframe_put_length(w, (uint32_t)size, 0xa0, 31, 0xd9, 0xda);
    ecgframe_put_raw(w, text, size);
}

/* Begins an array of so many values; they follow. */
static inline void ecgframe_put_array(ecgframe_writer *w, uint32_t length)
{
    ecgframe_count(w, length);
    ecgframe_put_length(w, length, 0x90, 15, 0, 0xdc);
}

/* Begins a map of so many entries; a key and a value of each follow. */
static inline void ecgframe_put_map(ecgframe_writer *w, uint32_t length)
{
    ecgframe_count(w, 2 * (uint64_t)length);
    ecgframe_put_length(w, length, 0x80, 15, 0, 0xde);
}

/* --- samples --- */

static inline int ecgframe_is_finite(double value) { return value - value == 0; }

static inline int64_t ecgframe_sample(const struct ecgframe_ecg *ecg, size_t lead, size_t column)
{
    size_t place = lead * ecg->stride + column;
    return ecg->samples16 ? ecg->samples16[place] : ecg->samples32[place];
}

static inline void ecgframe_put_list_form(ecgframe_writer *w, const struct ecgframe_ecg *ecg)
{
    ecgframe_put_map(w, 3);
    ecgframe_put_text(w, "__ndarray__");
    ecgframe_count(w, 0);
    ecgframe_put_length(w, ecg->leads, 0x90, 15, 0, 0xdc);
    for (size_t lead = 0; lead < ecg->leads; lead++) {
        ecgframe_put_length(w, ecg->columns, 0x90, 15, 0, 0xdc);
        for (size_t column = 0; column < ecg->columns; column++)
            ecgframe_put_integer(w, ecgframe_sample(ecg, lead, column));
    }
    ecgframe_put_text(w, "dtype");
    ecgframe_put_text(w, ecg->samples16 ? "int16" : "int32");
}

/* Writes the samples at a multiple of 8 from the beginning of the frame, so that receivers can use them where they are. */
static inline void ecgframe_put_binary_form(ecgframe_writer *w, const struct ecgframe_ecg *ecg)
{
    int width = ecg->samples16 ? 2 : 4;
    uint64_t nbytes = (uint64_t)ecg->leads * ecg->columns * (uint64_t)width;
    if (nbytes > UINT32_MAX) {
        ecgframe_fail(w, ECGFRAME_BAD_SIGNAL);
        return;
    }
    size_t before = 1 + 6 + 6 + 12 + (nbytes <= UINT8_MAX ? 2 : nbytes <= UINT16_MAX ? 3 : 5);
    unsigned missing = (unsigned)(0 - (w->needed + before)) & 7; /* one bit for each header that is made wider */
    ecgframe_count(w, 6);
    ecgframe_put_bytes(w, missing & 4 ? 0xdf00000003 : 0x83, missing & 4 ? 5 : 1);
    ecgframe_count(w, 0);
    ecgframe_put_bytes(w, missing & 1 ? 0xd905 : 0xa5, missing & 1 ? 2 : 1);
    ecgframe_put_raw(w, "dtype", 5);
    ecgframe_put_text(w, ecg->samples16 ? "int16" : "int32");
    ecgframe_count(w, 0);
    ecgframe_put_bytes(w, missing & 2 ? 0xda000b : 0xab, missing & 2 ? 3 : 1);
    ecgframe_put_raw(w, "__ndarray__", 11);
    ecgframe_count(w, 0);
    if (nbytes <= UINT8_MAX)
        ecgframe_put_bytes(w, 0xc400 | nbytes, 2);
    else if (nbytes <= UINT16_MAX)
        ecgframe_put_bytes(w, 0xc50000 | nbytes, 3);
    else
        ecgframe_put_bytes(w, 0xc600000000 | nbytes, 5);
    for (size_t lead = 0; lead < ecg->leads; lead++)
        for (size_t column = 0; column < ecg->columns; column++) {
            uint32_t count = (uint32_t)ecgframe_sample(ecg, lead, column); /* little-endian */
            if (width == 2)
                ecgframe_put_bytes(w, (count & 0xff) << 8 | (count >> 8 & 0xff), 2);
            else
                ecgframe_put_bytes(w, (count & 0xff) << 24 | (count & 0xff00) << 8 | (count >> 8 & 0xff00) | count >> 24, 4);
        }
}

/* Writes the map of an ECG_DATA message. */
static inline void ecgframe_put_ecg(ecgframe_writer *w, const struct ecgframe_ecg *ecg)
{
    if (!ecg->samples16 == !ecg->samples32 || ecg->stride < ecg->columns || !(ecg->sampling_rate > 0) ||
        !ecgframe_is_finite(ecg->sampling_rate) || !ecgframe_is_finite(ecg->gain) ||
        (ecg->timestamp && !ecgframe_is_finite(*ecg->timestamp))) {
        ecgframe_fail(w, ECGFRAME_BAD_SIGNAL);
        return;
    }
    ecgframe_put_map(w, (uint32_t)(2 + (ecg->timestamp != NULL) + (ecg->stream != NULL) + (ecg->names != NULL) +
                                   (ecg->units != NULL) + (ecg->gain != 0) + (ecg->baseline != NULL) +
                                   (ecg->missing != NULL) + (ecg->sequence != NULL) + (ecg->device_id != NULL)));
    ecgframe_put_text(w, "signal");
    if (ecg->form == ECGFRAME_BINARY)
        ecgframe_put_binary_form(w, ecg);
    else
        ecgframe_put_list_form(w, ecg);
    ecgframe_put_text(w, "shape");
    ecgframe_put_array(w, 2);
    ecgframe_put_uint(w, ecg->leads);
    ecgframe_put_uint(w, ecg->columns);
    ecgframe_put_text(w, "sampling_rate");
    ecgframe_put_number(w, ecg->sampling_rate);
    if (ecg->timestamp) {
        ecgframe_put_text(w, "timestamp");
        ecgframe_put_double(w, *ecg->timestamp);
    }
    if (ecg->stream) {
        ecgframe_put_text(w, "stream");
        ecgframe_put_text(w, ecg->stream);
    }
    if (ecg->names) {
        ecgframe_put_text(w, "leads");
        ecgframe_put_array(w, ecg->leads);
        for (uint32_t lead = 0; lead < ecg->leads; lead++) ecgframe_put_text(w, ecg->names[lead]);
    }
    if (ecg->units) {
        ecgframe_put_text(w, "units");
        ecgframe_put_text(w, ecg->units);
    }
    if (ecg->gain != 0) {
        ecgframe_put_text(w, "gain");
        ecgframe_put_number(w, ecg->gain);
    }
    if (ecg->baseline) {
        ecgframe_put_text(w, "baseline");
        ecgframe_put_int(w, *ecg->baseline);
    }
    if (ecg->missing) {
        ecgframe_put_text(w, "missing");
        ecgframe_put_int(w, *ecg->missing);
    }
    if (ecg->sequence) {
        ecgframe_put_text(w, "sequence");
        ecgframe_put_uint(w, *ecg->sequence);
    }
    if (ecg->device_id) {
        ecgframe_put_text(w, "device_id");
        ecgframe_put_text(w, ecg->device_id);
    }
}

#endif
