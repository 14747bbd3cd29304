/*
 * A device: writes ten seconds of three leads as frames of version 3 to standard output.
 *
 *     cc -std=c99 -O2 -o device device.c && ./device > ecg.frames
 *     ecgframe inspect ecg.frames
 *     ecgframe decode ecg.frames -o ecg.csv
 */

#include <stdio.h>

#include "ecgframe.h"

enum { LEADS = 3, SAMPLES = 25, RATE = 250, FRAMES = 100 };

/* What the converter would give: a peak each second, another height in each lead. */
static int16_t convert(int lead, int sample) {
    const int in_second = sample % RATE;
    const int peak = in_second < 10 ? 100 * in_second : in_second < 20 ? 100 * (20 - in_second) : 0;
    return (int16_t)(peak * (lead + 1) / LEADS);
}

int main(void) {
    static const uint32_t shape[] = {LEADS, SAMPLES};
    static const char *const leads[] = {"I", "II", "III"};
    uint8_t frame[512];
    int16_t samples[LEADS][SAMPLES];
    ecgframe_writer w;
    size_t length;
    int number, lead, i;

    for (number = 0; number < FRAMES; number++) {
        const uint64_t microseconds = UINT64_C(1705314645000000) + (uint64_t)number * 1000000 * SAMPLES / RATE;
        for (lead = 0; lead < LEADS; lead++) {
            for (i = 0; i < SAMPLES; i++) {
                samples[lead][i] = convert(lead, number * SAMPLES + i);
            }
        }
        ecgframe_begin(&w, frame, sizeof frame, 3, ECGFRAME_ECG_DATA, 0, microseconds);
        ecgframe_map(&w, 6);
        ecgframe_text(&w, "stream");
        ecgframe_text(&w, "ecg/device");
        ecgframe_text(&w, "signal");
        ecgframe_array(&w, ECGFRAME_INT16, samples, 2, shape, ECGFRAME_BINARY);
        ecgframe_text(&w, "sampling_rate");
        ecgframe_int(&w, RATE);
        ecgframe_text(&w, "leads");
        ecgframe_list(&w, LEADS);
        for (lead = 0; lead < LEADS; lead++) {
            ecgframe_text(&w, leads[lead]);
        }
        ecgframe_text(&w, "sequence");
        ecgframe_int(&w, number);
        ecgframe_text(&w, "timestamp");
        ecgframe_double(&w, (double)microseconds / 1e6);
        length = ecgframe_end(&w);
        if (length == 0 || fwrite(frame, 1, length, stdout) != length) {
            return 1;
        }
    }
    return 0;
}
