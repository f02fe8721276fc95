#include "pipeline/keep.h"

#include "base/clock.h"
#include "base/err.h"
#include "http/caching_tags.h"
#include "http/date.h"
#include "pipeline/answer.h"
#include "pipeline/parts.h"
#include "pipeline/sentinel.h"
#include "pipeline/tags.h"

static struct cache *cache_of(const struct fetch *fetch)
{
    return fetch->lane->city->cache;
}

static const struct config_cache_rule *rule_of(const struct request *req)
{
    return req->way->config && req->way->config->has_cache ? &req->way->config->cache : NULL;
}

static struct cache_policy policy_of(const struct request *req)
{
    const struct config_cache_rule *rule = rule_of(req);
    return (struct cache_policy){
        .ttl_ms = req->may_use_ttl && rule ? rule->ttl_ms : NEVER,
        .is_set_cookie_stored = req->world->config->cache.is_set_cookie_stored,
        .is_authorized_stored = rule && rule->share == SHARE_CREDENTIAL,
        .is_guess_allowed = req->may_guess,
        .is_no_store_ignored = rule && (rule->ignored & IGNORE_NO_STORE),
    };
}

struct kept { /* what object_meta borrows while the object is being made */
    char vary[512];
    char vary_key[4096];
    char tags[TAGS_BYTES_MAX];
};

static bool fill_vary(const struct request *req, const struct message *reply, struct kept *kept,
                      struct object_meta *meta)
{
    int vary = vary_read(reply, kept->vary, sizeof kept->vary);
    if (vary < 0)
        return false;
    meta->vary = str_n(kept->vary, (size_t)vary);
    int len = vary_key(meta->vary, &req->msg, kept->vary_key, sizeof kept->vary_key);
    meta->vary_key = str_n(kept->vary_key, len > 0 ? (size_t)len : 0);
    return len >= 0;
}

/* How long past its freshness it may be used: as the app says, else the route, else the config. */
static int64_t first_said(int64_t app, int64_t route, int64_t fallback)
{
    return app >= 0 ? app : route >= 0 ? route : fallback;
}

static bool fill_meta(struct fetch *fetch, const struct message *reply, const struct freshness *freshness,
                      struct str head, struct kept *kept, struct object_meta *meta)
{
    const struct request *req = fetch->req;
    const struct config_cache_rule *rule = rule_of(req);
    *meta = (struct object_meta){
        .status = reply->status,
        .head = head,
        .etag = message_value(reply, FIELD_ETAG),
        .last_modified = message_value(reply, FIELD_LAST_MODIFIED),
        .stored_wall_ms = loop_wall_ms(fetch->lane->loop),
        .fetched_wall_ms = fetch->sent_wall_ms,
        .lifetime_ms = freshness->lifetime_ms,
        .initial_age_ms = freshness->initial_age_ms,
        .stale_while_revalidate_ms = first_said(freshness->stale_while_revalidate_ms,
                                                rule ? rule->stale_while_revalidate_ms : NEVER, 0),
        .stale_if_error_ms = first_said(freshness->stale_if_error_ms, rule ? rule->stale_if_error_ms : NEVER,
                                        req->world->config->cache.stale_if_error_ms),
        .length = reply->framing == FRAMING_LENGTH ? (int64_t)reply->content_length
                  : reply->framing == FRAMING_NONE ? 0
                                                   : -1,
        .must_revalidate = freshness->must_revalidate,
        .always_revalidate = freshness->always_revalidate,
        .allows_authorization = freshness->allows_authorization,
        .is_by_ttl = freshness->is_by_ttl,
        .is_guessed = freshness->is_guessed,
        .is_partial = freshness->is_partial,
        .domain = fetch->supply->upstream->config->domain,
        .position = fetch->position,
    };
    return fill_vary(req, reply, kept, meta) && tags_of_reply(req, reply, kept->tags, &meta->tags);
}

/* --- new ones --- */

/* What Cache-Control names for its asker alone goes to him, and is not stored (RFC 9111 5.2.2.4, 5.2.2.7). */
static bool put_kept_out(struct request *req, const struct message *reply,
                         const struct cache_control *control)
{
    struct writer w;
    size_t size = 0;
    if (!control->no_cache_fields.data && !control->private_fields.data)
        return true;
    for (unsigned i = 0; i < reply->field_count; i++) {
        if (field_is_kept_out(control, reply->fields[i].name))
            size += reply->fields[i].name.len + reply->fields[i].value.len + 4;
    }
    char *data = size > 0 ? arena_alloc(&req->arena, size) : NULL;
    if (!data)
        return size == 0;
    writer_init(&w, data, size);
    for (unsigned i = 0; i < reply->field_count; i++) {
        const struct field *field = &reply->fields[i];
        if (field_is_kept_out(control, field->name) && answer_passes_field(reply, field))
            writer_copy_field(&w, field);
    }
    req->kept_out = writer_str(&w);
    return !w.is_over;
}

/* Which key it is stored under, if any. */
static const struct key *key_for(const struct request *req, const struct message *reply,
                                 const struct freshness *freshness)
{
    struct content_range place;
    if (req->completes_part && reply->status == 206)
        return &req->key;
    if (freshness->is_partial) /* only what can be told apart can be put together (RFC 9111 3.4) */
        return req->asks_part && req->part_key.primary.data && part_is_usable(reply, &place) &&
                       (etag_is_strong(message_value(reply, FIELD_ETAG)) ||
                        message_field(reply, FIELD_LAST_MODIFIED))
                   ? &req->part_key
                   : NULL;
    /* What answers a range is no answer for all, unless it is the whole. */
    return !req->asks_part || reply->status == 200 ? &req->key : NULL;
}

/* Why it is not stored: does that say something about its key, or only about who asked? */
static bool is_askers_doing(const struct request *req, const struct message *reply,
                            const struct freshness *freshness)
{
    if (freshness->verdict == STORE_NO_REQUEST || req->asks_part)
        return true;
    /* It has no freshness of its own, and a guess was not for this asker. */
    return freshness->verdict == STORE_NO && !req->may_guess && reply->first[FIELD_LAST_MODIFIED] &&
           !reply->first[FIELD_CACHE_CONTROL] && !reply->first[FIELD_EXPIRES];
}

/* What the rest makes of the part is a 200, and is judged as one. */
static const struct message *as_whole(struct request *req, const struct message *reply)
{
    struct message *whole = arena_alloc(&req->arena, sizeof *whole);
    if (!whole || reply->status != 206)
        return reply;
    *whole = *reply;
    whole->status = 200;
    whole->first[FIELD_CONTENT_RANGE] = 0;
    return whole;
}

/* The rest of what is stored in part: the whole, which begins with that part. */
static struct object *make_whole(struct fetch *fetch, const struct key *key, struct object_meta *meta)
{
    struct request *req = fetch->req;
    struct content_range place;
    struct writer head;
    char *data = arena_alloc(&req->arena, meta->head.len + 64);
    if (!data || !part_place(object_meta(req->partial), &place))
        return NULL;
    writer_init(&head, data, meta->head.len + 64);
    if (!part_whole_head(&head, meta->head) || (uint64_t)place.total > cache_object_max(cache_of(fetch)))
        return NULL;
    meta->head = writer_str(&head);
    meta->status = 200;
    meta->is_partial = false;
    meta->length = place.total;
    struct object *object = object_new(cache_of(fetch), key, meta);
    if (object && !part_begin_whole(req, object)) {
        object_break(object, ERR_NO_MEMORY);
        object = object_unref(object);
    }
    return object;
}

static struct object *make_object(struct fetch *fetch, const struct key *key, struct object_meta *meta)
{
    if (fetch->req->completes_part && meta->status == 206)
        return make_whole(fetch, key, meta);
    return object_new(cache_of(fetch), key, meta);
}

int64_t keep_known_ns(const struct fetch *fetch)
{
    int64_t behind_ms = fetch->as_of_ms > 0 ? max_i64(fetch->sent_wall_ms - fetch->as_of_ms, 0) : 0;
    return fetch->permit_ns - behind_ms * NS_PER_MS;
}

struct object *keep_reply(struct fetch *fetch, const struct message *reply)
{
    struct request *req = fetch->req;
    struct cache_policy policy = policy_of(req);
    struct freshness freshness;
    struct object_meta meta;
    struct kept kept;
    struct writer head;

    if (!req->may_store || reply->has_unknown_coding)
        return NULL;
    /* The usual word of what is passed through, before anything is worked out. */
    if (message_list_has(reply, FIELD_CACHE_CONTROL, STR("no-store")) &&
        !message_list_has(reply, FIELD_CACHE_CONTROL, STR("must-understand")) &&
        !reply->first[FIELD_CDN_CACHE_CONTROL] && !reply->first[FIELD_WEIR_CACHE_CONTROL])
        return NULL;
    const struct message *said = req->completes_part ? as_whole(req, reply) : reply;
    freshness_of(&req->msg, said, &policy, fetch->sent_wall_ms, loop_wall_ms(fetch->lane->loop), &freshness);
    fetch->is_askers_doing = is_askers_doing(req, reply, &freshness);
    const struct key *key = freshness.verdict == STORE_YES ? key_for(req, reply, &freshness) : NULL;
    if (!key)
        return NULL;
    if (reply->framing == FRAMING_LENGTH && reply->content_length > cache_object_max(cache_of(fetch)))
        return NULL;
    writer_init(&head, fetch->lane->forward, sizeof fetch->lane->forward);
    if (!answer_stored_head(&head, reply, &freshness.control, loop_wall_ms(fetch->lane->loop)) ||
        !fill_meta(fetch, reply, &freshness, writer_str(&head), &kept, &meta) ||
        !put_kept_out(req, reply, &freshness.control))
        return NULL;
    if (meta.vary_key.len > VARY_KEY_MAX)
        return NULL;
    struct content_range place;
    if (freshness.is_partial && part_is_usable(reply, &place))
        meta.length = (int64_t)(place.last - place.first + 1); /* also if it is chunked */
    struct object *object = make_object(fetch, key, &meta);
    if (!object) {
        fetch->is_askers_doing = true;
        return NULL;
    }
    sentinel_witness(req, object);
    if (cache_insert(cache_of(fetch), key, object, keep_known_ns(fetch)))
        return object;
    /* A write or a purge came in between, which says nothing about the next answer: that will be newer. */
    fetch->is_askers_doing = true;
    fetch->is_outdated = !cache_is_full(cache_of(fetch));
    return object_unref(object);
}

/* --- renewed ones --- */

/* RFC 9111 4.3.4: the stored reply gets the newer fields, but not those that describe a body. */
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

/* What weir was told apart from the stored head (it is taken off before it is stored): the newer reply's
 * where it says something, else the older one's. The age is always the newer one's (RFC 9111 4.2.3). */
static bool add_unstored(struct request *req, struct message *merged, const struct message *reply,
                         const struct object_meta *old)
{
    static const enum field_id ids[] = { FIELD_AGE, FIELD_WEIR_CACHE_CONTROL, FIELD_CACHE_TAG,
                                         FIELD_SURROGATE_KEY };
    for (unsigned i = 0; i < COUNT_OF(ids); i++) {
        const struct field *field = message_field(reply, ids[i]);
        for (; field; field = message_next(reply, field)) {
            if (!message_add(merged, field->name, field->value))
                return false;
        }
    }
    struct str control = tags_control(old->tags);
    struct str tags, keys;
    if (!reply->first[FIELD_WEIR_CACHE_CONTROL] && control.data &&
        !message_add(merged, STR("Weir-Cache-Control"), control))
        return false;
    if (reply->first[FIELD_CACHE_TAG] || reply->first[FIELD_SURROGATE_KEY])
        return true;
    return tags_of_app(req, old->tags, &tags, &keys) &&
           (tags.len == 0 || message_add(merged, STR("Cache-Tag"), tags)) &&
           (keys.len == 0 || message_add(merged, STR("Surrogate-Key"), keys));
}

/* The merged head without what its Cache-Control names for one asker alone: old lines and new. */
static struct str without_kept_out(struct request *req, struct str head, const struct cache_control *control)
{
    struct writer w;
    struct str rest = head;
    if (!control->no_cache_fields.data && !control->private_fields.data)
        return head;
    char *data = arena_alloc(&req->arena, head.len + 1);
    if (!data)
        return (struct str){ NULL, 0 };
    writer_init(&w, data, head.len + 1);
    while (rest.len > 0) {
        size_t end = (size_t)str_find(rest, '\n') + 1;
        ptrdiff_t colon = str_find(str_n(rest.data, end), ':');
        if (rest.data == head.data || colon < 0 ||
            !field_is_kept_out(control, str_n(rest.data, (size_t)colon)))
            writer_put(&w, str_n(rest.data, end));
        rest = str_from(rest, end);
    }
    return writer_str(&w);
}

struct object *keep_renewed(struct fetch *fetch, const struct message *reply)
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
    if (!add_unstored(req, merged, reply, old))
        return NULL;
    enum method method = req->msg.method;
    req->msg.method = METHOD_GET; /* which is what is stored, when HEAD renews it */
    freshness_of(&req->msg, merged, &policy, fetch->sent_wall_ms, loop_wall_ms(fetch->lane->loop),
                 &freshness);
    req->msg.method = method;
    if (freshness.verdict != STORE_YES)
        return NULL;
    struct str lines = without_kept_out(req, writer_str(&head), &freshness.control);
    if (!lines.data || !fill_meta(fetch, merged, &freshness, lines, &kept, &meta) ||
        !put_kept_out(req, reply, &freshness.control))
        return NULL;
    meta.length = old->length;
    struct object *fresh = object_renew(req->stale, &meta);
    if (fresh)
        sentinel_witness(req, fresh);
    return fresh;
}
