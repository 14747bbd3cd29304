/* What the tests call of examples/device/ecgframe.h, through ctypes. */
#include "ecgframe.h"

struct step {
    int kind;
    int64_t integer;
    uint64_t natural;
    double real;
    const char *text;
};

size_t encode_ecg(uint8_t *buffer, size_t size, int version, int type, int flags, uint64_t timestamp,
                  const struct ecgframe_ecg *ecg, size_t *needed, int *error)
{
    ecgframe_writer w;
    ecgframe_begin(&w, buffer, size, version, type, flags, timestamp);
    ecgframe_put_ecg(&w, ecg);
    size_t end = ecgframe_end(&w);
    *needed = w.needed;
    *error = w.error;
    return end;
}

size_t encode_steps(uint8_t *buffer, size_t size, int version, int type, int flags, uint64_t timestamp,
                    const struct step *steps, size_t count, size_t *needed, int *error)
{
    ecgframe_writer w;
    ecgframe_begin(&w, buffer, size, version, type, flags, timestamp);
    for (; count > 0; count--, steps++) switch (steps->kind) {
            case 0: ecgframe_put_nil(&w); break;
            case 1: ecgframe_put_bool(&w, steps->integer != 0); break;
            case 2: ecgframe_put_int(&w, steps->integer); break;
            case 3: ecgframe_put_uint(&w, steps->natural); break;
            case 4: ecgframe_put_double(&w, steps->real); break;
            case 5: ecgframe_put_text(&w, steps->text); break;
            case 6: ecgframe_put_array(&w, (uint32_t)steps->natural); break;
            case 7: ecgframe_put_map(&w, (uint32_t)steps->natural); break;
            default: ecgframe_put_number(&w, steps->real);
        }
    size_t end = ecgframe_end(&w);
    *needed = w.needed;
    *error = w.error;
    return end;
}

const char *error_text(int error) { return ecgframe_error_text((enum ecgframe_error)error); }
