#include "zipf.h"

#include "bare.h"

#include <math.h>

/* Vose's alias method: each key's column is shared with at most one other, so that a choice
 * costs one draw and one comparison, however many keys there are. */
struct column {
    double odds; /* of the column's own key against the other */
    long other;
};

struct zipf {
    long keys;
    uint64_t random;
    struct column *columns; /* NULL: every key as often as any other */
};

static void columns_share_out(struct zipf *zipf, double *share, long *small, long *large)
{
    long small_count = 0, large_count = 0;

    for (long i = 0; i < zipf->keys; i++) {
        if (share[i] < 1)
            small[small_count++] = i;
        else
            large[large_count++] = i;
        zipf->columns[i] = (struct column){ 1, i };
    }
    while (small_count && large_count) {
        long less = small[--small_count];
        long more = large[large_count - 1];

        zipf->columns[less] = (struct column){ share[less], more };
        share[more] -= 1 - share[less];
        if (share[more] < 1) {
            large_count--;
            small[small_count++] = more;
        }
    }
}

struct zipf *zipf_new(long keys, double skew)
{
    struct zipf *zipf = must_alloc(sizeof *zipf);
    double *share;
    long *small, *large;
    double sum = 0;

    zipf->keys = keys;
    zipf->random = 0x9e3779b97f4a7c15u;
    if (!(skew > 0))
        return zipf;
    share = must_alloc((size_t)keys * sizeof *share);
    small = must_alloc((size_t)keys * sizeof *small);
    large = must_alloc((size_t)keys * sizeof *large);
    zipf->columns = must_alloc((size_t)keys * sizeof *zipf->columns);
    for (long i = 0; i < keys; i++)
        sum += share[i] = 1 / pow((double)(i + 1), skew);
    for (long i = 0; i < keys; i++)
        share[i] *= (double)keys / sum;
    columns_share_out(zipf, share, small, large);
    free(share);
    free(small);
    free(large);
    return zipf;
}

void zipf_free(struct zipf *zipf)
{
    if (!zipf)
        return;
    free(zipf->columns);
    free(zipf);
}

long zipf_next(struct zipf *zipf)
{
    uint64_t draw = zipf->random;
    long key;

    draw ^= draw << 13; /* xorshift64 */
    draw ^= draw >> 7;
    draw ^= draw << 17;
    zipf->random = draw;
    key = (long)((draw >> 32) * (uint64_t)zipf->keys >> 32);
    if (!zipf->columns)
        return key;
    return (double)(uint32_t)draw / 4294967296.0 < zipf->columns[key].odds ? key : zipf->columns[key].other;
}
