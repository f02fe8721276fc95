#include "policy/bucket.h"

#include "base/check.h"
#include "base/clock.h"

/* Bounds that keep every sum below in 63 bits: about 31 years for a token, 126 for a bucket. */
#define TOKEN_NS_MAX 1000000000000000000LL
#define BURST_NS_MAX 4000000000000000000LL

/* Workers read the clock once a loop turn, so that one's now may lie a little behind another's. A bucket that
 * is emptier than empty by more than that was emptied under other limits, before a reload. */
#define SKEW_NS      NS_PER_S

void bucket_init(struct bucket *bucket, int64_t now_ns)
{
    atomic_init(&bucket->arrival_ns, now_ns);
}

/* Rounded up: never more than the rate, and one token never costs nothing. */
static int64_t token_ns(double rate_per_s)
{
    double ns = (double)NS_PER_S / rate_per_s;
    if (!(ns < (double)TOKEN_NS_MAX))
        return TOKEN_NS_MAX;
    int64_t whole = (int64_t)ns;
    return (double)whole < ns || whole == 0 ? whole + 1 : whole;
}

static int64_t burst_ns(double burst, int64_t one_ns)
{
    double ns = burst * (double)one_ns;
    if (!(ns < (double)BURST_NS_MAX))
        return BURST_NS_MAX;
    return max_i64((int64_t)ns, one_ns);
}

struct bucket_answer bucket_take(struct bucket *bucket, double rate_per_s, double burst, int64_t now_ns)
{
    CHECK(rate_per_s > 0);
    int64_t one_ns = token_ns(rate_per_s);
    int64_t room_ns = burst_ns(burst, one_ns);
    int64_t arrival_ns = atomic_load_explicit(&bucket->arrival_ns, memory_order_relaxed);

    for (;;) {
        int64_t debt_ns = max_i64(arrival_ns - now_ns, 0);
        int64_t next_ns; /* what arrival_ns becomes, relative to now */
        bool is_taken = debt_ns + one_ns <= room_ns;
        if (is_taken)
            next_ns = debt_ns + one_ns;
        else if (debt_ns > room_ns + SKEW_NS)
            next_ns = room_ns; /* a reload raised the limits: empty, but not for the old limits' time */
        else
            return (struct bucket_answer){ .wait_ns = debt_ns + one_ns - room_ns, .full_ns = debt_ns };

        if (!atomic_compare_exchange_weak_explicit(&bucket->arrival_ns, &arrival_ns, now_ns + next_ns,
                                                   memory_order_relaxed, memory_order_relaxed))
            continue;
        if (is_taken)
            return (struct bucket_answer){ .is_taken = true,
                                           .left = (room_ns - next_ns) / one_ns,
                                           .full_ns = next_ns };
        return (struct bucket_answer){ .wait_ns = one_ns, .full_ns = next_ns };
    }
}
