/* The app's head is here: keep it? for whom? Then it is handed on, and its body follows by itself (relay.c).
 */
#include "base/err.h"
#include "http/date.h"
#include "pipeline/answer.h"
#include "pipeline/fetch.h"
#include "pipeline/plugin.h"

/* How long a key is remembered as not worth waiting for each other: as Varnish's hit-for-miss. An error
 * passes sooner. */
#define REMEMBER_MS       (120 * 1000)
#define REMEMBER_ERROR_MS 1000

static struct cache *cache_of(const struct fetch *fetch)
{
    return fetch->lane->city->cache;
}

/* A successful unsafe request makes what is stored for its target wrong (RFC 9111 4.4). */
static void invalidate(struct fetch *fetch, const struct message *reply, bool is_asked)
{
    const struct request *req = fetch->req;
    if (fetch->key.primary.data && (is_asked || reply_invalidates(req->msg.method, reply->status)))
        cache_invalidate(cache_of(fetch), &fetch->key, loop_tick_ns(fetch->lane->loop));
}

static struct cache_policy policy_of(const struct request *req)
{
    bool has_ttl = req->may_use_ttl && req->way->config && req->way->config->has_cache;
    return (struct cache_policy){
        .ttl_ms = has_ttl ? req->way->config->cache.ttl_ms : NEVER,
        .is_set_cookie_stored = req->world->config->cache.is_set_cookie_stored,
        .is_authorized_stored = req->way->config && req->way->config->has_cache &&
                                req->way->config->cache.share == SHARE_CREDENTIAL,
    };
}

struct kept { /* what object_meta borrows while the object is being made */
    char vary[512];
    char vary_key[4096];
};

static bool fill_meta(struct fetch *fetch, const struct message *reply, const struct freshness *freshness,
                      struct writer *head, struct kept *kept, struct object_meta *meta)
{
    const struct request *req = fetch->req;
    int vary = vary_read(reply, kept->vary, sizeof kept->vary);
    if (vary < 0)
        return false;
    int vary_len =
        vary_key(str_n(kept->vary, (size_t)vary), &req->msg, kept->vary_key, sizeof kept->vary_key);
    if (vary_len < 0)
        return false;
    int64_t now = loop_wall_ms(fetch->lane->loop);
    if (head->len == 0 && !answer_stored_head(head, reply, now))
        return false;
    *meta = (struct object_meta){
        .status = reply->status,
        .head = writer_str(head),
        .etag = message_value(reply, FIELD_ETAG),
        .last_modified = message_value(reply, FIELD_LAST_MODIFIED),
        .vary = str_n(kept->vary, (size_t)vary),
        .vary_key = str_n(kept->vary_key, (size_t)vary_len),
        .stored_wall_ms = now,
        .fetched_wall_ms = fetch->sent_wall_ms,
        .lifetime_ms = freshness->lifetime_ms,
        .initial_age_ms = freshness->initial_age_ms,
        .length = reply->framing == FRAMING_LENGTH ? (int64_t)reply->content_length
                  : reply->framing == FRAMING_NONE ? 0
                                                   : -1,
        .must_revalidate = freshness->must_revalidate,
        .always_revalidate = freshness->always_revalidate,
        .allows_authorization = freshness->allows_authorization,
        .is_by_ttl = freshness->is_by_ttl,
        .domain = fetch->supply->upstream->config->domain,
        .position = fetch->position,
    };
    return true;
}

/* Is the reply one that may be kept? Then a growing object for it, else NULL. */
static struct object *keep(struct fetch *fetch, const struct message *reply, bool is_forbidden)
{
    const struct request *req = fetch->req;
    struct cache_policy policy = policy_of(req);
    struct freshness freshness;
    struct object_meta meta;
    struct kept kept;
    struct writer head;

    if (!req->may_store || is_forbidden || reply->has_unknown_coding)
        return NULL;
    /* The usual word of what is passed through, before anything is worked out. */
    if (message_list_has(reply, FIELD_CACHE_CONTROL, STR("no-store")))
        return NULL;
    freshness_of(&req->msg, reply, &policy, fetch->sent_wall_ms, loop_wall_ms(fetch->lane->loop), &freshness);
    fetch->is_askers_doing = freshness.verdict == STORE_NO_REQUEST;
    if (freshness.verdict != STORE_YES)
        return NULL;
    if (reply->framing == FRAMING_LENGTH && reply->content_length > cache_object_max(cache_of(fetch)))
        return NULL;
    writer_init(&head, fetch->lane->forward, sizeof fetch->lane->forward);
    if (!fill_meta(fetch, reply, &freshness, &head, &kept, &meta))
        return NULL;
    struct object *object = object_new(cache_of(fetch), &fetch->key, &meta);
    if (!object) {
        fetch->is_askers_doing = true;
        return NULL;
    }
    if (cache_insert(cache_of(fetch), &fetch->key, object, fetch->permit_ns))
        return object;
    fetch->is_askers_doing =
        true; /* a write or a purge came in between: that says nothing about the next one */
    return object_unref(object);
}

static enum verdict store(struct fetch *fetch, struct object *object)
{
    struct request *req = fetch->req;
    fetch->growing = object;
    req->is_stored = true;
    if (fetch->flight)
        flight_land(fetch->flight);
    fetch->flight = NULL;
    if (fetch->is_attached && object_open(object, &req->reader)) {
        req->answer = ANSWERS_OBJECT;
        fetch->lands_at_flush = true;
    }
    return NEXT;
}

/* RFC 9111 4.3.4: the stored reply gets the fields of the 304, but not those that describe a body. */
static bool put_renewed(struct writer *w, const struct object_meta *old, const struct message *reply,
                        int64_t now_s)
{
    struct str rest = old->head;
    struct str line;
    bool is_first = true;
    while (rest.len > 0) {
        size_t end = (size_t)str_find(rest, '\n') + 1;
        line = str_n(rest.data, end);
        rest = str_from(rest, end);
        ptrdiff_t colon = str_find(line, ':');
        const struct field *newer =
            is_first || colon < 0 ? NULL : message_find(reply, str_n(line.data, (size_t)colon));
        is_first = false;
        bool is_old_date = !reply->first[FIELD_DATE] && str_has_iprefix(line, STR("date:"));
        if (!is_old_date && (!newer || !answer_renews_field(reply, newer)))
            writer_put(w, line);
    }
    if (!reply->first[FIELD_DATE]) { /* RFC 9110 6.6.1: it is as old as its arrival */
        char date[HTTP_DATE_LEN];
        http_date_format(now_s, date);
        writer_field(w, STR("Date"), str_n(date, sizeof date));
    }
    for (unsigned i = 0; i < reply->field_count; i++) {
        if (answer_renews_field(reply, &reply->fields[i]))
            writer_copy_field(w, &reply->fields[i]);
    }
    return !w->is_over;
}

static struct object *renew(struct fetch *fetch, const struct message *reply)
{
    static const struct head_limits limits = { LANE_HEAD_BYTES, LANE_HEAD_BYTES, FIELDS_MAX };
    struct request *req = fetch->req;
    const struct object_meta *old = object_meta(req->stale);
    struct cache_policy policy = policy_of(req);
    struct freshness freshness;
    struct object_meta meta;
    struct kept kept;
    struct message *merged = arena_alloc(&req->arena, sizeof *merged);
    struct writer head;

    writer_init(&head, fetch->lane->forward, sizeof fetch->lane->forward);
    if (!merged || !put_renewed(&head, old, reply, loop_wall_ms(fetch->lane->loop) / 1000))
        return NULL;
    size_t len = head.len;
    writer_end(&head);
    if (head.is_over || message_read_reply(merged, writer_str(&head), METHOD_HEAD, &limits) != 0)
        return NULL;
    head.len = len;
    freshness_of(&req->msg, merged, &policy, fetch->sent_wall_ms, loop_wall_ms(fetch->lane->loop),
                 &freshness);
    if (freshness.verdict != STORE_YES || !fill_meta(fetch, merged, &freshness, &head, &kept, &meta))
        return NULL;
    meta.length = old->length;
    return object_renew(req->stale, &meta);
}

/* The app says that what we have is still good. */
static enum verdict revalidated(struct fetch *fetch, const struct message *reply)
{
    struct request *req = fetch->req;
    struct object *fresh = renew(fetch, reply);
    if (fresh) {
        req->is_stored = cache_refresh(cache_of(fetch), &fetch->key, req->stale, fresh);
    } else { /* not storable any more: what we hold answers this request and goes */
        cache_remove(cache_of(fetch), req->stale);
        fresh = object_ref(req->stale);
    }
    if (fetch->flight)
        flight_land(fetch->flight);
    fetch->flight = NULL;
    fetch->growing = fresh;
    req->is_revalidated = true;
    req->outcome = OUTCOME_REVALIDATED;
    if (fetch->is_attached && object_open(fresh, &req->reader)) {
        req->answer = ANSWERS_OBJECT;
        fetch->lands_at_flush = true;
    }
    return NEXT;
}

static bool may_replay(const struct fetch *fetch)
{
    const struct request *req = fetch->req;
    return !fetch->is_replayed && fetch->server->role == ROLE_REPLICA &&
           (!req->has_upload || req->is_upload_kept) && fetch->is_attached;
}

static enum verdict replay(struct fetch *fetch)
{
    struct exchange *exchange = fetch->exchange;
    fetch_settle(fetch, false);
    fetch->exchange = NULL;
    exchange_abort(exchange);
    fetch->is_replayed = true;
    fetch->has_head = false;
    fetch->roles_forced = ROLES_PRIMARY;
    return RETRY;
}

/* Nobody else's answer: its one client gets it as it comes. */
static enum verdict relay(struct fetch *fetch, const struct message *reply)
{
    struct request *req = fetch->req;
    if (fetch->flight) {
        int64_t remember_ms = reply->status >= 500 ? REMEMBER_ERROR_MS : REMEMBER_MS;
        if (fetch->is_askers_doing) /* it says nothing about the key */
            remember_ms = 0;
        flight_scatter(fetch->flight, loop_wall_ms(fetch->lane->loop), remember_ms);
        fetch->flight = NULL;
    }
    if (!fetch->is_attached) {
        fetch_end(fetch);
        return NEXT;
    }
    req->answer = reply->status == 101 ? ANSWERS_TUNNEL : ANSWERS_RELAY;
    request_resume(req, NEXT);
    return NEXT;
}

enum verdict stage_store(struct fetch *fetch)
{
    struct request *req = fetch->req;
    const struct message *reply = fetch->reply;
    struct plugin_verdict said;

    req->fetched_ns = fetch->head_ns;
    plugins_answered(fetch, reply, reply->status, &said);
    if (said.replays && may_replay(fetch))
        return replay(fetch);
    fetch->position = said.position;
    invalidate(fetch, reply, said.invalidates);
    if (req->stale && reply->status == 304)
        return revalidated(fetch, reply);
    struct object *object = keep(fetch, reply, said.forbids_store);
    return object ? store(fetch, object) : relay(fetch, reply);
}
