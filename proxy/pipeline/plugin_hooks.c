/* The corridor's side of the hooks: fills in what a plugin is told, reads what it said. */
#include "base/clock.h"
#include "base/err.h"
#include "pipeline/client.h"
#include "pipeline/fetch.h"
#include "pipeline/plugin_host.h"
#include "pipeline/plugin_upstream.h"

#define CANDIDATES_MAX         64
#define HOLD_MS_MAX            60000
#define KEEP_BODY_BYTES_MAX    (16 << 20)
#define WORD_MAX               64

#define HAS_HOOK(plugin, hook) (WEIR_HAS((plugin)->abi, hook) && (plugin)->abi->hook)

static struct str in_str(struct request *req, struct weir_str s)
{
    return s.data ? arena_str(&req->arena, str_n(s.data, s.len)) : (struct str){ NULL, 0 };
}

/* Calls are counted, and one in so many timed: a slow plugin shows, and a fast one does not pay for that. */
#define TIMED_CALLS 16

/* When the call began; 0: it is not timed. */
static int64_t begin_call(const struct plugin *plugin)
{
    uint64_t calls = atomic_load_explicit(&plugin->calls, memory_order_relaxed);
    return calls % TIMED_CALLS == 0 ? clock_mono_ns() : 0;
}

static void called(struct plugin *plugin, int64_t since_ns)
{
    atomic_fetch_add_explicit(&plugin->calls, 1, memory_order_relaxed);
    if (since_ns == 0)
        return;
    uint64_t took_ns = (uint64_t)(clock_mono_ns() - since_ns);
    atomic_fetch_add_explicit(&plugin->ns, took_ns * TIMED_CALLS, memory_order_relaxed);
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
        int64_t since = begin_call(plugin);
        plugin->abi->inspect(plugin->self, &handle, &said);
        called(plugin, since);
        req->is_write = said.kind == WEIR_WRITE;
        req->bypasses_cache = said.bypass_cache;
        req->not_before_ms = said.not_before_ms;
        req->keep_body_bytes =
            max_i64(req->keep_body_bytes, min_i64(said.keep_body_bytes, KEEP_BODY_BYTES_MAX));
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

static struct weir_str position_of(const struct fetch *fetch, const struct server *server)
{
    struct weir_upstream *face = fetch->supply->shared->face;
    char text[256];
    if (!plugin_upstream_has_positions(face))
        return (struct weir_str){ NULL, 0 };
    size_t len = plugin_upstream_position(face, server, text);
    struct str kept = len > 0 ? arena_str(&fetch->req->arena, str_n(text, len)) : (struct str){ NULL, 0 };
    return (struct weir_str){ kept.data, kept.data ? kept.len : 0 };
}

static unsigned fill_candidates(const struct fetch *fetch, struct weir_candidate *out)
{
    const struct upstream *upstream = fetch->supply->upstream;
    int64_t now = loop_now_ns(fetch->lane->loop);
    unsigned count = upstream->server_count < CANDIDATES_MAX ? upstream->server_count : CANDIDATES_MAX;
    for (unsigned i = 0; i < count; i++) {
        struct server *server = upstream->servers[i];
        int64_t lag_ns = atomic_load_explicit(&server->lag_ns, memory_order_relaxed);
        out[i] = (struct weir_candidate){
            .size = sizeof *out,
            .role = server_role(server) == ROLE_PRIMARY ? WEIR_PRIMARY : WEIR_REPLICA,
            .is_usable = server_is_usable(server, now),
            .was_tried = fetch->tried >> i & 1,
            .inflight = atomic_load_explicit(&server->inflight, memory_order_relaxed),
            .mean_us = atomic_load_explicit(&server->mean_ns, memory_order_relaxed) / 1000,
            .address = { server->addr.text, strlen(server->addr.text) },
            .lag_ms = lag_ns < 0 ? -1 : lag_ns / NS_PER_MS,
            .position = position_of(fetch, server),
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

static struct str word_of(const char *word)
{
    return word ? str_n(word, strnlen(word, WORD_MAX)) : (struct str){ NULL, 0 };
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
        int64_t since = begin_call(plugin);
        plugin->abi->choose(plugin->self, &handle, candidates, count, fetch->is_hold_over, &said);
        called(plugin, since);
        switch (said.kind) {
        case WEIR_PASS:
            continue;
        case WEIR_PICK:
            if (said.index >= count)
                continue; /* a plugin's mistake is no reason to fail */
            fetch->server = supply->upstream->servers[said.index];
            fetch->why_chosen = word_of(said.why);
            fetch->is_picked = true;
            return PLUGIN_PICKED;
        case WEIR_ROLES:
            *out_roles = said.roles & (ROLES_PRIMARY | ROLES_REPLICA);
            *out_falls_back = said.falls_back;
            fetch->why_chosen = word_of(said.why);
            return PLUGIN_PASSES;
        case WEIR_REFUSE:
            fetch->req->retry_after_s = said.retry_after_s;
            fetch->err = refusal_of(said.reason);
            return PLUGIN_REFUSED;
        case WEIR_HOLD:
            if (fetch->is_hold_over || fetch->held_ms >= HOLD_MS_MAX)
                continue;
            *out_hold_ms = max_i64(0, min_i64(said.hold_ms, HOLD_MS_MAX - fetch->held_ms));
            fetch->holds_again = said.holds_again;
            return PLUGIN_HOLDS;
        }
    }
    return PLUGIN_PASSES;
}

static struct weir_str server_address(const struct server *server)
{
    return server ? (struct weir_str){ server->addr.text, strlen(server->addr.text) }
                  : (struct weir_str){ NULL, 0 };
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
    out->as_of_ms = said->as_of_ms > 0 && out->as_of_ms > 0 ? min_i64(said->as_of_ms, out->as_of_ms)
                                                            : max_i64(said->as_of_ms, out->as_of_ms);
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
                .role = fetch->server && server_role(fetch->server) == ROLE_REPLICA ? WEIR_REPLICA : WEIR_PRIMARY,
                .index = fetch->server ? upstream_index(supply->upstream, fetch->server) : 0,
                .sent_ms = fetch->has_reached ? fetch->sent_wall_ms : 0,
                .field = answer_field,
                .address = server_address(fetch->server),
            },
            .reply = reply,
        };
        struct weir_verdict said = { .size = sizeof said };
        int64_t since = begin_call(plugin);
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
        int64_t since = begin_call(plugin);
        plugin->abi->finished(plugin->self, &handle, &cost);
        called(plugin, since);
    }
}

struct str plugins_assign(struct request *req, const struct supply *supply)
{
    for (unsigned i = 0; i < supply->plugin_count; i++) {
        struct plugin *plugin = supply->plugins[i];
        if (!HAS_HOOK(plugin, assign))
            continue;
        struct weir_request handle = { req, i };
        int64_t since = begin_call(plugin);
        struct weir_str name = plugin->abi->assign(plugin->self, &handle);
        called(plugin, since);
        if (name.data)
            return str_n(name.data, name.len);
    }
    return (struct str){ NULL, 0 };
}

void plugins_served(struct request *req, const struct object_meta *meta)
{
    const struct supply *supply = req->supply;
    for (unsigned i = 0; i < supply->plugin_count; i++) {
        struct plugin *plugin = supply->plugins[i];
        if (!HAS_HOOK(plugin, served))
            continue;
        struct weir_request handle = { req, i };
        struct weir_verdict said = { .size = sizeof said };
        int64_t since = begin_call(plugin);
        plugin->abi->served(plugin->self, &handle,
                            (struct weir_str){ meta->position.data, meta->position.len },
                            meta->fetched_wall_ms, &said);
        called(plugin, since);
        if (said.token.data) {
            req->token = in_str(req, said.token);
            req->token_age_s = said.token_age_s;
        }
    }
}

void plugins_checked(const struct supply *supply, const struct server *server, const struct message *reply,
                     struct str body, int64_t sent_wall_ms)
{
    struct answer_handle told = {
        .answer = {
            .size = sizeof told.answer,
            .status = reply->status,
            .role = server_role(server) == ROLE_REPLICA ? WEIR_REPLICA : WEIR_PRIMARY,
            .index = upstream_index(supply->upstream, server),
            .field = answer_field,
            .sent_ms = sent_wall_ms,
            .address = server_address(server),
            .body = { body.data, body.len },
        },
        .reply = reply,
    };
    for (unsigned i = 0; i < supply->plugin_count; i++) {
        struct plugin *plugin = supply->plugins[i];
        if (!HAS_HOOK(plugin, checked))
            continue;
        int64_t since = begin_call(plugin);
        plugin->abi->checked(plugin->self, &told.answer);
        called(plugin, since);
    }
}
