/* Do we know the answer already, or is somebody fetching it? */
#include "base/err.h"
#include "cache/cache.h"
#include "pipeline/errand.h"
#include "pipeline/parts.h"
#include "pipeline/plugin.h"
#include "pipeline/request.h"
#include "pipeline/second_tier.h"
#include "pipeline/sentinel.h"
#include "pipeline/share.h"
#include "pipeline/stored.h"

#define ROUNDS_MAX 4 /* of looking again after somebody else's fetch */

static const struct config_cache_rule *rule_of(const struct request *req)
{
    return req->way->config && req->way->config->has_cache ? &req->way->config->cache : NULL;
}

/* --- what of the cache this request may meet --- */

/* Forwarded (RFC 7239), which a trusted peer may send, names a host or a scheme that the key does not. */
static bool has_foreign_forwarded(const struct request *req)
{
    const struct field *field = message_field(&req->msg, FIELD_FORWARDED);
    for (; field; field = message_next(&req->msg, field)) {
        struct str elements = field->value;
        struct str element, pair;
        while (str_split(&elements, ',', &element)) {
            while (str_split(&element, ';', &pair)) {
                pair = str_trim(pair);
                bool is_host = str_has_iprefix(pair, STR("host="));
                if (!is_host && !str_has_iprefix(pair, STR("proto=")))
                    continue;
                struct str value = str_from(pair, is_host ? 5 : 6);
                if (value.len >= 2 && value.data[0] == '"')
                    value = str_n(value.data + 1, value.len - 2);
                if (!str_ieq(value, is_host ? req->authority : req->is_https ? STR("https") : STR("http")))
                    return true;
            }
        }
    }
    return false;
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
    if (LIKELY(!req->is_peer_trusted))
        return false;
    for (unsigned i = 0; i < COUNT_OF(ids); i++) {
        if (req->msg.first[ids[i]])
            return true;
    }
    return has_foreign_forwarded(req);
}

/* A range that is all of it: asked for as a whole, so that many may share it and it is stored as one. */
static bool asks_for_all(const struct request *req)
{
    return str_eq(message_value(&req->msg, FIELD_RANGE), STR("bytes=0-")) && !req->msg.first[FIELD_IF_RANGE];
}

/* The app sees the name as it came: what it may say of another spelling ("test.", "TEST:80") is for who uses
 * it, not for all whose key is the same. (A trusted peer's X-Forwarded-Host is that name, whatever its Host.)
 */
static bool is_asked_by_its_name(const struct request *req)
{
    return str_ieq(req->msg.authority, req->authority);
}

static void decide(struct request *req, const struct shared *shared)
{
    enum method method = req->msg.method;

    req->forwarded = FWD_METHOD;
    if (method != METHOD_GET && method != METHOD_HEAD)
        return;
    req->forwarded = FWD_BYPASS;
    if (req->is_write || req->bypasses_cache || req->has_upload || req->msg.has_upgrade ||
        has_foreign_identity(req) || req->errand == ERRAND_CHECK)
        return;
    req->forwarded = req->asks.control.is_no_store ? FWD_REQUEST : FWD_URI_MISS;
    req->may_use_store = !req->asks.control.is_no_store;
    req->asks_part = method == METHOD_GET && req->asks.has_range && !asks_for_all(req) && !req->errand;
    /* HEAD brings no body; If-Match and its like are the app's to judge (RFC 9111 4.3.2). */
    req->may_store = method == METHOD_GET && !req->asks.control.is_no_store &&
                     !req->asks.has_origin_conditions && !(req->asks_part && req->asks.has_conditions) &&
                     is_asked_by_its_name(req);
    bool is_quarantined = atomic_load_explicit(&req->way->watch->is_quarantined, memory_order_relaxed);
    req->may_use_ttl = shared->may_use_ttl && !is_quarantined;
    req->may_guess = shared->may_guess && !is_quarantined;
    /* Nobody else may get what is asked for with Authorization, until a stored answer says otherwise (RFC
     * 9111 3.5); a part is its asker's. */
    req->is_solo = req->asks_part || (req->asks.has_authorization && !shared->is_apart);
}

struct asker request_asker(const struct request *req)
{
    return (struct asker){
        .tenant = tenant_name(req->tenant->tenant),
        .is_https = req->is_https,
        .authority = req->authority,
        .target = req->msg.target,
        .path = req->msg.path,
        .version = req->edition->name,
        .upstream = req->supply->upstream->name,
        .msg = &req->msg,
        .rule = rule_of(req),
        .is_verified = false, /* no source of tenants verifies credentials yet */
    };
}

static bool prepare(struct request *req)
{
    struct asker asker = request_asker(req);
    struct shared shared;
    if (!share_decide(&asker, &req->arena, &shared))
        return false;
    cache_request_read(&req->msg, &req->asks);
    if (asker.rule && asker.rule->ignored)
        cache_request_ignore(&req->asks, asker.rule->ignored);
    req->key = shared.key;
    decide(req, &shared);
    return true;
}

/* --- hits --- */

/* Hot, still fresh, but not for long: somebody asks the app before anybody has to wait for it. */
static void refresh(struct request *req, struct object *object, enum errand kind)
{
    struct flight *flight;
    const struct config_cache_rule *rule = rule_of(req);
    bool is_crowded = req->supply->line && line_waiting(req->supply->line) > 0;
    if (req->errand || (kind == ERRAND_REFRESH && ((rule && rule->is_refresh_off) || is_crowded)))
        return;
    if (!req->may_use_store || object_state(object) != OBJECT_SEALED ||
        stored_is_resting(req->lane, object) || !errand_may(req->lane, kind))
        return;
    if (flight_lead(req->lane->city->cache, &req->key, &req->msg, object, &flight) == FLIGHT_LEAD)
        errand_revalidate(req, kind, object, flight);
}

static enum verdict serve(struct request *req, struct cache_found *found, enum use_verdict use)
{
    struct lane *lane = req->lane;
    struct object *object = found->object;
    bool is_fresh = use == USE_FRESH;
    if (!stored_serve(req, object))
        return NEXT;   /* its front is gone: a window */
    if (req->flight) { /* it was ours to lead, but the answer is there: the others look again */
        flight_known(req->flight);
        req->flight = NULL;
    }
    if (!req->is_collapsed) /* else somebody's fetch was this one's too (RFC 9211 2.6) */
        req->forwarded = FWD_NONE;
    else
        req->cache_detail = "collapsed";
    req->outcome = !is_fresh ? OUTCOME_STALE : req->is_collapsed ? OUTCOME_COLLAPSED : OUTCOME_HIT;
    lane_count(lane, req->is_collapsed ? LANE_CACHE_COLLAPSED : LANE_CACHE_HITS, 1);
    if (!is_fresh)
        lane_count(lane, LANE_CACHE_STALE, 1);
    req->looked_ns = loop_tick_ns(lane->loop);
    if (use == USE_STALE_REVALIDATE)
        refresh(req, object, ERRAND_REVALIDATE);
    else if (UNLIKELY(req->is_ageing) && found->is_hot)
        refresh(req, object, ERRAND_REFRESH);
    sentinel_saw_hit(req, object);
    return ANSWER;
}

/* --- somebody else's fetch --- */

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
    enum verdict verdict = RETRY;
    switch (req->waiter.news) {
    case FLIGHT_LANDED:
        req->is_collapsed = true;
        break;
    case FLIGHT_KNOWN:
        break;
    case FLIGHT_SCATTERED:
        req->is_solo = true;
        break;
    case FLIGHT_YOURS:
        req->flight = req->waiter.flight;
        break;
    case FLIGHT_FAILED:
        req->is_solo = true;
        verdict = stored_or_fail(req, req->waiter.err, 0);
        /* The app answered its leader with an error, and what stood in for it is not for us: ask ourselves.
         */
        if (req->answer == ANSWERS_PROBLEM && req->err == ERR_APP_FAILED) {
            req->answer = ANSWERS_NOTHING;
            req->err = 0;
            verdict = RETRY;
        }
        break;
    }
    request_resume(req, verdict);
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

/* --- misses --- */

/* May it wait for another's fetch, and others for its? */
static bool may_fly(struct request *req)
{
    if (!req->may_store || req->is_solo || req->asks.control.is_only_if_cached)
        return false;
    /* The route's ttl is not for it: what it brings says nothing to those whom it is for. */
    const struct config_cache_rule *rule = rule_of(req);
    if (rule && rule->ttl_ms >= 0 && !req->may_use_ttl)
        return false;
    /* Whoever must see his own write can't share a fetch that may have begun before it. */
    return req->not_before_ms == 0 && !req->position.data && ++req->rounds <= ROUNDS_MAX;
}

static enum verdict missed(struct request *req, struct cache_found *found, enum use_verdict use)
{
    if (!req->is_missed) /* the first time round */
        lane_count(req->lane, LANE_CACHE_MISSES, 1);
    req->is_missed = true;
    /* What was waited for has to be asked about all the same: nobody waits twice for that. */
    if (req->is_collapsed && use == USE_REVALIDATE)
        req->is_solo = true;
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
    if (!found->object && found->has_variants && req->forwarded == FWD_URI_MISS)
        req->forwarded = FWD_VARY_MISS;
    if (found->object && use != USE_NOT && object_state(found->object) == OBJECT_SEALED) {
        const struct object_meta *meta = object_meta(found->object);
        req->stale = object_ref(found->object);
        req->is_validating =
            req->may_store && !req->asks_part && (meta->etag.data || meta->last_modified.data);
    }
    if (req->asks_part && req->may_store && use == USE_NOT)
        parts_find(req);
    if (req->answer == ANSWERS_OBJECT)
        return ANSWER;
    if (may_fly(req) && !req->flight) {
        enum verdict verdict = join(req, found->object);
        if (verdict != NEXT)
            return verdict;
        if (!found->object && found->has_variants)
            parts_find_beginning(req);
    }
    /* Who insists on the app's own word gets that. */
    return req->forwarded == FWD_REQUEST ? NEXT : second_tier_ask(req, found->object);
}

/* An errand knows what it is for. */
static enum verdict set_out(struct request *req)
{
    const struct object_meta *meta = req->stale ? object_meta(req->stale) : NULL;
    req->outcome = OUTCOME_PASS;
    if (!req->may_store || !meta)
        return NEXT;
    req->forwarded = FWD_STALE;
    req->is_validating = meta->etag.data || meta->last_modified.data;
    return NEXT;
}

/* What was found in the round before may be gone. */
static void forget_round(struct request *req)
{
    req->stale = object_unref(req->stale);
    req->partial = object_unref(req->partial);
    req->is_validating = false;
    req->completes_part = false;
    req->is_ageing = false;
    req->cache_detail = NULL;
    req->outcome = OUTCOME_PASS;
}

enum verdict stage_lookup(struct request *req)
{
    struct cache_found found;
    enum use_verdict use = USE_NOT;

    if (!req->key.primary.data) {
        plugins_inspect(req);
        if (req->world->config->cache.memory_bytes == 0)
            return NEXT;
        if (!prepare(req))
            return request_fail(req, ERR_NO_MEMORY);
        if (req->errand)
            return set_out(req);
    }
    forget_round(req);
    if (!req->may_use_store && !req->may_store)
        return NEXT;

    cache_find(req->lane->city->cache, &req->key, &req->msg, loop_wall_ms(req->lane->loop), &found);
    enum verdict verdict = NEXT;
    if (found.object) {
        use = stored_judge(req, found.object);
        if (req->is_solo && !req->asks_part && object_meta(found.object)->allows_authorization)
            req->is_solo = false;
        if (req->may_use_store && use != USE_REVALIDATE && use != USE_NOT)
            verdict = serve(req, &found, use);
    }
    if (verdict != ANSWER)
        verdict = missed(req, &found, use);
    object_unref(found.object);
    return verdict;
}
