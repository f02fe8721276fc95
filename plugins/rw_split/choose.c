/* Which server? Writes go to the primary, reads to a replica that shows what its client must see. */
#include "split.h"

#include <stdio.h>

#define CANDIDATES_MAX 64
#define SLICE_MS       100 /* how often a held request looks again by itself */
#define TELL_EVERY_MS  60000
#define LONGER         3 /* times wait: how much longer a read is held before it is refused */

/* The candidates, sorted by what they are good for. */
struct scan {
    unsigned primary;       /* the first usable one not tried yet */
    unsigned tried_primary; /* the first usable one that was */
    unsigned primaries;     /* usable and not tried yet */
    bool has_primary, has_tried_primary;
    unsigned replicas;  /* in the config, usable or not */
    unsigned usable;    /* replicas that are up and were not tried */
    unsigned behind;    /* of those: in the read set, but not there yet */
    unsigned fit_count; /* of those: they show all of it */
    unsigned fit[CANDIDATES_MAX];
    int slots[CANDIDATES_MAX]; /* of those that are behind */
};

static void scan_primary(struct scan *scan, const struct weir_candidate *candidate, unsigned index)
{
    if (!candidate->is_usable)
        return;
    if (candidate->was_tried && !scan->has_tried_primary) {
        scan->has_tried_primary = true;
        scan->tried_primary = index;
    } else if (!candidate->was_tried) {
        if (scan->primaries++ == 0)
            scan->primary = index;
        scan->has_primary = true;
    }
}

/* Is it one that reads may go to at all, however far behind their client it may be? */
static bool is_in_read_set(const struct rw_split *self, const struct weir_candidate *candidate, int slot)
{
    int64_t lag_ms = servers_lag_ms(self->servers, slot);

    if (lag_ms < 0 && WEIR_HAS(candidate, lag_ms))
        lag_ms = candidate->lag_ms;
    if (self->settings.lag_max_ms >= 0 && lag_ms > self->settings.lag_max_ms)
        return false;
    return !servers_is_pretender(self->servers, slot);
}

static void scan_replica(const struct rw_split *self, struct scan *scan,
                         const struct weir_candidate *candidate, unsigned index, int slot,
                         const struct seen *seen)
{
    scan->replicas++;
    if (!candidate->is_usable || candidate->was_tried)
        return;
    scan->usable++;
    if (slot < 0) {
        if (seen_is_nothing(seen))
            scan->fit[scan->fit_count++] = index;
        return;
    }
    if (!is_in_read_set(self, candidate, slot))
        return;
    if (servers_covers(self->servers, slot, seen))
        scan->fit[scan->fit_count++] = index;
    else
        scan->slots[scan->behind++] = slot;
}

static void scan_all(struct rw_split *self, struct scan *scan, const struct weir_candidate *candidates,
                     unsigned count, const struct seen *seen)
{
    *scan = (struct scan){ .primary = 0 };
    for (unsigned i = 0; i < count && i < CANDIDATES_MAX; i++) {
        const struct weir_candidate *candidate = weir_candidate_at(candidates, i);
        int slot = servers_find(self->servers, candidate->address, i);

        if (slot >= 0)
            servers_note_role(self->servers, slot, candidate->role == WEIR_PRIMARY);
        if (candidate->role == WEIR_PRIMARY)
            scan_primary(scan, candidate, i);
        else
            scan_replica(self, scan, candidate, i, slot, seen);
    }
}

/* --- what to say --- */

static void say_roles(struct weir_choice *out, unsigned roles, bool falls_back, const char *why)
{
    out->kind = WEIR_ROLES;
    out->roles = roles;
    out->falls_back = falls_back;
    out->why = why;
}

static void say_refused(struct weir_choice *out, const char *reason, int64_t retry_after_s)
{
    out->kind = WEIR_REFUSE;
    out->reason = reason;
    out->why = reason;
    out->retry_after_s = retry_after_s;
}

/* False: its time is over, or it can't be noted. */
static bool say_held(struct visit *visit, int64_t *until_ms, int64_t hold_ms, int64_t now_ms, const char *why,
                     struct weir_choice *out)
{
    int64_t left_ms;

    if (!visit->is_kept || visit->is_last_call)
        return false;
    if (*until_ms == 0)
        *until_ms = now_ms + hold_ms;
    left_ms = *until_ms - now_ms;
    if (left_ms <= 0)
        return false;
    out->kind = WEIR_HOLD;
    out->hold_ms = left_ms < SLICE_MS ? left_ms : SLICE_MS;
    out->holds_again = true; /* when it is over is for us to know */
    out->why = why;
    return true;
}

/* --- while there is no primary --- */

/* It comes back, or another is promoted. A primary that refused the connection got nothing of the request, or
 * weir would not ask again: after a while it may be tried once more. */
static bool wait_for_primary(struct rw_split *self, struct visit *visit, const struct scan *scan,
                             struct weir_choice *out)
{
    int64_t now_ms = self->host->mono_ms();

    if (!self->settings.holds_writes)
        return false;
    if (scan->has_tried_primary && visit->hold_until_ms && now_ms >= visit->again_ms) {
        visit->again_ms = now_ms + SLICE_MS;
        out->kind = WEIR_PICK;
        out->index = scan->tried_primary;
        out->why = "primary-again";
        return true;
    }
    if (visit->is_kept && visit->hold_until_ms == 0) {
        visit->again_ms = now_ms + SLICE_MS;
        split_count(self, visit->kind == KIND_READ ? "read_held" : "write_held");
    }
    atomic_store(&self->has_waits, true);
    return say_held(visit, &visit->hold_until_ms, self->settings.write_hold_ms, now_ms, "no-primary", out);
}

static void choose_for_write(struct rw_split *self, struct visit *visit, const struct scan *scan,
                             struct weir_choice *out)
{
    if (!scan->has_primary && self->settings.holds_writes) {
        if (!wait_for_primary(self, visit, scan, out))
            say_refused(out, "write-held", 1);
        return;
    }
    if (scan->has_primary && visit->consistency >= CONSISTENCY_POSITION)
        budget_count(&self->budget, self->host->mono_ms());
    say_roles(out, WEIR_ROLES_PRIMARY, false, "write");
    /* Whom the plugin picks weir may be sent to again, for as long as it takes. */
    if (self->settings.holds_writes && scan->primaries == 1) {
        out->kind = WEIR_PICK;
        out->index = scan->primary;
    }
}

/* --- reads by time --- */

static bool is_in_window(struct rw_split *self, const struct visit *visit)
{
    return visit->consistency != CONSISTENCY_NONE && visit->wrote_ms &&
           self->host->wall_ms() - visit->wrote_ms < self->settings.window_ms;
}

static void choose_by_window(struct rw_split *self, const struct visit *visit, const struct scan *scan,
                             struct weir_choice *out)
{
    if (is_in_window(self, visit)) {
        /* No way back to a replica: an error is better than one's own write gone without a word. */
        say_roles(out, WEIR_ROLES_PRIMARY, false, "own-write");
    } else if (scan->usable > 0) {
        say_roles(out, WEIR_ROLES_REPLICA, true, "read");
    } else {
        say_roles(out, WEIR_ROLES_PRIMARY, true, "read-no-replica");
    }
}

/* --- reads by position --- */

static uint32_t throw_dice(struct rw_split *self)
{
    uint32_t x = atomic_fetch_add_explicit(&self->dice, 0x9e3779b9u, memory_order_relaxed);

    x = (x ^ x >> 16) * 0x21f0aaadu;
    x = (x ^ x >> 15) * 0x735a2d97u;
    return x ^ x >> 15;
}

static int64_t load_of(const struct weir_candidate *candidates, unsigned index)
{
    const struct weir_candidate *candidate = weir_candidate_at(candidates, index);

    return (candidate->inflight + 1) * (candidate->mean_us + 1);
}

/* Of two by chance the one that has less to do. */
static void pick(struct rw_split *self, const struct weir_candidate *candidates, const struct scan *scan,
                 struct weir_choice *out)
{
    uint32_t dice = throw_dice(self);
    unsigned one = scan->fit[(dice & 0xffff) % scan->fit_count];
    unsigned other = scan->fit[(dice >> 16) % scan->fit_count];

    out->kind = WEIR_PICK;
    out->index = load_of(candidates, other) < load_of(candidates, one) ? other : one;
    out->why = "read";
}

static void tell_of_refused(struct rw_split *self)
{
    int64_t now_ms = self->host->mono_ms();
    int64_t told_ms = atomic_load_explicit(&self->told_refused_ms, memory_order_relaxed);

    if (told_ms && now_ms - told_ms < TELL_EVERY_MS)
        return;
    if (atomic_compare_exchange_strong(&self->told_refused_ms, &told_ms, now_ms))
        self->host->log(WEIR_LOG_WARN,
                        "rw_split: reads are refused: no replica is far enough, and the primary "
                        "has its share of reads (primary_read_share)");
}

static void refuse_read(struct rw_split *self, const struct visit *visit, const struct scan *scan,
                        struct weir_choice *out)
{
    split_count(self, "read_refused");
    say_refused(out, "position-behind",
                servers_eta_s(self->servers, scan->slots, scan->behind, visit->seen.at));
}

/* Who is sent away comes back a second later at the earliest: where a replica is nearly there it is better
 * for him, and no worse for the primary, to wait some more. */
static bool wait_longer(struct rw_split *self, struct visit *visit, const struct scan *scan,
                        struct weir_choice *out)
{
    if (scan->behind == 0 || servers_eta_s(self->servers, scan->slots, scan->behind, visit->seen.at) > 1)
        return false;
    atomic_store(&self->has_waits, true);
    return say_held(visit, &visit->longer_until_ms, LONGER * self->settings.wait_ms, self->host->mono_ms(),
                    "position", out);
}

/* No replica will do. The primary shows everything, but must not go under because replicas lag: unless reads
 * are due there anyway. */
static void fall_back(struct rw_split *self, struct visit *visit, const struct scan *scan, bool is_due,
                      struct weir_choice *out)
{
    if (scan->has_primary) {
        if (is_due || scan->replicas == 0) {
            budget_count(&self->budget, self->host->mono_ms());
        } else if (!budget_take(&self->budget, self->host->mono_ms())) {
            if (wait_longer(self, visit, scan, out))
                return;
            tell_of_refused(self);
            refuse_read(self, visit, scan, out);
            return;
        }
        split_count(self, "read_primary_fallback");
        say_roles(out, WEIR_ROLES_PRIMARY, false, "read-fallback");
        return;
    }
    if (wait_for_primary(self, visit, scan, out))
        return;
    if (scan->usable > 0)
        refuse_read(self, visit, scan, out);
    else
        say_roles(out, WEIR_ROLES_PRIMARY, true, "read-no-replica");
}

/* Scans again after it has said that it waits, so that no progress falls between the two. */
static bool wait_for_replica(struct rw_split *self, struct visit *visit, struct scan *scan,
                             const struct weir_candidate *candidates, unsigned count, struct weir_choice *out)
{
    bool is_first = visit->wait_until_ms == 0;

    if (scan->behind == 0)
        return false;
    atomic_store(&self->has_waits, true);
    servers_resolve(self->servers, &visit->seen, self->host->wall_ms());
    scan_all(self, scan, candidates, count, &visit->seen);
    if (scan->fit_count > 0)
        return false;
    if (!say_held(visit, &visit->wait_until_ms, self->settings.wait_ms, self->host->mono_ms(), "position",
                  out))
        return false;
    if (is_first)
        split_count(self, "read_waited");
    return true;
}

static void choose_by_position(struct rw_split *self, struct visit *visit, struct scan *scan,
                               const struct weir_candidate *candidates, unsigned count,
                               struct weir_choice *out)
{
    /* Another weir may have acknowledged what this one knows nothing of. */
    if (visit->consistency == CONSISTENCY_STRICT && self->host->is_in_fleet()) {
        fall_back(self, visit, scan, true, out);
        return;
    }
    if (scan->fit_count == 0 && wait_for_replica(self, visit, scan, candidates, count, out))
        return;
    if (scan->fit_count == 0) {
        fall_back(self, visit, scan, false, out);
        return;
    }
    split_count(self, "read_replica");
    if (seen_is_nothing(&visit->seen) && scan->fit_count == scan->usable)
        say_roles(out, WEIR_ROLES_REPLICA, true, "read");
    else
        pick(self, candidates, scan, out);
}

void choose_server(struct rw_split *self, struct weir_request *request,
                   const struct weir_candidate *candidates, unsigned count, bool is_last_call,
                   struct weir_choice *out)
{
    struct visit room;
    struct visit *visit = visit_of(self, request, &room);
    struct scan scan;
    bool by_position;

    visit->is_last_call = is_last_call;
    visit_settle_kind(self, request, visit);
    by_position = visit->kind == KIND_READ && visit_has_positions(self, visit);
    if (by_position)
        servers_resolve(self->servers, &visit->seen, self->host->wall_ms());
    scan_all(self, &scan, candidates, count, &visit->seen);
    if (visit->kind == KIND_WRITE)
        choose_for_write(self, visit, &scan, out);
    else if (by_position)
        choose_by_position(self, visit, &scan, candidates, count, out);
    else
        choose_by_window(self, visit, &scan, out);
}
