/* The corridor's side of the hooks: fills in what a plugin is told, reads what it said. */
#include "base/clock.h"
#include "base/err.h"
#include "pipeline/client.h"
#include "pipeline/fetch.h"
#include "pipeline/plugin_call.h"

#define CANDIDATES_MAX      64
#define HOLD_MS_MAX         60000
#define KEEP_BODY_BYTES_MAX (16 << 20)
#define WORD_MAX            64
#define TOKEN_BYTES_MAX     4096

static struct str in_str(struct request *req, struct weir_str s)
{
    return s.data ? arena_str(&req->arena, str_n(s.data, s.len)) : (struct str){ NULL, 0 };
}

/* A hook is asked again (a server failed, a hold is over): what it added then is not for this reply. */
static void forget_fields(struct request *req, unsigned index, enum plugin_hook from)
{
    for (struct reply_field **at = &req->reply_fields; *at;) {
        if ((*at)->plugin != index || (*at)->hook < from) {
            at = &(*at)->next;
            continue;
        }
        *at = (*at)->next;
        req->reply_field_count--;
    }
}

void plugins_inspect(struct request *req)
{
    struct supply *supply = req->supply;
    req->is_write = !method_is_safe(req->msg.method);
    for (unsigned i = 0; i < supply->plugin_count; i++) {
        struct plugin *plugin = supply->plugins[i];
        if (!HAS_HOOK(plugin, inspect))
            continue;
        struct weir_request handle = { req, i, HOOK_INSPECT };
        struct weir_inspection said = {
            .size = sizeof said,
            .kind = req->is_write ? WEIR_WRITE : WEIR_READ,
            .bypass_cache = req->bypasses_cache,
            .not_before_ms = req->not_before_ms,
        };
        struct plugin_call call = plugin_call_begin(plugin);
        plugin->abi->inspect(plugin->self, &handle, &said);
        plugin_call_end(&call, "inspect");
        req->is_write = said.kind == WEIR_WRITE;
        req->bypasses_cache = said.bypass_cache;
        req->not_before_ms = said.not_before_ms;
        req->is_once |= said.is_once;
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

/* texts: where what is reported of their positions is copied to. */
static unsigned fill_candidates(const struct fetch *fetch, struct weir_candidate *out,
                                char texts[][POSITION_MAX + 1])
{
    const struct upstream *upstream = fetch->supply->upstream;
    int64_t now = loop_now_ns(fetch->lane->loop);
    unsigned count = upstream->server_count < CANDIDATES_MAX ? upstream->server_count : CANDIDATES_MAX;
    for (unsigned i = 0; i < count; i++) {
        struct server *server = upstream->servers[i];
        int64_t lag_ns = atomic_load_explicit(&server->lag_ns, memory_order_relaxed);
        size_t position_len = server_position(server, texts[i]);
        out[i] = (struct weir_candidate){
            .size = sizeof *out,
            .role = server_role(server) == ROLE_PRIMARY ? WEIR_PRIMARY : WEIR_REPLICA,
            .is_usable = server_is_usable(server, now),
            .was_tried = fetch->tried >> i & 1,
            .inflight = atomic_load_explicit(&server->inflight, memory_order_relaxed),
            .mean_us = atomic_load_explicit(&server->mean_ns, memory_order_relaxed) / 1000,
            .address = { server->addr.text, strlen(server->addr.text) },
            .lag_ms = lag_ns < 0 ? -1 : lag_ns / NS_PER_MS,
            .position = { position_len > 0 ? texts[i] : NULL, position_len },
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

/* One that this request tried is no choice, or it would be tried again and again at once; after a hold it is,
 * once. Then another of its role will do, but none of the other role: that is not what the plugin wants. */
static enum plugin_said read_pick(struct fetch *fetch, const struct weir_choice *said, unsigned *out_roles,
                                  bool *out_falls_back)
{
    struct server *server = fetch->supply->upstream->servers[said->index];
    fetch->why_chosen = word_of(said->why);
    if ((fetch->tried >> said->index & 1) && !fetch->has_waited) {
        *out_roles = 1u << server_role(server);
        *out_falls_back = false;
        return PLUGIN_PASSES;
    }
    fetch->server = server;
    fetch->is_picked = true;
    return PLUGIN_PICKED;
}

enum plugin_said plugins_choose(struct fetch *fetch, unsigned *out_roles, bool *out_falls_back,
                                int64_t *out_hold_ms)
{
    struct supply *supply = fetch->supply;
    struct weir_candidate candidates[CANDIDATES_MAX];
    char texts[CANDIDATES_MAX][POSITION_MAX + 1];
    unsigned count = 0;
    bool is_last_call = fetch->is_hold_over || fetch->held_sum_ns >= HOLD_MS_MAX * NS_PER_MS;

    for (unsigned i = 0; i < supply->plugin_count; i++) {
        struct plugin *plugin = supply->plugins[i];
        if (!HAS_HOOK(plugin, choose))
            continue;
        if (count == 0)
            count = fill_candidates(fetch, candidates, texts);
        forget_fields(fetch->req, i, HOOK_CHOOSE);
        struct weir_request handle = { fetch->req, i, HOOK_CHOOSE };
        struct weir_choice said = { .size = sizeof said, .kind = WEIR_PASS };
        struct plugin_call call = plugin_call_begin(plugin);
        plugin_host_choosing(supply->held);
        plugin->abi->choose(plugin->self, &handle, candidates, count, is_last_call, &said);
        plugin_host_choosing(NULL);
        plugin_call_end(&call, "choose");
        switch (said.kind) {
        case WEIR_PASS:
            continue;
        case WEIR_PICK:
            if (said.index < count)
                return read_pick(fetch, &said, out_roles, out_falls_back);
            plugin_tell(plugin, "picked candidate %u of %u", said.index, count);
            continue; /* a plugin's mistake is no reason to fail */
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
            if (is_last_call) { /* it was told: nobody gets a server that a plugin does not want */
                fetch->err = ERR_PLUGIN_REFUSED;
                return PLUGIN_REFUSED;
            }
            *out_hold_ms = max_i64(0, min_i64(said.hold_ms, HOLD_MS_MAX - fetch->held_sum_ns / NS_PER_MS));
            fetch->holds_again = said.holds_again;
            return PLUGIN_HOLDS;
        default:
            plugin_tell(plugin, "made a choice that there is not: %d", (int)said.kind);
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
    uint32_t letters;
};

static struct weir_str answer_field(const struct weir_answer *answer, const char *name)
{
    struct answer_handle *handle = (struct answer_handle *)(uintptr_t)answer;
    if (!handle->reply || !plugin_may_find(handle->reply, &handle->letters, name))
        return (struct weir_str){ NULL, 0 };
    const struct field *field = message_find(handle->reply, str_of(name));
    return field ? (struct weir_str){ field->value.data, field->value.len } : (struct weir_str){ NULL, 0 };
}

/* It goes into a field and a cookie as it is (RFC 6265 4.1.1). A reply is not lost for a plugin's mistake. */
static bool is_good_token(struct plugin *plugin, struct weir_str token)
{
    bool is_good = token.len > 0 && token.len <= TOKEN_BYTES_MAX;
    for (size_t i = 0; is_good && i < token.len; i++) {
        char c = token.data[i];
        is_good = c > ' ' && c < 0x7f && !strchr("\",;\\", c);
    }
    if (!is_good)
        plugin_tell(plugin, "said a token that is left out: 1 to %d characters that a cookie may have",
                    TOKEN_BYTES_MAX);
    return is_good;
}

static void take_token(struct plugin *plugin, struct request *req, const struct weir_verdict *said,
                       bool is_of_write)
{
    if (!said->token.data || !is_good_token(plugin, said->token))
        return;
    if (req->token_from && req->token_from != plugin)
        plugin_tell(plugin, "said a token in the place of another plugin's: a reply has one");
    req->token_from = plugin;
    req->token = in_str(req, said->token);
    req->token_age_s = max_i64(said->token_age_s, 0);
    req->token_is_of_write = is_of_write;
}

static void read_verdict(struct plugin *plugin, struct fetch *fetch, const struct weir_verdict *said,
                         struct plugin_verdict *out)
{
    struct request *req = fetch->req;
    out->forbids_store |= said->forbid_store;
    out->invalidates |= said->invalidate;
    out->replays |= said->replay_to_primary;
    out->as_of_ms = said->as_of_ms > 0 && out->as_of_ms > 0 ? min_i64(said->as_of_ms, out->as_of_ms)
                                                            : max_i64(said->as_of_ms, out->as_of_ms);
    if (said->position.data)
        out->position = in_str(req, said->position);
    if (fetch->is_attached)
        take_token(plugin, req, said, said->is_of_write);
}

/* A failover may come between question and answer: what a replica was asked is a replica's answer. */
static enum weir_role role_of(const struct fetch *fetch)
{
    bool is_replicas =
        fetch->server && (fetch->role_asked == ROLE_REPLICA || server_role(fetch->server) == ROLE_REPLICA);
    return is_replicas ? WEIR_REPLICA : WEIR_PRIMARY;
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
        forget_fields(fetch->req, i, HOOK_ANSWERED);
        struct weir_request handle = { fetch->req, i, HOOK_ANSWERED };
        struct answer_handle told = {
            .answer = {
                .size = sizeof told.answer,
                .status = status,
                .is_weirs_own = reply == NULL,
                .is_kept_body = !fetch->req->has_upload || fetch->req->is_upload_kept,
                .role = role_of(fetch),
                .index = fetch->server ? upstream_index(supply->upstream, fetch->server) : 0,
                .sent_ms = fetch->has_reached ? fetch->sent_wall_ms : 0,
                .field = answer_field,
                .address = server_address(fetch->server),
            },
            .reply = reply,
        };
        struct weir_verdict said = { .size = sizeof said };
        struct plugin_call call = plugin_call_begin(plugin);
        plugin->abi->answered(plugin->self, &handle, &told.answer, &said);
        plugin_call_end(&call, "answered");
        read_verdict(plugin, fetch, &said, out);
    }
}

void plugins_finished(struct request *req)
{
    struct supply *supply = req->supply;
    for (unsigned i = 0; i < supply->plugin_count; i++) {
        struct plugin *plugin = supply->plugins[i];
        if (!HAS_HOOK(plugin, finished))
            continue;
        struct weir_request handle = { req, i, HOOK_FINISHED };
        const struct weir_cost cost = {
            .size = sizeof cost,
            .status = req->status,
            .is_from_cache = req->answer == ANSWERS_OBJECT && req->attempts == 0,
            .total_us = (req->written_ns - req->started_ns) / 1000,
            .server_us = req->stage_ns[STAGE_FIRST_BYTE] < 0 ? -1 : req->stage_ns[STAGE_FIRST_BYTE] / 1000,
            .sent_bytes = req->body_bytes,
        };
        struct plugin_call call = plugin_call_begin(plugin);
        plugin->abi->finished(plugin->self, &handle, &cost);
        /* Others may wait for what its fetch brings, which is answered later: nobody looks into what is freed
         * by now. */
        req->plugin_values[i] = NULL;
        plugin_call_end(&call, "finished");
    }
}

struct str plugins_assign(struct request *req, const struct supply *supply)
{
    for (unsigned i = 0; i < supply->plugin_count; i++) {
        struct plugin *plugin = supply->plugins[i];
        if (!HAS_HOOK(plugin, assign))
            continue;
        struct weir_request handle = { req, i, HOOK_ASSIGN };
        struct plugin_call call = plugin_call_begin(plugin);
        struct weir_str name = plugin->abi->assign(plugin->self, &handle);
        plugin_call_end(&call, "assign");
        if (name.data && req->world && !world_supply(req->world, str_n(name.data, name.len)))
            plugin_tell(plugin, "assigned a request to upstream \"%.*s\", which there is not", (int)name.len,
                        name.data);
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
        forget_fields(req, i, HOOK_ANSWERED);
        struct weir_request handle = { req, i, HOOK_SERVED };
        struct weir_verdict said = { .size = sizeof said };
        struct plugin_call call = plugin_call_begin(plugin);
        plugin->abi->served(plugin->self, &handle,
                            (struct weir_str){ meta->position.data, meta->position.len },
                            meta->fetched_wall_ms, &said);
        plugin_call_end(&call, "served");
        take_token(plugin, req, &said, false);
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
        struct plugin_call call = plugin_call_begin(plugin);
        plugin->abi->checked(plugin->self, &told.answer);
        plugin_call_end(&call, "checked");
    }
}
