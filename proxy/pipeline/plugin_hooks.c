/* The corridor's side of the hooks: fills in what a plugin is told, reads what it said. */
#include "base/clock.h"
#include "base/err.h"
#include "pipeline/client.h"
#include "pipeline/fetch.h"
#include "pipeline/plugin_host.h"

#define CANDIDATES_MAX         64
#define HOLD_MS_MAX            60000

#define HAS_HOOK(plugin, hook) (WEIR_HAS((plugin)->abi, hook) && (plugin)->abi->hook)

static struct str in_str(struct request *req, struct weir_str s)
{
    return s.data ? arena_str(&req->arena, str_n(s.data, s.len)) : (struct str){ NULL, 0 };
}

/* Calls are timed and counted: a slow plugin shows. */
static void called(struct plugin *plugin, int64_t since_ns)
{
    atomic_fetch_add_explicit(&plugin->calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&plugin->ns, (uint64_t)(clock_mono_ns() - since_ns), memory_order_relaxed);
}

void plugins_inspect(struct request *req)
{
    struct supply *supply = req->supply;
    req->is_write = !method_is_safe(req->msg.method);
    for (unsigned i = 0; i < supply->plugin_count; i++) {
        struct plugin *plugin = supply->plugins[i];
        if (!HAS_HOOK(plugin, inspect))
            continue;
        struct weir_request handle = { req, i };
        struct weir_inspection said = {
            .size = sizeof said,
            .kind = req->is_write ? WEIR_WRITE : WEIR_READ,
            .bypass_cache = req->bypasses_cache,
            .not_before_ms = req->not_before_ms,
        };
        int64_t since = clock_mono_ns();
        plugin->abi->inspect(plugin->self, &handle, &said);
        called(plugin, since);
        req->is_write = said.kind == WEIR_WRITE;
        req->bypasses_cache = said.bypass_cache;
        req->not_before_ms = said.not_before_ms;
        if (said.position.data)
            req->position = in_str(req, said.position);
    }
}

bool plugins_position_covers(const struct request *req, struct str stored)
{
    const struct supply *supply = req->supply;
    if (!req->position.data)
        return true;
    for (unsigned i = 0; i < supply->plugin_count; i++) {
        struct plugin *plugin = supply->plugins[i];
        if (HAS_HOOK(plugin, is_behind) &&
            plugin->abi->is_behind(plugin->self, (struct weir_str){ stored.data, stored.len },
                                   (struct weir_str){ req->position.data, req->position.len }))
            return false;
    }
    return true;
}

static unsigned fill_candidates(const struct fetch *fetch, struct weir_candidate *out)
{
    const struct upstream *upstream = fetch->supply->upstream;
    int64_t now = loop_now_ns(fetch->lane->loop);
    unsigned count = upstream->server_count < CANDIDATES_MAX ? upstream->server_count : CANDIDATES_MAX;
    for (unsigned i = 0; i < count; i++) {
        struct server *server = upstream->servers[i];
        out[i] = (struct weir_candidate){
            .size = sizeof *out,
            .role = server->role == ROLE_PRIMARY ? WEIR_PRIMARY : WEIR_REPLICA,
            .is_usable = server_is_usable(server, now),
            .was_tried = fetch->tried >> i & 1,
            .inflight = atomic_load_explicit(&server->inflight, memory_order_relaxed),
            .mean_us = atomic_load_explicit(&server->mean_ns, memory_order_relaxed) / 1000,
            .address = { server->addr.text, strlen(server->addr.text) },
        };
    }
    return count;
}

static int refusal_of(const char *reason)
{
    if (reason && strcmp(reason, "position-behind") == 0)
        return ERR_POSITION_BEHIND;
    if (reason && strcmp(reason, "write-held") == 0)
        return ERR_WRITE_HELD;
    return ERR_PLUGIN_REFUSED;
}

enum plugin_said plugins_choose(struct fetch *fetch, unsigned *out_roles, bool *out_falls_back,
                                int64_t *out_hold_ms)
{
    struct supply *supply = fetch->supply;
    struct weir_candidate candidates[CANDIDATES_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < supply->plugin_count; i++) {
        struct plugin *plugin = supply->plugins[i];
        if (!HAS_HOOK(plugin, choose))
            continue;
        if (count == 0)
            count = fill_candidates(fetch, candidates);
        struct weir_request handle = { fetch->req, i };
        struct weir_choice said = { .size = sizeof said, .kind = WEIR_PASS };
        int64_t since = clock_mono_ns();
        plugin->abi->choose(plugin->self, &handle, candidates, count, fetch->is_hold_over, &said);
        called(plugin, since);
        fetch->why_chosen = said.why;
        switch (said.kind) {
        case WEIR_PASS:
            continue;
        case WEIR_PICK:
            if (said.index >= count)
                continue; /* a plugin's mistake is no reason to fail */
            fetch->server = supply->upstream->servers[said.index];
            return PLUGIN_PICKED;
        case WEIR_ROLES:
            *out_roles = said.roles & (ROLES_PRIMARY | ROLES_REPLICA);
            *out_falls_back = said.falls_back;
            return PLUGIN_PASSES;
        case WEIR_REFUSE:
            fetch->req->retry_after_s = said.retry_after_s;
            fetch->err = refusal_of(said.reason);
            return PLUGIN_REFUSED;
        case WEIR_HOLD:
            if (fetch->is_hold_over)
                continue;
            *out_hold_ms = max_i64(0, min_i64(said.hold_ms, HOLD_MS_MAX));
            return PLUGIN_HOLDS;
        }
    }
    return PLUGIN_PASSES;
}

struct answer_handle {
    struct weir_answer answer; /* first: what the plugin holds is this */
    const struct message *reply;
};

static struct weir_str answer_field(const struct weir_answer *answer, const char *name)
{
    const struct answer_handle *handle = (const struct answer_handle *)(const void *)answer;
    const struct field *field = handle->reply ? message_find(handle->reply, str_of(name)) : NULL;
    return field ? (struct weir_str){ field->value.data, field->value.len } : (struct weir_str){ NULL, 0 };
}

static void read_verdict(struct fetch *fetch, const struct weir_verdict *said, struct plugin_verdict *out)
{
    struct request *req = fetch->req;
    out->forbids_store |= said->forbid_store;
    out->invalidates |= said->invalidate;
    out->replays |= said->replay_to_primary;
    if (said->position.data)
        out->position = in_str(req, said->position);
    if (said->token.data && fetch->is_attached) {
        req->token = in_str(req, said->token);
        req->token_age_s = said->token_age_s;
    }
}

void plugins_answered(struct fetch *fetch, const struct message *reply, int status,
                      struct plugin_verdict *out)
{
    struct supply *supply = fetch->supply;
    *out = (struct plugin_verdict){ .position = STR("") };
    for (unsigned i = 0; i < supply->plugin_count; i++) {
        struct plugin *plugin = supply->plugins[i];
        if (!HAS_HOOK(plugin, answered))
            continue;
        struct weir_request handle = { fetch->req, i };
        struct answer_handle told = {
            .answer = {
                .size = sizeof told.answer,
                .status = status,
                .is_weirs_own = reply == NULL,
                .is_kept_body = !fetch->req->has_upload || fetch->req->is_upload_kept,
                .role = fetch->server && fetch->server->role == ROLE_REPLICA ? WEIR_REPLICA : WEIR_PRIMARY,
                .index = fetch->server ? upstream_index(supply->upstream, fetch->server) : 0,
                .sent_ms = fetch->has_reached ? fetch->sent_wall_ms : 0,
                .field = answer_field,
            },
            .reply = reply,
        };
        struct weir_verdict said = { .size = sizeof said };
        int64_t since = clock_mono_ns();
        plugin->abi->answered(plugin->self, &handle, &told.answer, &said);
        called(plugin, since);
        read_verdict(fetch, &said, out);
    }
}

void plugins_finished(struct request *req)
{
    struct supply *supply = req->supply;
    const struct weir_cost cost = {
        .size = sizeof cost,
        .status = req->status,
        .is_from_cache = req->answer == ANSWERS_OBJECT && req->attempts == 0,
        .total_us = (req->written_ns - req->started_ns) / 1000,
        .server_us = req->stage_ns[STAGE_FIRST_BYTE] < 0 ? -1 : req->stage_ns[STAGE_FIRST_BYTE] / 1000,
        .sent_bytes = req->body_bytes,
    };
    for (unsigned i = 0; i < supply->plugin_count; i++) {
        struct plugin *plugin = supply->plugins[i];
        if (!HAS_HOOK(plugin, finished))
            continue;
        struct weir_request handle = { req, i };
        int64_t since = clock_mono_ns();
        plugin->abi->finished(plugin->self, &handle, &cost);
        called(plugin, since);
    }
}
