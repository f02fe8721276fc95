#include "pipeline/stored.h"

#include "base/err.h"
#include "fleet/bus.h"
#include "pipeline/plugin.h"

/* A hot answer is refreshed in the last tenth of its life, and in its last seconds. */
#define AGEING_SHARE  10
#define AGEING_MS_MAX 5000
#define REST_S        1 /* after a failure nobody asks the app again for what can stand in, for about so long */

static const struct config_cache_rule *rule_of(const struct request *req)
{
    return req->way->config && req->way->config->has_cache ? &req->way->config->cache : NULL;
}

/* How it ages. */
static struct freshness freshness_from(const struct lane *lane, const struct object_meta *meta)
{
    struct freshness freshness = {
        .must_revalidate = meta->must_revalidate,
        .always_revalidate = meta->always_revalidate,
        .allows_authorization = meta->allows_authorization,
        .lifetime_ms = meta->lifetime_ms,
        .initial_age_ms = meta->initial_age_ms,
        .stale_while_revalidate_ms = meta->stale_while_revalidate_ms,
        .stale_if_error_ms = meta->stale_if_error_ms,
    };
    /* A purge may have been missed since it was fetched: only the app knows. */
    const struct bus *bus = lane->city->bus;
    if (bus && (!bus_trust(bus) || (meta->fetched_wall_ms < bus_distrusted_before_ms(bus) &&
                                    meta->fetched_wall_ms >= bus_distrusted_since_ms(bus)))) {
        freshness.must_revalidate = true;
        freshness.always_revalidate = true;
    }
    return freshness;
}

static int64_t age_ms(const struct lane *lane, const struct object_meta *meta)
{
    const struct freshness freshness = { .initial_age_ms = meta->initial_age_ms };
    return age_ms_at(&freshness, meta->stored_wall_ms, loop_wall_ms(lane->loop));
}

bool stored_is_for(const struct request *req, const struct object_meta *meta)
{
    const struct config_cache_rule *rule = rule_of(req);
    bool is_apart = rule && rule->share == SHARE_CREDENTIAL;
    if ((meta->is_by_ttl && !req->may_use_ttl) || (meta->is_guessed && !req->may_guess))
        return false;
    return !req->asks.has_authorization || meta->allows_authorization || is_apart;
}

bool stored_is_resting(const struct lane *lane, const struct object *object)
{
    uint32_t failed_s = object_failed_at(object);
    return failed_s != 0 && loop_wall_ms(lane->loop) / 1000 - failed_s <= REST_S;
}

enum use_verdict stored_judge(struct request *req, const struct object *object)
{
    const struct object_meta *meta = object_meta(object);

    if (UNLIKELY(req->not_before_ms > 0 || req->position.data)) {
        enum forwarded_why was = req->forwarded;
        req->forwarded = FWD_REQUEST;
        req->cache_detail = "read-your-writes";
        if (meta->fetched_wall_ms < req->not_before_ms || !plugins_position_covers(req, meta->position))
            return USE_NOT;
        req->cache_detail = NULL;
        req->forwarded = was;
    }
    if (!stored_is_for(req, meta)) {
        req->forwarded = FWD_BYPASS;
        return USE_NOT;
    }
    struct freshness freshness = freshness_from(req->lane, meta);
    int64_t age = age_ms(req->lane, meta);
    enum use_verdict verdict = use_of(&req->asks, &freshness, age);
    if (verdict == USE_FRESH) {
        int64_t left = freshness.lifetime_ms - age;
        req->is_ageing = left < freshness.lifetime_ms / AGEING_SHARE && left < AGEING_MS_MAX;
        return verdict;
    }
    bool is_stale = age >= freshness.lifetime_ms || freshness.always_revalidate;
    req->forwarded = is_stale && verdict != USE_NOT ? FWD_STALE : FWD_REQUEST;
    if (verdict == USE_STALE_REVALIDATE) {
        req->cache_detail = "stale-while-revalidate";
    } else if (verdict == USE_REVALIDATE && req->forwarded == FWD_STALE &&
               may_stand_in(&req->asks, &freshness, age) && stored_is_resting(req->lane, object)) {
        req->cache_detail = "stale-if-error";
        lane_count(req->lane, LANE_CACHE_STOOD_IN, 1);
        return USE_STALE;
    }
    return verdict;
}

bool stored_serve(struct request *req, struct object *object)
{
    if (!object_open(object, &req->reader))
        return false;
    req->answer = ANSWERS_OBJECT;
    if (req->supply->plugin_count > 0)
        plugins_served(req, object_meta(object));
    return true;
}

/* The route's brownout: a limit refused it, and something that is not too old is known. */
static bool is_brownout(const struct request *req, int err, const struct freshness *freshness, int64_t age)
{
    const struct config_cache_rule *rule = rule_of(req);
    bool is_limit =
        err == ERR_QUEUE_FULL || err == ERR_QUEUE_TIMEOUT || err == ERR_SHED || err == ERR_TENANT_CONCURRENCY;
    return is_limit && rule && rule->brownout_ms > 0 && !freshness->must_revalidate &&
           age < freshness->lifetime_ms + rule->brownout_ms;
}

static bool is_apps_failure(int err)
{
    int status = err_status(err);
    return status == 502 || (status == 504 && err != ERR_ONLY_IF_CACHED) || err == ERR_NO_SERVER ||
           err == ERR_APP_FAILED;
}

/* Which word of Cache-Status says why a stored answer stands in for that error; NULL: none may. */
static const char *stand_in(const struct request *req, int err)
{
    if (!req->stale || req->reader.object || req->has_begun)
        return NULL;
    const struct object_meta *meta = object_meta(req->stale);
    struct freshness freshness = freshness_from(req->lane, meta);
    int64_t age = age_ms(req->lane, meta);
    if (is_brownout(req, err, &freshness, age))
        return "brownout";
    return is_apps_failure(err) && may_stand_in(&req->asks, &freshness, age) ? "stale-if-error" : NULL;
}

bool stored_stands_in_for(const struct request *req, int status)
{
    /* RFC 5861 4: an error is 500, 502, 503 or 504. */
    bool is_error = status == 500 || status == 502 || status == 503 || status == 504;
    return is_error && stand_in(req, ERR_APP_FAILED) != NULL;
}

enum verdict stored_or_fail(struct request *req, int err, int status)
{
    const char *why = stand_in(req, err);
    if (req->stale && is_apps_failure(err) && (why || req->errand))
        object_set_failed_at(req->stale, (uint32_t)(loop_wall_ms(req->lane->loop) / 1000));
    /* An errand has nobody to be answered. */
    if (!why || req->errand || !stored_serve(req, req->stale))
        return request_fail(req, err);
    lane_count(req->lane, LANE_CACHE_STOOD_IN, 1);
    lane_count(req->lane, LANE_CACHE_STALE, 1);
    req->forwarded_status = status;
    req->cache_detail = why;
    req->outcome = OUTCOME_STALE;
    req->err = 0;
    return ANSWER;
}
