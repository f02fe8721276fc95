/* Which server? Writes go to the primary, reads to a replica that shows what its client must see. */
#include "scan.h"

#define SLICE_MS      100 /* how often a primary that refused is tried again */
#define TELL_EVERY_MS 60000
#define LONGER        3 /* times wait: how much longer a read is held before it is refused */
#define UNRESOLVED_MS 1000

/* --- what to say --- */

static void say_roles(struct weir_choice *out, unsigned roles, bool falls_back, const char *why)
{
    out->kind = WEIR_ROLES;
    out->roles = roles;
    out->falls_back = falls_back;
    out->why = why;
}

static void say_pick(struct weir_choice *out, unsigned index, const char *why)
{
    out->kind = WEIR_PICK;
    out->index = index;
    out->why = why;
}

/* Among several weir balances; not where one of them is none any more. */
static void say_primary(struct weir_choice *out, const struct scan *scan, const char *why)
{
    if ((scan->has_deposed || scan->has_lost) && scan->has_primary)
        say_pick(out, scan->primary, why);
    else
        say_roles(out, WEIR_ROLES_PRIMARY, false, why);
}

static void say_refused(struct weir_choice *out, const char *reason, int64_t retry_after_s)
{
    out->kind = WEIR_REFUSE;
    out->reason = reason;
    out->why = reason;
    out->retry_after_s = retry_after_s;
}

/* One hold: since when, and how long in all. */
struct term {
    int64_t *since_ms; /* 0: not yet */
    int64_t hold_ms;
    int64_t look_ms; /* it looks again by itself after that */
};

/* False: its time is over, or it can't be noted. */
static bool say_held(struct visit *visit, struct term term, int64_t now_ms, const char *why,
                     struct weir_choice *out)
{
    int64_t left_ms;

    if (!visit->is_kept || visit->is_last_call)
        return false;
    if (*term.since_ms == 0)
        *term.since_ms = now_ms;
    left_ms = *term.since_ms + term.hold_ms - now_ms;
    if (left_ms <= 0)
        return false;
    visit->has_held = true;
    out->kind = WEIR_HOLD;
    out->hold_ms = left_ms < term.look_ms ? left_ms : term.look_ms;
    out->holds_again = true; /* when it is over is for us to know */
    out->why = why;
    return true;
}

/* Once a minute at most. */
static void tell(struct rw_split *self, atomic_int_least64_t *io_told_ms, const char *line)
{
    int64_t now_ms = self->host->mono_ms();
    int64_t told_ms = atomic_load_explicit(io_told_ms, memory_order_relaxed);

    if (told_ms && now_ms - told_ms < TELL_EVERY_MS)
        return;
    if (atomic_compare_exchange_strong(io_told_ms, &told_ms, now_ms))
        self->host->log(WEIR_LOG_WARN, line);
}

/* --- while there is no primary --- */

/* Before every database has been asked once the config says who is primary, and that may be one that was
 * taken over from while weir was down. */
static bool is_unsettled(const struct rw_split *self)
{
    return !servers_roles_are_settled(self->servers);
}

static bool has_primary(const struct rw_split *self, const struct scan *scan)
{
    return scan->has_primary && !is_unsettled(self);
}

static int64_t note_wait(struct rw_split *self, struct visit *visit, const struct scan *scan)
{
    bool wants_any = scan->has_deposed || scan->has_lost || is_unsettled(self);

    return waits_add(&self->waits, &visit->seen, scan->other_slots, scan->others, wants_any,
                     &visit->wait_turn);
}

/* It comes back, or another is promoted. A primary that refused the connection got nothing of the request, or
 * weir would not ask again: after a while it may be tried once more. */
static bool wait_for_primary(struct rw_split *self, struct visit *visit, const struct scan *scan,
                             int64_t hold_ms, struct weir_choice *out)
{
    struct term term = { &visit->hold_since_ms, hold_ms, SLICE_MS };
    int64_t now_ms = self->host->mono_ms();

    if (!self->settings.holds_writes)
        return false;
    /* Between two attempts there is a hold, however long an attempt takes: weir does not go back at once. */
    if (scan->has_tried_primary && visit->has_held && now_ms >= visit->again_ms && !is_unsettled(self)) {
        visit->again_ms = now_ms + SLICE_MS;
        visit->has_held = false;
        say_pick(out, scan->tried_primary, "primary-again");
        return true;
    }
    if (visit->is_kept && visit->hold_since_ms == 0) {
        visit->again_ms = now_ms + SLICE_MS;
        split_count(self, visit->kind == KIND_READ && !visit->was_replayed ? "read_held" : "write_held");
    }
    term.look_ms = note_wait(self, visit, scan);
    if (scan->has_deposed)
        tell(self, &self->told_deposed_ms,
             "rw_split: a client has seen a later epoch than that of the primary, which is not asked for it "
             "until it is known who took over (a database that was made anew needs another domain)");
    return say_held(visit, term, now_ms, "no-primary", out);
}

/* What the primary has to take counts, where reads that it need not take are a share of it. */
static void count_for_budget(struct rw_split *self, const struct visit *visit)
{
    if (visit->consistency >= CONSISTENCY_POSITION || servers_know(self->servers))
        budget_count(&self->budget, self->host->mono_ms());
}

static void choose_for_write(struct rw_split *self, struct visit *visit, const struct scan *scan,
                             struct weir_choice *out)
{
    bool has_one = has_primary(self, scan);

    if (!has_one && (self->settings.holds_writes || scan->has_deposed)) {
        if (!wait_for_primary(self, visit, scan, self->settings.write_hold_ms, out))
            say_refused(out, "write-held", 1);
        return;
    }
    if (has_one)
        count_for_budget(self, visit);
    say_primary(out, scan, "write");
    /* Whom the plugin picks weir may be sent to again, for as long as it takes. */
    if (self->settings.holds_writes && scan->primaries == 1)
        say_pick(out, scan->primary, "write");
}

/* --- falling back to the primary --- */

static void refuse_read(struct rw_split *self, const struct visit *visit, const struct scan *scan,
                        struct weir_choice *out)
{
    split_count(self, "read_refused");
    say_refused(out, "position-behind",
                servers_eta_s(self->servers, scan->other_slots, scan->others, visit->seen.at));
}

/* After a restart the clients' tokens are by another process's clock, and for CLOCK_SKEW_MS nobody can say
 * which position they mean. Then it is known: all of them would be refused for nothing. */
static int64_t longer_ms(const struct rw_split *self, const struct visit *visit)
{
    int64_t hold_ms = LONGER * self->settings.wait_ms;

    return visit->seen.has_source && hold_ms > 0 && hold_ms < UNRESOLVED_MS ? UNRESOLVED_MS : hold_ms;
}

/* Who is sent away comes back a second later at the earliest: where a replica is nearly there it is better
 * for him, and no worse for the primary, to wait some more. So it is where none has said anything, as just
 * after a start. */
static bool wait_longer(struct rw_split *self, struct visit *visit, const struct scan *scan,
                        struct weir_choice *out)
{
    struct term term = { &visit->longer_since_ms, longer_ms(self, visit), 0 };

    if (scan->others == 0)
        return false;
    if (scan->behind == scan->others &&
        servers_eta_s(self->servers, scan->other_slots, scan->others, visit->seen.at) > 1)
        return false;
    term.look_ms = note_wait(self, visit, scan);
    return say_held(visit, term, self->host->mono_ms(), "position", out);
}

/* False: *out says what instead. */
static bool may_ask_primary(struct rw_split *self, struct visit *visit, const struct scan *scan, bool is_due,
                            struct weir_choice *out)
{
    if (visit->trial != TRIAL_NONE) /* it had its place there when it was sent to a replica first */
        return true;
    if (is_due || scan->replicas == 0) {
        count_for_budget(self, visit);
        return true;
    }
    if (budget_take(&self->budget, self->host->mono_ms()))
        return true;
    if (wait_longer(self, visit, scan, out))
        return false;
    tell(self, &self->told_refused_ms,
         "rw_split: reads are refused: no replica is far enough, and the primary has its share of reads "
         "(primary_read_share)");
    refuse_read(self, visit, scan, out);
    return false;
}

/* Nobody is up, neither primary nor replica: something stored may stand in for the error (RFC 5861 4), and
 * who waits for that for as long as a failover may take has waited for nothing. Whoever comes up within a
 * moment is still asked. */
static void give_up_soon(struct rw_split *self, struct visit *visit, const struct scan *scan,
                         struct weir_choice *out)
{
    int64_t hold_ms = LONGER * self->settings.wait_ms;
    bool is_anyones = seen_is_nothing(&visit->seen);

    if (hold_ms > self->settings.write_hold_ms)
        hold_ms = self->settings.write_hold_ms;
    if (wait_for_primary(self, visit, scan, hold_ms, out))
        return;
    /* Who wants no position takes whoever is up by now. */
    say_roles(out, is_anyones ? WEIR_ROLES_PRIMARY : 0, is_anyones, "read-no-server");
}

/* No replica will do. The primary shows everything, but must not go under because replicas lag: unless reads
 * are due there anyway. */
static void fall_back(struct rw_split *self, struct weir_request *request, struct visit *visit,
                      const struct scan *scan, bool is_due, struct weir_choice *out)
{
    if (has_primary(self, scan)) {
        if (!may_ask_primary(self, visit, scan, is_due, out))
            return;
        if (!is_due && visit->trial == TRIAL_NONE && trial_begin(self, request, visit, scan, out))
            return;
        visit->trial = visit->trial == TRIAL_NONE ? TRIAL_NONE : TRIAL_OVER;
        split_count(self, "read_primary_fallback");
        say_primary(out, scan, "read-fallback");
        return;
    }
    if (scan->usable == 0 && !scan->has_primary && !scan->has_deposed && !scan->has_lost)
        give_up_soon(self, visit, scan, out);
    else if (!wait_for_primary(self, visit, scan, self->settings.write_hold_ms, out))
        refuse_read(self, visit, scan, out);
}

/* --- reads by time --- */

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

    say_pick(out, load_of(candidates, other) < load_of(candidates, one) ? other : one, "read");
}

static bool is_in_window(struct rw_split *self, const struct visit *visit)
{
    return visit->consistency != CONSISTENCY_NONE && visit->wrote_ms &&
           self->host->wall_ms() - visit->wrote_ms < self->settings.window_ms;
}

static void choose_by_window(struct rw_split *self, struct weir_request *request, struct visit *visit,
                             const struct weir_candidate *candidates, const struct scan *scan,
                             struct weir_choice *out)
{
    if (is_in_window(self, visit)) {
        /* No way back to a replica: an error is better than one's own write gone without a word. */
        if (scan->has_deposed || scan->has_lost || is_unsettled(self))
            fall_back(self, request, visit, scan, true, out);
        else
            say_primary(out, scan, "own-write");
    } else if (scan->fit_count > 0 && scan->fit_count == scan->usable) {
        say_roles(out, WEIR_ROLES_REPLICA, true, "read");
    } else if (scan->fit_count > 0) {
        pick(self, candidates, scan, out);
    } else if (scan->usable > 0 || is_unsettled(self)) { /* all of them lag too far */
        fall_back(self, request, visit, scan, scan->usable == 0, out);
    } else {
        say_roles(out, WEIR_ROLES_PRIMARY, true, "read-no-replica");
    }
}

/* --- reads by position --- */

/* Scans again after it has said that it waits, so that no progress falls between the two. Of one that has
 * said nothing so far nobody knows that it ever will: no use in waiting for it. */
static bool wait_for_replica(struct rw_split *self, struct visit *visit, struct scan *scan,
                             const struct weir_candidate *candidates, unsigned count, struct weir_choice *out)
{
    struct term term = { &visit->wait_since_ms, self->settings.wait_ms, 0 };
    bool is_first = visit->wait_since_ms == 0;

    if (scan->behind == 0 || visit->trial != TRIAL_NONE)
        return false;
    term.look_ms = note_wait(self, visit, scan);
    servers_resolve(self->servers, &visit->seen, self->host->wall_ms());
    scan_for_read(self, scan, candidates, count, &visit->seen);
    if (scan->fit_count > 0)
        return false;
    if (!say_held(visit, term, self->host->mono_ms(), "position", out))
        return false;
    if (is_first)
        split_count(self, "read_waited");
    return true;
}

static void choose_by_position(struct rw_split *self, struct weir_request *request, struct visit *visit,
                               struct scan *scan, const struct weir_candidate *candidates, unsigned count,
                               struct weir_choice *out)
{
    if (scan->fit_count == 0 && wait_for_replica(self, visit, scan, candidates, count, out))
        return;
    if (scan->fit_count == 0 || visit->trial != TRIAL_NONE) {
        fall_back(self, request, visit, scan, false, out);
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
    const struct seen *seen;
    struct scan scan;
    bool has_positions = visit_has_positions(self, visit);

    visit->is_last_call = is_last_call;
    visit_settle_kind(self, request, visit);
    if (visit->kind == KIND_WRITE || visit->was_replayed) {
        scan_for_write(self, &scan, candidates, count, visit->seen.at.is_known ? &visit->seen : NULL);
        choose_for_write(self, visit, &scan, out);
        return;
    }
    if (has_positions)
        servers_resolve(self->servers, &visit->seen, self->host->wall_ms());
    seen = has_positions ? &visit->seen : NULL;
    scan_for_read(self, &scan, candidates, count, seen);
    /* Another weir may have acknowledged what this one knows nothing of, whether anybody says positions or
     * not. */
    if (visit->consistency == CONSISTENCY_STRICT && self->host->is_in_fleet())
        fall_back(self, request, visit, &scan, true, out);
    else if (has_positions)
        choose_by_position(self, request, visit, &scan, candidates, count, out);
    else
        choose_by_window(self, request, visit, candidates, &scan, out);
}
