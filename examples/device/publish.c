/*
 * A device that measures two leads: writes a frame each 100 ms of signal to standard output, end to end.
 *
 *     cc -std=c99 -O2 -o publish publish.c
 *     ./publish ecg/bed-7 20 > two-seconds.frames
 *     ecgframe inspect two-seconds.frames
 *
 * On a device, each frame is one binary message of its WebSocket library, such as esp_websocket_client.
 */
#include "ecgframe.h"

#include <stdio.h>
#include <stdlib.h>

enum { RATE = 250, LEADS = 2, COLUMNS = RATE / 10, GAIN = 200 };

/* In place of an ADC: a beat each second, as straight lines between these counts. */
static int16_t measured(uint64_t sample, int lead)
{
    static const int16_t corners[][2] = {{0, 0},   {30, 0},  {40, 30},  {50, 0},   {62, 0},   {65, -20},
                                         {70, 220}, {75, -40}, {78, 0}, {110, 0}, {130, 60}, {150, 0}, {250, 0}};
    int place = (int)(sample % RATE), corner = 0;
    while (corners[corner + 1][0] <= place) corner++;
    int from = corners[corner][1], to = corners[corner + 1][1];
    int length = corners[corner + 1][0] - corners[corner][0];
    int count = from + (to - from) * (place - corners[corner][0]) / length;
    return (int16_t)(lead == 0 ? count : count / 2);
}

int main(int argc, char **argv)
{
    static const char *const names[LEADS] = {"I", "II"};
    static const int32_t baseline = 0;
    const char *stream = argc > 1 ? argv[1] : "ecg/1";
    unsigned long frames = argc > 2 ? strtoul(argv[2], NULL, 10) : 10;
    const uint64_t begin = 1767225600; /* of the measurement, in seconds since 1970; a device asks its clock */
    for (uint64_t number = 0; number < frames; number++) {
        int16_t counts[LEADS][COLUMNS];
        for (int lead = 0; lead < LEADS; lead++)
            for (uint64_t column = 0; column < COLUMNS; column++)
                counts[lead][column] = measured(number * COLUMNS + column, lead);

        uint8_t buffer[512];
        ecgframe_writer w;
        double first = (double)begin + (double)(number * COLUMNS) / RATE;
        struct ecgframe_ecg ecg = {
            .samples16 = counts[0], .leads = LEADS, .columns = COLUMNS, .stride = COLUMNS, .sampling_rate = RATE,
            .timestamp = &first, .stream = stream, .names = names, .units = "mV", .gain = GAIN, .baseline = &baseline,
            .sequence = &number,
        };
        ecgframe_begin(&w, buffer, sizeof buffer, 3, ECGFRAME_ECG_DATA, 0, begin * 1000000 + number * 100000);
        ecgframe_put_ecg(&w, &ecg);
        size_t size = ecgframe_end(&w);
        if (size == 0) {
            fprintf(stderr, "frame %lu: %s (%lu bytes)\n", (unsigned long)number, ecgframe_error_text(w.error),
                    (unsigned long)w.needed);
            return 1;
        }
        if (fwrite(buffer, 1, size, stdout) != size) {
            perror("standard output");
            return 1;
        }
    }
    return 0;
}
