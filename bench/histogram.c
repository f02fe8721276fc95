#include "histogram.h"

#include <math.h>

enum {
    STEPS_LOG2 = 7
};

/* Below HISTOGRAM_STEPS every value has its own slot; above, each octave has that many. */
void histogram_add(struct histogram *histogram, int64_t value)
{
    uint64_t bits = value > 0 ? (uint64_t)value : 0;
    uint64_t slot = bits;

    if (bits >= HISTOGRAM_STEPS) {
        unsigned shift = 63 - (unsigned)__builtin_clzll(bits) - STEPS_LOG2;

        slot = (uint64_t)shift * HISTOGRAM_STEPS + (bits >> shift);
    }
    histogram->slots[slot < HISTOGRAM_SIZE ? slot : HISTOGRAM_SIZE - 1]++;
    histogram->count++;
    if (value > histogram->largest)
        histogram->largest = value;
}

static double slot_middle(unsigned slot)
{
    unsigned shift;

    if (slot < 2 * HISTOGRAM_STEPS)
        return slot;
    shift = slot / HISTOGRAM_STEPS - 1;
    return ldexp((double)(slot - shift * HISTOGRAM_STEPS) + 0.5, (int)shift);
}

double histogram_at(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)ceil(share * (double)histogram->count);
    uint64_t seen = 0;

    for (unsigned slot = 0; histogram->count && slot < HISTOGRAM_SIZE; slot++) {
        seen += histogram->slots[slot];
        if (seen >= wanted)
            return slot_middle(slot);
    }
    return 0;
}
