/* Do we know the answer already, or is somebody fetching it? */
#include "base/err.h"
#include "cache/cache.h"
#include "http/target.h"
#include "pipeline/plugin.h"
#include "pipeline/request.h"

#define ROUNDS_MAX 4 /* of looking again after somebody else's fetch */

static const struct config_cache_rule *rule_of(const struct request *req)
{
    return req->way->config && req->way->config->has_cache ? &req->way->config->cache : NULL;
}

static bool counts_as_credential(struct str pair, const struct config_cache_rule *rule)
{
    ptrdiff_t equals = str_find(pair, '=');
    struct str name = equals < 0 ? pair : str_n(pair.data, (size_t)equals);
    if (pair.len == 0)
        return false;
    if (!rule || !rule->has_cookies)
        return true;
    for (unsigned i = 0; i < rule->cookie_count; i++) {
        if (str_eq(name, rule->cookies[i]))
            return true;
    }
    return false;
}

/* The cookies that count as credentials; data NULL: there are none. False: out of
 * memory, which must not look like that. */
static bool credential_cookies(struct request *req, const struct config_cache_rule *rule, struct str *out)
{
    const struct field *first = message_field(&req->msg, FIELD_COOKIE);
    size_t size = 0;
    struct writer w;

    *out = (struct str){ NULL, 0 };
    for (const struct field *field = first; field; field = message_next(&req->msg, field))
        size += field->value.len + 2;
    if (size == 0)
        return true;
    char *data = arena_alloc(&req->arena, size);
    if (!data)
        return false;
    writer_init(&w, data, size);
    for (const struct field *field = first; field; field = message_next(&req->msg, field)) {
        struct str rest = field->value;
        struct str pair;
        while (str_split(&rest, ';', &pair)) {
            pair = str_trim(pair);
            if (!counts_as_credential(pair, rule))
                continue;
            writer_put(&w, pair);
            writer_put(&w, STR(";"));
        }
    }
    if (w.len > 0)
        *out = writer_str(&w);
    return !w.is_over;
}

/* Fields that change what apps answer and are in no key: a trusted peer may send them, the cache keeps out.
 */
static bool has_foreign_identity(const struct request *req)
{
    static const enum field_id ids[] = {
        FIELD_X_FORWARDED_PREFIX,
        FIELD_X_FORWARDED_SCHEME,
        FIELD_X_FORWARDED_SERVER,
        FIELD_X_FORWARDED_SSL,
        FIELD_X_HOST,
        FIELD_X_HTTP_METHOD,
        FIELD_X_HTTP_METHOD_OVERRIDE,
        FIELD_X_METHOD_OVERRIDE,
        FIELD_X_ORIGINAL_HOST,
        FIELD_X_ORIGINAL_URL,
        FIELD_X_REWRITE_URL,
    };
    for (unsigned i = 0; req->is_peer_trusted && i < COUNT_OF(ids); i++) {
        if (req->msg.first[ids[i]])
            return true;
    }
    return false;
}

/* The one place where keys are made. */
static bool make_key(struct request *req, struct str cookies)
{
    const struct config_cache_rule *rule = rule_of(req);
    bool is_apart = rule && rule->share == SHARE_CREDENTIAL;
    const struct key_parts parts = {
        .tenant = rule && rule->is_for_all_tenants ? STR("") : tenant_name(req->tenant->tenant),
        .is_https = req->is_https,
        .authority = req->authority,
        .target = req->msg.target,
        .version = req->edition->name,
        .upstream = req->supply->upstream->name,
        .method_class = STR("GET"),
        .authorization = is_apart ? message_value(&req->msg, FIELD_AUTHORIZATION) : (struct str){ NULL, 0 },
        .cookie = is_apart ? cookies : (struct str){ NULL, 0 },
    };
    return key_make(&req->key, &parts, &req->arena);
}

/* What of the cache this request may meet. */
static void decide(struct request *req, struct str cookies)
{
    const struct config_cache_rule *rule = rule_of(req);
    enum method method = req->msg.method;
    bool has_credential = req->asks.has_authorization || cookies.data;

    req->forwarded = FWD_METHOD;
    if (method != METHOD_GET && method != METHOD_HEAD)
        return;
    req->forwarded = FWD_BYPASS;
    if (req->is_write || req->bypasses_cache || req->has_upload || req->msg.has_upgrade ||
        has_foreign_identity(req))
        return;
    req->forwarded = FWD_URI_MISS;
    req->may_use_store = !req->asks.control.is_no_store;
    /* HEAD brings no body and a range only part of one: neither is stored. */
    req->may_store = method == METHOD_GET && !req->asks.has_range && !req->asks.control.is_no_store &&
                     !req->asks.has_origin_conditions; /* these are the app's to judge (RFC 9111 4.3.2) */
    req->may_use_ttl = rule && rule->ttl_ms >= 0 && path_is_plain(req->msg.path) &&
                       (rule->share == SHARE_CREDENTIAL || !has_credential);
}

static struct freshness freshness_from(const struct object_meta *meta)
{
    return (struct freshness){
        .must_revalidate = meta->must_revalidate,
        .always_revalidate = meta->always_revalidate,
        .allows_authorization = meta->allows_authorization,
        .lifetime_ms = meta->lifetime_ms,
        .initial_age_ms = meta->initial_age_ms,
        .stale_while_revalidate_ms = -1,
        .stale_if_error_ms = -1,
    };
}

/* May this stored answer be used for this request, and how? */
static enum use_verdict judge(struct request *req, const struct object *object)
{
    const struct object_meta *meta = object_meta(object);
    const struct config_cache_rule *rule = rule_of(req);
    bool is_apart = rule && rule->share == SHARE_CREDENTIAL;

    req->forwarded = FWD_REQUEST;
    req->cache_detail = "read-your-writes";
    if (meta->fetched_wall_ms < req->not_before_ms || !plugins_position_covers(req, meta->position))
        return USE_NOT;
    req->cache_detail = NULL;
    req->forwarded = FWD_BYPASS;
    if (meta->is_by_ttl && !req->may_use_ttl)
        return USE_NOT;
    if (req->asks.has_authorization && !meta->allows_authorization && !is_apart)
        return USE_NOT;

    struct freshness freshness = freshness_from(meta);
    int64_t age = age_ms_at(&freshness, meta->stored_wall_ms, loop_wall_ms(req->lane->loop));
    enum use_verdict verdict = use_of(&req->asks, &freshness, age);
    req->forwarded = verdict == USE_NOT || age < meta->lifetime_ms ? FWD_REQUEST : FWD_STALE;
    return verdict;
}

static enum verdict serve(struct request *req, struct object *object)
{
    struct lane *lane = req->lane;
    if (!object_open(object, &req->reader))
        return NEXT;   /* its front is gone: a window */
    if (req->flight) { /* it was ours to lead, but the answer is there: the others look again */
        flight_land(req->flight);
        req->flight = NULL;
    }
    req->answer = ANSWERS_OBJECT;
    req->forwarded = FWD_NONE;
    req->outcome = req->is_collapsed ? OUTCOME_COLLAPSED : OUTCOME_HIT;
    lane_count(lane, req->is_collapsed ? LANE_CACHE_COLLAPSED : LANE_CACHE_HITS, 1);
    req->looked_ns = loop_tick_ns(lane->loop);
    return ANSWER;
}

static void on_news_posted(struct post *post)
{
    struct request *req = request_from(CONTAINER_OF(post, struct request, post));
    int64_t now = loop_tick_ns(req->lane->loop);
    bool is_wanted = req->is_flying;
    req->is_flying = false;
    req->is_posted = false;
    if (!is_wanted) { /* it left while the news was on its way */
        if (req->waiter.news == FLIGHT_YOURS)
            flight_abandon(req->waiter.flight);
        request_drop(req);
        return;
    }
    request_stage_took(req, STAGE_COALESCED, now - req->waited_flight_ns);
    switch (req->waiter.news) {
    case FLIGHT_LANDED:
        req->is_collapsed = true;
        break;
    case FLIGHT_SCATTERED:
        req->is_solo = true;
        break;
    case FLIGHT_YOURS:
        req->flight = req->waiter.flight;
        break;
    case FLIGHT_FAILED:
        request_resume(req, request_fail(req, req->waiter.err));
        request_drop(req);
        return;
    }
    request_resume(req, RETRY);
    request_drop(req);
}

static void on_news(struct flight_waiter *waiter)
{
    struct request *req = CONTAINER_OF(waiter, struct request, waiter);
    req->post.fn = on_news_posted;
    loop_post(req->lane->loop, &req->post);
}

static void leave_flight(struct request *req)
{
    bool is_quit = flight_quit(&req->waiter);
    req->is_flying = false;
    if (is_quit)
        request_drop(req); /* else on_news_posted() does */
}

static enum verdict join(struct request *req, const struct object *seen)
{
    req->waiter.on_news = on_news;
    switch (flight_join(req->lane->city->cache, &req->key, &req->msg, seen, &req->waiter, &req->flight)) {
    case FLIGHT_LEAD:
    case FLIGHT_NONE:
        return NEXT;
    case FLIGHT_AGAIN:
        return RETRY;
    case FLIGHT_WAIT:
        break;
    }
    req->is_flying = true;
    req->waited_flight_ns = loop_now_ns(req->lane->loop);
    request_hold(req);
    return request_wait(req, "coalesced", leave_flight);
}

static enum verdict missed(struct request *req, struct cache_found *found, enum use_verdict use)
{
    lane_count(req->lane, LANE_CACHE_MISSES, 1);
    req->looked_ns =
        loop_now_ns(req->lane->loop); /* nothing waited: its time counts with the next boundary */
    req->outcome = OUTCOME_MISS;
    /* A key that is remembered as uncacheable is not waited for, but what comes may still be stored
     * (hit-for-miss). Who asks with conditions asks the app. */
    if (found->is_uncacheable) {
        req->is_solo = true;
        req->may_store = req->may_store && !req->asks.has_conditions;
        req->cache_detail = "uncacheable";
    }
    if (!req->may_store)
        req->outcome = OUTCOME_PASS;
    if (!found->object && found->has_variants)
        req->forwarded = FWD_VARY_MISS;
    if (use == USE_REVALIDATE && req->may_store && object_state(found->object) == OBJECT_SEALED)
        req->stale = object_ref(found->object);
    if (!req->may_store || req->is_solo || req->flight || req->asks.control.is_only_if_cached)
        return NEXT;
    /* The route's ttl is not for it: what it brings says nothing to those whom it is for, so it neither leads
     * nor waits. */
    const struct config_cache_rule *rule = rule_of(req);
    if (rule && rule->ttl_ms >= 0 && !req->may_use_ttl)
        return NEXT;
    /* Whoever must see his own write can't share a fetch that may have begun before it. */
    if (req->not_before_ms > 0 || req->position.data || ++req->rounds > ROUNDS_MAX)
        return NEXT;
    return join(req, found->object);
}

enum verdict stage_lookup(struct request *req)
{
    struct cache_found found;
    enum use_verdict use = USE_NOT;

    if (!req->key.primary.data) {
        plugins_inspect(req);
        if (req->world->config->cache.memory_bytes == 0)
            return NEXT;
        cache_request_read(&req->msg, &req->asks);
        struct str cookies;
        if (!credential_cookies(req, rule_of(req), &cookies))
            return request_fail(req, ERR_NO_MEMORY);
        decide(req, cookies);
        if (!make_key(req, cookies))
            return request_fail(req, ERR_NO_MEMORY);
    }
    object_unref(req->stale);
    req->stale = NULL;
    req->outcome = OUTCOME_PASS;
    if (!req->may_use_store && !req->may_store)
        return NEXT;

    cache_find(req->lane->city->cache, &req->key, &req->msg, loop_wall_ms(req->lane->loop), &found);
    if (found.object) {
        use = judge(req, found.object);
        enum verdict verdict = NEXT;
        if (req->may_use_store && use == USE_FRESH)
            verdict = serve(req, found.object);
        if (verdict != ANSWER)
            verdict = missed(req, &found, use);
        object_unref(found.object);
        return verdict;
    }
    return missed(req, &found, use);
}
