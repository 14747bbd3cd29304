/* Writes frames with examples/device/ecgframe.h as standard input says, one step a line, and prints them as hex. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ecgframe.h"

/* Decode hexadecimal digits into memory of exactly their size, so that a sanitizer sees each byte read beyond it. */
static uint8_t *bytes_of(const char *hex, size_t *length) {
    uint8_t *bytes;
    size_t i;
    unsigned byte;
    *length = strlen(hex) / 2;
    bytes = malloc(*length ? *length : 1);
    for (i = 0; bytes && i < *length; i++) {
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) {
            exit(2);
        }
        bytes[i] = (uint8_t)byte;
    }
    return bytes;
}

int main(void) {
    static char line[1 << 22];
    static char hex[1 << 21];
    ecgframe_writer w;
    uint8_t *buffer = NULL;
    memset(&w, 0, sizeof w);
    while (fgets(line, sizeof line, stdin)) {
        char step[16] = "";
        uint64_t a = 0, b = 0, c = 0, d = 0, e = 0;
        int64_t number = 0;
        hex[0] = 0;
        sscanf(line, "%15s", step);
        if (!strcmp(step, "begin")) {
            sscanf(line, "begin %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &a, &b, &c, &d, &e);
            free(buffer);
            buffer = malloc(a ? (size_t)a : 1);
            ecgframe_begin(&w, buffer, (size_t)a, (int)b, (unsigned)c, (unsigned)d, e);
        } else if (!strcmp(step, "nil")) {
            ecgframe_nil(&w);
        } else if (!strcmp(step, "bool")) {
            sscanf(line, "bool %" SCNu64, &a);
            ecgframe_bool(&w, (int)a);
        } else if (!strcmp(step, "int")) {
            sscanf(line, "int %" SCNd64, &number);
            ecgframe_int(&w, number);
        } else if (!strcmp(step, "uint")) {
            sscanf(line, "uint %" SCNu64, &a);
            ecgframe_uint(&w, a);
        } else if (!strcmp(step, "double")) {
            double value;
            sscanf(line, "double %" SCNx64, &a);
            memcpy(&value, &a, sizeof value);
            ecgframe_double(&w, value);
        } else if (!strcmp(step, "map")) {
            sscanf(line, "map %" SCNu64, &a);
            ecgframe_map(&w, (size_t)a);
        } else if (!strcmp(step, "list")) {
            sscanf(line, "list %" SCNu64, &a);
            ecgframe_list(&w, (size_t)a);
        } else if (!strcmp(step, "text") || !strcmp(step, "bytes")) {
            size_t length;
            uint8_t *bytes;
            sscanf(line, "%*s %2097151s", hex);
            bytes = bytes_of(hex, &length);
            if (step[0] == 't') {
                ecgframe_text_of(&w, (const char *)bytes, length);
            } else {
                ecgframe_bytes(&w, bytes, length);
            }
            free(bytes);
        } else if (!strcmp(step, "array")) {
            uint32_t shape[64];
            size_t length;
            int at = 0, used = 0, i;
            uint8_t *bytes;
            sscanf(line, "array %" SCNu64 " %" SCNu64 " %" SCNu64 "%n", &a, &b, &c, &at);
            for (i = 0; i < (int)c && i < 64; i++) {
                sscanf(line + at, "%" SCNu32 "%n", &shape[i], &used);
                at += used;
            }
            sscanf(line + at, " %2097151s", hex);
            bytes = bytes_of(hex, &length);
            ecgframe_array(&w, (ecgframe_dtype)a, bytes, (int)c, shape, (ecgframe_form)b);
            free(bytes);
        } else if (!strcmp(step, "end")) {
            const size_t length = ecgframe_end(&w);
            size_t i;
            for (i = 0; i < length; i++) {
                printf("%02x", buffer[i]);
            }
            printf("\n");
        } else {
            return 2;
        }
    }
    free(buffer);
    return 0;
}
