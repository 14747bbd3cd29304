/* The functions of the filter DELTA for one sample type. record_filter.h includes this file once per type, so it has no
   include guard.

   SAMPLE is the type, with values from LEAST to MOST. WORK holds twice the third differences of samples minus their
   prediction: below 2^22 for 16 bits, below 2^38 for 32 bits. */

/* Compute the samples minus their prediction from two earlier rows. */
static void ROWS(subtract)(
    WORK* d, const SAMPLE* x, int64_t n, const SAMPLE* samples, const uint8_t* prediction
) {
    if (prediction == NULL) {
        for (int64_t i = 0; i < n; i++) d[i] = x[i];
        return;
    }
    const SAMPLE* a = samples + prediction[0] * n;
    const SAMPLE* b = samples + prediction[1] * n;
    const WORK na = (prediction[2] & 7) - 2;
    const WORK nb = (prediction[2] >> 3 & 7) - 2;
    const WORK c = prediction[2] >> 6 & 1;
    for (int64_t i = 0; i < n; i++) d[i] = x[i] - ((na * a[i] + nb * b[i] + c) >> 1);
}

static inline UNSIGNED_WORK ROWS(zigzag)(WORK r) {
    return (UNSIGNED_WORK)r << 1 ^ (UNSIGNED_WORK)(r >> (8 * sizeof(WORK) - 1));
}

static inline void ROWS(differentiate)(WORK* d, int64_t n) {
    for (int64_t i = 0; i + 1 < n; i++) d[i] = d[i + 1] - d[i];
}

/* Count the bytes of n residuals as blocks, without the first width; -1 if a residual is too wide. The residuals are
   in d. With `differ`, they are the differences of the n + 1 values in d, which they replace. */
static inline int64_t ROWS(blocks_nbytes)(WORK* d, int64_t n, const int differ) {
    int64_t nbytes = n > 0 ? -1 : 0;
    int widest = 0;
    for (; n > 0; d += ECGFRAME_BLOCK, n -= ECGFRAME_BLOCK) {
        const int m = n < ECGFRAME_BLOCK ? (int)n : ECGFRAME_BLOCK;
        UNSIGNED_WORK seen = 0;
        for (int i = 0; i < m; i++) {
            const WORK r = differ ? d[i + 1] - d[i] : d[i];
            if (differ) d[i] = r;
            seen |= ROWS(zigzag)(r);
        }
        const int width = ecgframe_bits_of(seen);
        widest = width > widest ? width : widest;
        nbytes += 1 + (m * width + 7) / 8;
    }
    return widest > ECGFRAME_WIDEST ? -1 : nbytes;
}

/* The same for residuals divided by a step, of which all are multiples. */
static int64_t ROWS(divided_nbytes)(const WORK* r, int64_t n, WORK step) {
    int64_t nbytes = n > 0 ? -1 : 0;
    for (; n > 0; r += ECGFRAME_BLOCK, n -= ECGFRAME_BLOCK) {
        const int64_t m = n < ECGFRAME_BLOCK ? n : ECGFRAME_BLOCK;
        WORK least = 0, most = 0;
        for (int64_t i = 0; i < m; i++) {
            least = r[i] < least ? r[i] : least;
            most = r[i] > most ? r[i] : most;
        }
        const int width = ecgframe_bits_of(ROWS(zigzag)(least / step) | ROWS(zigzag)(most / step));
        if (width > ECGFRAME_WIDEST) return -1;
        nbytes += 1 + (m * width + 7) / 8;
    }
    return nbytes;
}

static inline uint64_t ROWS(amount)(WORK r) {
    return (uint64_t)(r < 0 ? -(int64_t)r : (int64_t)r);
}

/* Compute the greatest common divisor of n residuals; 0 if all are 0. */
static inline uint64_t ROWS(divisor)(const WORK* r, int64_t n) {
    uint64_t divisor = 0;
    for (int64_t i = 0; i < n && divisor != 1; i++) {
        if (r[i]) divisor = ecgframe_gcd(ROWS(amount)(r[i]), divisor);
    }
    return divisor;
}

/* Try all orders with one prediction, each without and with a step. A form with fewer bytes replaces the best. */
static void ROWS(try_orders)(
    ecgframe_form* best, WORK* d, const SAMPLE* x, int64_t n, const SAMPLE* samples, const uint8_t* prediction
) {
    const int64_t head = prediction == NULL ? 1 : 5;
    const int highest = n < ECGFRAME_ORDERS - 1 ? (int)n : ECGFRAME_ORDERS - 1;
    WORK first[ECGFRAME_ORDERS];          /* residual of each order */
    uint64_t step[ECGFRAME_ORDERS];
    ROWS(subtract)(d, x, n, samples, prediction);
    for (int order = 0; order <= highest; order++) {
        int64_t nbytes = order ? ROWS(blocks_nbytes)(d, n - order, 1) : ROWS(blocks_nbytes)(d, n, 0);
        first[order] = order < n ? d[0] : 0;
        if (nbytes < 0) continue;
        nbytes += head + order * (int64_t)sizeof(SAMPLE);
        if (best->nbytes < 0 || nbytes < best->nbytes) *best = (ecgframe_form){prediction, order, 1, nbytes};
    }
    /* The divisor of an order is that of its first residual and of all differences, which are the residuals of the next
       order. So the search begins with the highest order, and usually ends there, as its divisor is 1. */
    step[highest] = ROWS(divisor)(d, n - highest);
    if (step[highest] == 1) return;
    for (int order = highest; order-- > 0;) step[order] = ecgframe_gcd(ROWS(amount)(first[order]), step[order + 1]);
    ROWS(subtract)(d, x, n, samples, prediction);
    for (int order = 0; order <= highest; order++) {
        if (order) ROWS(differentiate)(d, n - order + 1);
        if (step[order] < 2 || step[order] > ECGFRAME_LARGEST_STEP) continue;
        int64_t nbytes = ROWS(divided_nbytes)(d, n - order, (WORK)step[order]);
        if (nbytes < 0) continue;
        nbytes += head + (prediction == NULL ? 3 : 2) + order * (int64_t)sizeof(SAMPLE);
        /* Of forms of equal size the first wins: a lower order with a step comes before a higher order without. */
        const int is_earlier = best->prediction == prediction && nbytes == best->nbytes && order < best->order;
        if (best->nbytes < 0 || nbytes < best->nbytes || is_earlier) {
            *best = (ecgframe_form){prediction, order, (uint32_t)step[order], nbytes};
        }
    }
}

/* Write a row in a form. Returns NULL if it does not fit before `end`, as another thread has changed the samples. */
static uint8_t* ROWS(write_row)(
    uint8_t* out, const uint8_t* end, const ecgframe_form* form, WORK* d, const SAMPLE* x, int64_t n, const SAMPLE* samples
) {
    uint8_t* first = out++;
    const int options = (form->step > 1 ? ECGFRAME_STEP : 0) | (form->prediction != NULL ? ECGFRAME_PREDICTION : 0);
    *first = (uint8_t)(form->order << 5 | (options ? 0x80 : 0));
    if (options) *out++ = (uint8_t)options;
    if (form->step > 1) {
        *out++ = (uint8_t)form->step;
        *out++ = (uint8_t)(form->step >> 8);
    }
    if (form->prediction != NULL) {
        memcpy(out, form->prediction, 3);
        out += 3;
    }
    for (int i = 0; i < form->order; i++) {
        for (unsigned byte = 0; byte < sizeof(SAMPLE); byte++) *out++ = (uint8_t)((uint32_t)x[i] >> 8 * byte);
    }
    ROWS(subtract)(d, x, n, samples, form->prediction);
    for (int order = 0; order < form->order; order++) ROWS(differentiate)(d, n - order);
    for (int64_t start = 0; start < n - form->order; start += ECGFRAME_BLOCK) {
        uint32_t values[ECGFRAME_BLOCK];
        const int64_t left = n - form->order - start;
        const int m = (int)(left < ECGFRAME_BLOCK ? left : ECGFRAME_BLOCK);
        uint32_t seen = 0;
        for (int i = 0; i < m; i++) {
            const WORK r = form->step > 1 ? d[start + i] / (WORK)form->step : d[start + i];
            values[i] = (uint32_t)ROWS(zigzag)(r);
            seen |= values[i];
        }
        const int width = ecgframe_bits_of(seen);
        if (width > ECGFRAME_WIDEST || end - out < 1 + (m * width + 7) / 8) return NULL;
        if (start) *out++ = (uint8_t)width;
        else *first |= (uint8_t)width;
        out = ecgframe_write_bits(out, values, m, width);
    }
    return out;
}

/* Write all rows in fewer than `room` bytes. Overwrites up to ECGFRAME_SLACK bytes after them. d has room for n values.
   `predictions` has, for each row, the number of predictions to try and three bytes for each; NULL for none.
   Returns the number of bytes written, or -1 if `room` is too small or a row has no form. */
static int64_t ROWS(write)(
    uint8_t* out, int64_t room, const void* source, int64_t rows, int64_t n, const uint8_t* predictions, void* d
) {
    const uint8_t* start = out;
    const SAMPLE* samples = (const SAMPLE*)source;
    for (int64_t row = 0; row < rows; row++) {
        const SAMPLE* x = samples + row * n;
        ecgframe_form best = {NULL, 0, 1, -1};
        ROWS(try_orders)(&best, (WORK*)d, x, n, samples, NULL);
        if (predictions != NULL) {
            const uint8_t* end = predictions + 1 + 3 * *predictions;
            for (predictions++; predictions < end; predictions += 3) {
                ROWS(try_orders)(&best, (WORK*)d, x, n, samples, predictions);
            }
        }
        if (best.nbytes < 0 || best.nbytes >= room - (out - start)) return -1;
        out = ROWS(write_row)(out, start + room, &best, (WORK*)d, x, n, samples);
        if (out == NULL) return -1;
    }
    return out - start;
}

/* Read the head of a row, up to its first samples. Returns the width of the first block, or -1 if the head is refused.
   Copies the prediction before it is checked, as another thread may write to the buffer. */
static int ROWS(read_head)(
    ecgframe_row_reader* r, int64_t n, int* order, int64_t* step, int* predicts, uint8_t* prediction
) {
    const uint8_t* p = r->at;
    const ecgframe_row_fault cut = ECGFRAME_CUT_SHORT;
    int options = 0;
    *step = 1;
    if (p == r->end) return r->fault = cut, -1;
    const int first = *p++;
    const int width = first & 31;
    *order = first >> 5 & 3;
    if (*order > n) return r->fault = ECGFRAME_BAD_ORDER, -1;
    if (width > ECGFRAME_WIDEST || (width && *order == n)) return r->fault = ECGFRAME_BAD_WIDTH, -1;
    if (first & 0x80) {
        r->at = p;
        if (p == r->end) return r->fault = cut, -1;
        options = *p;
        if (!options || options & ~(ECGFRAME_STEP | ECGFRAME_PREDICTION)) return r->fault = ECGFRAME_BAD_OPTIONS, -1;
        p++;
    }
    if (options & ECGFRAME_STEP) {
        r->at = p;
        if (r->end - p < 2) return r->fault = cut, -1;
        *step = p[0] | p[1] << 8;
        if (*step < 2) return r->fault = ECGFRAME_BAD_STEP, -1;
        p += 2;
    }
    if (options & ECGFRAME_PREDICTION) {
        r->at = p;
        if (r->end - p < 3) return r->fault = cut, -1;
        memcpy(prediction, p, 3);
        if (
            prediction[0] >= r->row || prediction[1] >= r->row
            || (prediction[2] & 7) > 4 || (prediction[2] >> 3 & 7) > 4 || prediction[2] & 0x80
        ) {
            return r->fault = ECGFRAME_BAD_PREDICTION, -1;
        }
        p += 3;
    }
    r->at = p;
    if (r->end - p < *order * (int64_t)sizeof(SAMPLE)) return r->fault = cut, -1;
    *predicts = (options & ECGFRAME_PREDICTION) != 0;
    return width;
}

/* Predict m samples, starting with sample i. */
static inline void ROWS(predict)(
    int64_t* expected, int m, const SAMPLE* samples, int64_t n, int64_t i, const uint8_t* prediction
) {
    const SAMPLE* a = samples + prediction[0] * n + i;
    const SAMPLE* b = samples + prediction[1] * n + i;
    const WORK na = (prediction[2] & 7) - 2;
    const WORK nb = (prediction[2] >> 3 & 7) - 2;
    const WORK c = prediction[2] >> 6 & 1;
    for (int k = 0; k < m; k++) expected[k] = (na * a[k] + nb * b[k] + c) >> 1;
}

/* Compute values from residuals and earlier values; `next` depends on the order. The range is only checked at the end
   of a block: within a block, no value exceeds 2^53. */
#define INTEGRATE(next) \
    for (int k = 0, bit = 0; k < m; k++, bit += width) { \
        const int64_t d = ecgframe_residual_at(block, bit, mask) * step + (next); \
        const int64_t sample = d + expected[k]; \
        x[k] = (SAMPLE)sample; \
        seen |= (uint64_t)(sample - LEAST); \
        d3 = d2; \
        d2 = d1; \
        d1 = d; \
    }

/* Compute the samples of a block. Returns whether all are in range of the type. `history` begins with the latest. */
static inline int ROWS(integrate)(
    SAMPLE* x, int m, const uint8_t* block, int width, int64_t step, const int64_t* expected, int order, int64_t* history
) {
    const uint32_t mask = ((uint32_t)1 << width) - 1;
    int64_t d1 = history[0], d2 = history[1], d3 = history[2];
    uint64_t seen = 0;
    if (order == 0) { INTEGRATE(0) }
    else if (order == 1) { INTEGRATE(d1) }
    else if (order == 2) { INTEGRATE(2 * d1 - d2) }
    else { INTEGRATE(3 * d1 - 3 * d2 + d3) }
    history[0] = d1;
    history[1] = d2;
    history[2] = d3;
    return seen <= (uint64_t)((int64_t)MOST - LEAST);
}
#undef INTEGRATE

static int ROWS(read_row)(ecgframe_row_reader* r, SAMPLE* samples, int64_t n, const int64_t* nothing) {
    uint8_t copied[ECGFRAME_BLOCK * ECGFRAME_WIDEST / 8 + 4];
    int64_t predicted[ECGFRAME_BLOCK];
    int64_t history[3] = {0};
    SAMPLE* x = samples + r->row * n;
    uint8_t prediction[3] = {0};
    int64_t step;
    int order, predicts;
    int width = ROWS(read_head)(r, n, &order, &step, &predicts, prediction);
    if (width < 0) return 0;
    const int64_t* expected = predicts ? predicted : nothing;
    if (predicts) ROWS(predict)(predicted, order, samples, n, 0, prediction);
    for (int i = 0; i < order; i++) {
        uint32_t bytes = 0;
        for (unsigned byte = 0; byte < sizeof(SAMPLE); byte++) bytes |= (uint32_t)*r->at++ << 8 * byte;
        x[i] = (SAMPLE)bytes;
        history[2] = history[1];
        history[1] = history[0];
        history[0] = x[i] - expected[i];
    }
    for (int64_t i = order; i < n; i += ECGFRAME_BLOCK) {
        const int m = (int)(n - i < ECGFRAME_BLOCK ? n - i : ECGFRAME_BLOCK);
        if (i > order) {
            if (r->at == r->end) return r->fault = ECGFRAME_CUT_SHORT, 0;
            width = *r->at;
            if (width > ECGFRAME_WIDEST) return r->fault = ECGFRAME_BAD_WIDTH, 0;
            r->at++;
        }
        const uint8_t* start = r->at;
        const uint8_t* block = ecgframe_block_at(r, copied, m, width);
        if (block == NULL) return 0;
        if (predicts) ROWS(predict)(predicted, m, samples, n, i, prediction);
        if (!ROWS(integrate)(x + i, m, block, width, step, expected, order, history)) {
            r->at = start;
            return r->fault = ECGFRAME_OUT_OF_RANGE, 0;
        }
    }
    return 1;
}

/* Read all rows from r->at to the end of the bytes. Returns 0 after a fault, which r describes. */
static int ROWS(read)(ecgframe_row_reader* r, void* target, int64_t rows, int64_t n) {
    const int64_t nothing[ECGFRAME_BLOCK] = {0};  /* the prediction of rows that have none */
    for (r->row = 0; r->row < rows; r->row++) {
        if (!ROWS(read_row)(r, (SAMPLE*)target, n, nothing)) return 0;
    }
    if (r->at != r->end) r->fault = ECGFRAME_LEFT_OVER;
    return r->fault == ECGFRAME_WHOLE;
}

#undef SAMPLE_NAME
#undef SAMPLE
#undef LEAST
#undef MOST
#undef WORK
#undef UNSIGNED_WORK
