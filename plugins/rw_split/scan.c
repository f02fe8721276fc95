#include "scan.h"

#include <stddef.h>
#include <string.h>

/* It was the primary when the candidates were collected, but the probe knows better by now; or its client has
 * seen a later epoch than its own, so that somebody must have taken over from it. What was written to it
 * would be lost, and what it shows goes back. */
static bool is_deposed(const struct rw_split *self, int slot, const struct seen *seen)
{
    return slot >= 0 && (servers_role_of(self->servers, slot) == SERVERS_ROLE_REPLICA ||
                         (seen && servers_primary_is_stale(self->servers, slot, seen)));
}

/* Its app is up, but its database is not: what is sent there comes back as an error. For as long as a
 * failover may take it counts as not there; then it is the app's word again, for it may be the probe alone
 * that has lost its way. */
static bool is_lost(const struct rw_split *self, int slot)
{
    int64_t since_ms =
        slot >= 0 && self->settings.holds_writes ? servers_lost_since_ms(self->servers, slot) : 0;

    return since_ms && self->host->mono_ms() - since_ms < self->settings.write_hold_ms;
}

static void scan_primary(const struct rw_split *self, struct scan *scan,
                         const struct weir_candidate *candidate, unsigned index, int slot,
                         const struct seen *seen)
{
    if (!candidate->is_usable)
        return;
    if (is_deposed(self, slot, seen)) {
        scan->has_deposed = true;
    } else if (is_lost(self, slot)) {
        scan->has_lost = true;
    } else if (candidate->was_tried && !scan->has_tried_primary) {
        scan->has_tried_primary = true;
        scan->tried_primary = index;
    } else if (!candidate->was_tried) {
        if (scan->primaries++ == 0)
            scan->primary = index;
        scan->has_primary = true;
    }
}

/* Is it one that reads may go to at all, however far behind their client it may be? A pretender is no
 * replica: nothing that is written from now on ever comes to it. */
static bool is_in_read_set(const struct rw_split *self, const struct weir_candidate *candidate, int slot)
{
    int64_t lag_ms = slot >= 0 ? servers_lag_ms(self->servers, slot) : -1;

    if (lag_ms < 0)
        lag_ms = candidate->lag_ms;
    if (self->settings.lag_max_ms >= 0 && lag_ms > self->settings.lag_max_ms)
        return false;
    return slot < 0 || !servers_is_pretender(self->servers, slot);
}

static void scan_replica(const struct rw_split *self, struct scan *scan,
                         const struct weir_candidate *candidate, unsigned index, int slot,
                         const struct seen *seen)
{
    scan->replicas++;
    if (!candidate->is_usable || candidate->was_tried)
        return;
    scan->usable++;
    if (!is_in_read_set(self, candidate, slot))
        return;
    if (!seen || (slot < 0 ? seen_is_nothing(seen) : servers_covers(self->servers, slot, seen))) {
        scan->fit[scan->fit_count++] = index;
    } else if (slot >= 0) {
        scan->behind += servers_latest(self->servers, slot).is_known;
        scan->other_slots[scan->others] = slot;
        scan->other_indexes[scan->others++] = index;
    }
}

static int find_slot(const struct rw_split *self, const struct weir_candidate *candidate, unsigned index)
{
    int slot = servers_find(self->servers, candidate->address, index);

    if (slot >= 0)
        servers_note_role(self->servers, slot, candidate->role == WEIR_PRIMARY);
    return slot;
}

/* Where there is neither a probe nor a position to compare with nobody looks a server up. */
static bool needs_slots(const struct rw_split *self, const struct seen *seen)
{
    return seen || self->has_probe;
}

/* Most requests of the window come by here: only what weir says of a server counts. */
static void scan_by_clock(const struct rw_split *self, struct scan *scan,
                          const struct weir_candidate *candidates, unsigned count)
{
    int64_t lag_max_ms = self->settings.lag_max_ms < 0 ? INT64_MAX : self->settings.lag_max_ms;

    for (unsigned i = 0; i < count; i++) {
        const struct weir_candidate *candidate = weir_candidate_at(candidates, i);

        if (candidate->role == WEIR_PRIMARY) {
            scan_primary(self, scan, candidate, i, -1, NULL);
            continue;
        }
        scan->replicas++;
        if (!candidate->is_usable || candidate->was_tried)
            continue;
        scan->usable++;
        if (candidate->lag_ms <= lag_max_ms)
            scan->fit[scan->fit_count++] = i;
    }
}

void scan_for_read(const struct rw_split *self, struct scan *scan, const struct weir_candidate *candidates,
                   unsigned count, const struct seen *seen)
{
    memset(scan, 0, offsetof(struct scan, fit));
    if (count > CANDIDATES_MAX)
        count = CANDIDATES_MAX;
    if (!needs_slots(self, seen)) {
        scan_by_clock(self, scan, candidates, count);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        const struct weir_candidate *candidate = weir_candidate_at(candidates, i);
        int slot = find_slot(self, candidate, i);

        if (candidate->role == WEIR_PRIMARY)
            scan_primary(self, scan, candidate, i, slot, seen);
        else
            scan_replica(self, scan, candidate, i, slot, seen);
    }
}

void scan_for_write(const struct rw_split *self, struct scan *scan, const struct weir_candidate *candidates,
                    unsigned count, const struct seen *seen)
{
    bool has_slots = needs_slots(self, seen);

    memset(scan, 0, offsetof(struct scan, fit));
    for (unsigned i = 0; i < count && i < CANDIDATES_MAX; i++) {
        const struct weir_candidate *candidate = weir_candidate_at(candidates, i);

        if (candidate->role == WEIR_PRIMARY)
            scan_primary(self, scan, candidate, i, has_slots ? find_slot(self, candidate, i) : -1, seen);
        else
            scan->replicas++;
    }
}
