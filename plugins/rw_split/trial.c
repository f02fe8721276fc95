#include "trial.h"

#include <string.h>

#include "scan.h"

#define GAP_MS        100
#define GAP_MAX_MS    1000  /* of one that really is behind */
#define GAP_SILENT_MS 60000 /* of one that says nothing */

/* What goes twice must not do anything twice (RFC 9110 9.2.1), and a protocol that is switched to cannot be
 * taken back. */
static bool is_harmless(const struct rw_split *self, const struct weir_request *request)
{
    const struct weir_host *host = self->host;
    struct weir_str method = host->method(request);
    bool is_plain = (method.len == 3 && memcmp(method.data, "GET", 3) == 0) ||
                    (method.len == 4 && memcmp(method.data, "HEAD", 4) == 0);

    return is_plain && !host->has_body(request) && !host->field(request, "Upgrade").data;
}

/* One of those who come at the same time takes it. */
static bool is_due(struct trials *trials, int slot, int64_t now_ms)
{
    int_least64_t next_ms = atomic_load_explicit(&trials->next_ms[slot], memory_order_relaxed);
    int64_t gap_ms = atomic_load_explicit(&trials->gap_ms[slot], memory_order_relaxed);

    return now_ms >= next_ms && atomic_compare_exchange_strong(&trials->next_ms[slot], &next_ms,
                                                               now_ms + (gap_ms ? gap_ms : GAP_MS));
}

bool trial_begin(struct rw_split *self, struct weir_request *request, struct visit *visit,
                 const struct scan *scan, struct weir_choice *out)
{
    int64_t now_ms;

    if (scan->others == 0 || self->has_probe || !visit->is_kept || !is_harmless(self, request))
        return false;
    now_ms = self->host->mono_ms();
    for (unsigned i = 0; i < scan->others; i++) {
        if (!is_due(&self->trials, scan->other_slots[i], now_ms))
            continue;
        visit->trial = TRIAL_ASKED;
        visit->trial_slot = scan->other_slots[i];
        split_count(self, "read_trial");
        out->kind = WEIR_PICK;
        out->index = scan->other_indexes[i];
        out->why = "read-trial";
        return true;
    }
    return false;
}

/* One that had it is worth another before long, one that is behind less so, one that says nothing least. */
static void space_out(struct rw_split *self, const struct visit *visit, const struct weir_answer *answer)
{
    struct trials *trials = &self->trials;
    int slot = visit->trial_slot;
    int64_t gap_ms = atomic_load_explicit(&trials->gap_ms[slot], memory_order_relaxed);

    if (answer->is_weirs_own)
        gap_ms = GAP_MAX_MS;
    else if (!answer->field(answer, "Weir-Position").data)
        gap_ms = GAP_SILENT_MS;
    else if (servers_covers(self->servers, slot, &visit->seen))
        gap_ms = GAP_MS;
    else
        gap_ms = gap_ms < GAP_MS ? 2 * GAP_MS : gap_ms < GAP_MAX_MS / 2 ? 2 * gap_ms : GAP_MAX_MS;
    atomic_store_explicit(&trials->gap_ms[slot], gap_ms, memory_order_relaxed);
    atomic_store_explicit(&trials->next_ms[slot], self->host->mono_ms() + gap_ms, memory_order_relaxed);
}

bool trial_ends(struct rw_split *self, struct visit *visit, const struct weir_answer *answer,
                struct weir_verdict *out)
{
    if (visit->trial != TRIAL_ASKED)
        return false;
    visit->trial = TRIAL_OVER;
    if (answer->role == WEIR_PRIMARY) /* it was that already when it was asked */
        return false;
    space_out(self, visit, answer);
    out->replay_to_primary = true;
    out->forbid_store = true;
    return true;
}

void trial_heard(struct rw_split *self, struct weir_str address)
{
    int slot = servers_find(self->servers, address, 0);

    if (slot >= 0)
        atomic_store_explicit(&self->trials.next_ms[slot], self->host->mono_ms() + GAP_MS,
                              memory_order_relaxed);
}
