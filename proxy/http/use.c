/* May a stored reply be used now (RFC 9111 4), stale too (4.2.4, RFC 5861)? What makes it unusable (4.4)? */
#include "base/check.h"
#include "http/caching.h"

#define MS 1000

int64_t age_ms_at(const struct freshness *freshness, int64_t stored_wall_ms, int64_t now_wall_ms)
{
    /* The wall clock may jump back; an age never does. */
    return freshness->initial_age_ms + max_i64(0, now_wall_ms - stored_wall_ms);
}

/* RFC 9111 5.2.1.2. */
static bool takes_stale(const struct cache_control *control, int64_t stale_ms)
{
    if (control->max_stale_s < 0)
        return false;
    return control->max_stale_s == INT64_MAX || stale_ms <= control->max_stale_s * MS;
}

/* RFC 9111 5.2.1.1: who says max-age, but not max-stale, wants nothing stale; whoever names an end to
 * max-stale wants nothing staler. */
static bool minds_stale(const struct cache_control *control, int64_t stale_ms)
{
    if (control->max_stale_s >= 0)
        return !takes_stale(control, stale_ms);
    return control->max_age_s >= 0;
}

enum use_verdict use_of(const struct cache_request *request, const struct freshness *freshness,
                        int64_t age_ms)
{
    const struct cache_control *control = &request->control;
    if (control->is_no_store || request->has_origin_conditions)
        return USE_NOT;
    /* RFC 9111 4: no-cache, asked for by either side, means validation first. */
    if (request->is_no_cache || freshness->always_revalidate)
        return USE_REVALIDATE;
    /* max-age=0 is how clients say reload: also in the moment in which it was stored. */
    if (control->max_age_s == 0 || (control->max_age_s > 0 && age_ms > control->max_age_s * MS))
        return USE_REVALIDATE;
    int64_t stale_ms = age_ms - freshness->lifetime_ms;
    if (control->min_fresh_s >= 0 && -stale_ms < control->min_fresh_s * MS)
        return USE_REVALIDATE;
    if (stale_ms < 0)
        return USE_FRESH;
    /* RFC 9111 4.2.4: stale only where one of both allows it and the app does not forbid it. */
    if (freshness->must_revalidate)
        return USE_REVALIDATE;
    int64_t behind_ms = freshness->stale_while_revalidate_ms;
    if (behind_ms > 0 && stale_ms <= behind_ms && !minds_stale(control, stale_ms))
        return USE_STALE_REVALIDATE;
    return takes_stale(control, stale_ms) ? USE_STALE : USE_REVALIDATE;
}

bool may_stand_in(const struct cache_request *request, const struct freshness *freshness, int64_t age_ms)
{
    const struct cache_control *control = &request->control;
    if (control->is_no_store || request->has_origin_conditions || freshness->must_revalidate ||
        freshness->always_revalidate)
        return false;
    /* no-cache, max-age and min-fresh say what a client prefers (RFC 9111 5.2.1), and an error is not it. */
    int64_t stale_ms = age_ms - freshness->lifetime_ms;
    if (stale_ms < 0 || takes_stale(control, stale_ms))
        return true;
    /* RFC 5861 4: the request's own limit is the one for this request. */
    int64_t limit_ms =
        control->stale_if_error_s >= 0 ? control->stale_if_error_s * MS : freshness->stale_if_error_ms;
    return stale_ms <= limit_ms;
}

bool reply_invalidates(enum method method, int status)
{
    return !method_is_safe(method) && status >= 200 && status < 400;
}
