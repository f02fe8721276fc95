#include "fleet/epochs.h"

#include "base/check.h"
#include "base/clock.h"

void epochs_init(struct epochs *where, int64_t lease_ms)
{
    *where = (struct epochs){ .lease_ms = lease_ms };
}

static int64_t own_lease_ns(const struct epochs *where)
{
    return where->lease_ms * NS_PER_MS / 4 * 3;
}

/* The oldest number that is known and not applied, and since when. */
static void watch_behind(struct epochs *where, int64_t now_ns)
{
    if (where->behind_ns != 0 && where->applied < where->behind_seq)
        return;
    where->behind_seq = where->last;
    where->behind_ns = where->applied < where->last ? now_ns : 0;
}

enum epochs_news epochs_read(struct epochs *where, uint64_t epoch, uint64_t last, uint64_t term,
                             int64_t sent_ns, int64_t now_ns)
{
    enum epochs_news news = EPOCHS_SAME;
    if (epoch != where->epoch) {
        *where = (struct epochs){ .lease_ms = where->lease_ms, .epoch = epoch, .goal = last };
        news = EPOCHS_NEW;
    } else if (term != 0 && term != where->term) {
        /* Between the two terms purges may have ended without us. */
        where->goal = last;
        news = EPOCHS_LAPSED;
    }
    where->last = last;
    where->term = term;
    where->sent_ns = sent_ns;
    watch_behind(where, now_ns);
    return news;
}

enum epochs_step epochs_step(const struct epochs *where, uint64_t epoch, uint64_t seq)
{
    if (epoch != where->epoch || seq <= where->applied)
        return EPOCHS_OLD;
    return seq == where->applied + 1 ? EPOCHS_NEXT : EPOCHS_GAP;
}

void epochs_applied(struct epochs *where, uint64_t seq, int64_t now_ns)
{
    CHECK(seq > where->applied);
    where->applied = seq;
    if (where->last < seq)
        where->last = seq;
    watch_behind(where, now_ns);
}

bool epochs_give_up(struct epochs *where, int64_t now_ns)
{
    if (where->behind_ns == 0 || now_ns - where->behind_ns < own_lease_ns(where) ||
        !epochs_is_caught_up(where))
        return false;
    where->goal = where->last;
    where->term = 0;
    return true;
}

void epochs_cut(struct epochs *where)
{
    where->sent_ns = 0;
}

int64_t epochs_connected_until_ns(const struct epochs *where)
{
    if (where->term == 0 || where->sent_ns == 0 || !epochs_is_caught_up(where))
        return 0;
    return where->sent_ns + own_lease_ns(where);
}
