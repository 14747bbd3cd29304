/* Each kernel of crc32.h that this processor can run, against the definition of CRC-32, bit by bit. Bytes lie in blocks
   of exactly their size, so that a sanitizer or an emulator sees what reads past them. Prints the kernels' names. */

#include <stdio.h>
#include <stdlib.h>

#include "crc32.h"

static uint32_t by_definition(uint32_t checksum, const uint8_t* p, size_t n) {
    uint32_t rest = ~checksum;
    for (; n; p++, n--) {
        rest ^= *p;
        for (int bit = 0; bit < 8; bit++) rest = rest >> 1 ^ (rest & 1 ? ECGFRAME_CRC32_POLYNOMIAL : 0);
    }
    return ~rest;
}

int main(void) {
    enum { ALIGNMENTS = 16, LARGEST = 20000 };
    static uint8_t bytes[LARGEST];
    int failures = 0;
    ecgframe_crc32_prepare();
    for (int i = 0; i < LARGEST; i++) bytes[i] = (uint8_t)(rand() >> 7);
    for (int k = 0; k < ECGFRAME_CRC32_KERNELS; k++) {
        if (ecgframe_crc32_kernels[k].runs_here()) printf("%s\n", ecgframe_crc32_kernels[k].name);
    }
    for (size_t size = 0; size <= LARGEST; size += size < 1100 ? 1 : 2700) {
        size_t start = size % ALIGNMENTS;
        uint8_t* block = malloc(start + size + !(start + size));
        uint32_t before = (uint32_t)size * 2654435761U;
        uint32_t expected = by_definition(before, bytes, size);
        if (size) memcpy(block + start, bytes, size);
        for (int k = 0; k < ECGFRAME_CRC32_KERNELS; k++) {
            const ecgframe_crc32_kernel* kernel = &ecgframe_crc32_kernels[k];
            uint32_t found = kernel->runs_here() ? kernel->function(before, block + start, size) : expected;
            if (found != expected) {
                fprintf(stderr, "%s: %zu bytes: 0x%08x, not 0x%08x\n", kernel->name, size, found, expected);
                failures++;
            }
        }
        free(block);
    }
    return failures != 0;
}
