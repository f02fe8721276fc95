/* May a reply be stored (RFC 9111 3), how long is it fresh (4.2), may it be used now (4)? */
#include "base/check.h"
#include "http/caching.h"
#include "http/date.h"

#define MS 1000

/* RFC 9110 15.1, without 206 (we combine no parts) and without 4xx and 5xx: an error is stored only when
 * the app says so itself. */
static bool may_have_ttl(int status)
{
    return status == 200 || status == 203 || status == 204 || status == 300 || status == 301 || status == 308;
}

/* For must-understand (RFC 9111 5.2.2.3): the statuses whose caching rules are implemented here. */
static bool is_understood(int status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 300:
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
    case 404:
    case 405:
    case 410:
    case 414:
    case 421:
    case 451:
    case 501:
        return true;
    default:
        return false;
    }
}

static void refuse(struct freshness *out, enum store_verdict verdict, const char *why)
{
    out->verdict = verdict;
    out->why = why;
}

/* What the request alone forbids. */
static bool request_forbids(const struct message *request, const struct cache_policy *policy,
                            struct freshness *out)
{
    struct cache_control control;
    cache_control_read(request, &control);
    const char *why = NULL;
    if (request->method != METHOD_GET)
        why = "method";
    else if (request->framing == FRAMING_CHUNKED || request->content_length > 0)
        why = "request-body";
    else if (control.is_no_store) /* RFC 9111 5.2.1.5 */
        why = "request-no-store";
    else if (message_field(request, FIELD_AUTHORIZATION) && !out->allows_authorization &&
             !policy->is_authorized_stored) /* RFC 9111 3.5 */
        why = "authorization";
    if (why)
        refuse(out, STORE_NO_REQUEST, why);
    return why != NULL;
}

static bool varies_on_all(const struct message *reply)
{
    return message_list_has(reply, FIELD_VARY, STR("*"));
}

/* What the reply forbids, whatever freshness it has. */
static bool reply_forbids(const struct message *reply, const struct cache_control *control,
                          const struct cache_policy *policy, struct freshness *out)
{
    const char *why = NULL;
    enum store_verdict verdict = STORE_NO;
    if (control->is_no_store) { /* also beside must-understand: no-store always wins here */
        why = "no-store";
    } else if (control->is_private || control->private_fields.data) {
        /* RFC 9111 5.2.2.7 would let us store the rest of a reply with only some private fields. */
        why = "private";
        verdict = STORE_NO_PRIVATE;
    } else if (message_field(reply, FIELD_SET_COOKIE) && !policy->is_set_cookie_stored) {
        why = "set-cookie";
        verdict = STORE_NO_PRIVATE;
    } else if (reply->status < 200 || reply->status == 206 || reply->status == 304) {
        why = "status";
    } else if (control->is_must_understand && !is_understood(reply->status)) {
        why = "must-understand";
    } else if (varies_on_all(reply)) { /* RFC 9111 4.1: would match no request */
        why = "vary";
    } else if (reply->has_unknown_coding) {
        why = "transfer-coding";
    }
    if (why)
        refuse(out, verdict, why);
    return why != NULL;
}

/* RFC 9110 6.6.1: a reply without a (valid) Date gets the time it arrived. */
static int64_t date_of(const struct message *reply, int64_t reply_s)
{
    int64_t date_s;
    return http_date_parse(message_value(reply, FIELD_DATE), reply_s, &date_s) ? date_s : reply_s;
}

/* RFC 9111 4.2.1. False when the reply says nothing about its freshness. */
static bool own_lifetime(const struct message *reply, const struct cache_control *control, int64_t reply_s,
                         int64_t *out_ms)
{
    const struct field *expires = message_field(reply, FIELD_EXPIRES);
    int64_t expires_s;
    if (control->s_maxage_s >= 0)
        *out_ms = control->s_maxage_s * MS;
    else if (control->max_age_s >= 0)
        *out_ms = control->max_age_s * MS;
    else if (expires && !http_date_parse(expires->value, reply_s, &expires_s))
        *out_ms = 0; /* RFC 9111 5.3: an invalid date, "0" above all, is in the past */
    else if (expires)
        *out_ms = max_i64(0, expires_s - date_of(reply, reply_s)) * MS;
    else
        return false;
    return true;
}

/* RFC 9111 5.1: of a list the first member; what is no number is ignored. */
static int64_t age_value_of(const struct message *reply)
{
    struct str rest = message_value(reply, FIELD_AGE);
    struct str member;
    uint64_t age_s;
    if (!str_next_member(&rest, &member) || !str_to_u64(member, &age_s))
        return 0;
    return age_s < (uint64_t)1 << 31 ? (int64_t)age_s : (int64_t)1 << 31;
}

/* RFC 9111 4.2.3: corrected_initial_age. Date has whole seconds, so the apparent age is counted in them:
 * the part of a second that the app's clock had cut off is no age. */
static int64_t initial_age_ms(const struct message *reply, int64_t request_ms, int64_t reply_ms)
{
    int64_t reply_s = reply_ms / MS;
    int64_t apparent_ms = max_i64(0, reply_s - date_of(reply, reply_s)) * MS;
    int64_t delay_ms = max_i64(0, reply_ms - request_ms);
    return max_i64(apparent_ms, age_value_of(reply) * MS + delay_ms);
}

static bool has_validator(const struct message *reply)
{
    return message_field(reply, FIELD_ETAG) || message_field(reply, FIELD_LAST_MODIFIED);
}

static int64_t ms_or_unsaid(int64_t seconds)
{
    return seconds < 0 ? -1 : seconds * MS;
}

void freshness_of(const struct message *request, const struct message *reply,
                  const struct cache_policy *policy, int64_t request_wall_ms, int64_t reply_wall_ms,
                  struct freshness *out)
{
    struct cache_control control;
    cache_control_read(reply, &control);
    *out = (struct freshness){
        .verdict = STORE_YES,
        .why = "stored",
        /* RFC 9111 5.2.2.4: no-cache for some fields is taken for all of the reply. */
        .always_revalidate = control.is_no_cache || control.no_cache_fields.data,
        .allows_authorization = control.is_public || control.s_maxage_s >= 0 || control.is_must_revalidate,
        .initial_age_ms = initial_age_ms(reply, request_wall_ms, reply_wall_ms),
        .stale_while_revalidate_ms = ms_or_unsaid(control.stale_while_revalidate_s),
        .stale_if_error_ms = ms_or_unsaid(control.stale_if_error_s),
    };
    /* RFC 9111 4.2.4, 5.2.2.10: s-maxage has the meaning of proxy-revalidate in it. */
    out->must_revalidate = out->always_revalidate || control.is_must_revalidate ||
                           control.is_proxy_revalidate || control.s_maxage_s >= 0;
    if (reply_forbids(reply, &control, policy, out) || request_forbids(request, policy, out))
        return;

    if (own_lifetime(reply, &control, reply_wall_ms / MS, &out->lifetime_ms)) {
        out->why = "fresh";
    } else if (out->always_revalidate) {
        out->why = "no-cache";
    } else if (!control.has_any && message_list_has(reply, FIELD_PRAGMA, STR("no-cache"))) {
        /* RFC 9111 5.4 gives it no meaning in replies; whoever writes it means it. */
        refuse(out, STORE_NO, "pragma");
        return;
    } else if (policy->ttl_ms > 0 && may_have_ttl(reply->status)) {
        out->is_by_ttl = true;
        out->lifetime_ms = out->initial_age_ms + policy->ttl_ms;
        out->why = "ttl";
    } else {
        refuse(out, STORE_NO, "no-freshness");
        return;
    }
    /* What is never fresh is worth its memory only if it can be validated, or used stale. */
    bool is_ever_fresh = !out->always_revalidate && out->lifetime_ms > out->initial_age_ms;
    bool is_used_stale =
        !out->must_revalidate && (out->stale_while_revalidate_ms > 0 || out->stale_if_error_ms > 0);
    if (!is_ever_fresh && !is_used_stale && !has_validator(reply))
        refuse(out, STORE_NO, "never-fresh");
}

int64_t age_ms_at(const struct freshness *freshness, int64_t stored_wall_ms, int64_t now_wall_ms)
{
    /* The wall clock may jump back; an age never does. */
    return freshness->initial_age_ms + max_i64(0, now_wall_ms - stored_wall_ms);
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
    if (control->max_age_s >= 0 && age_ms > control->max_age_s * MS)
        return USE_REVALIDATE;
    int64_t left_ms = freshness->lifetime_ms - age_ms;
    if (control->min_fresh_s >= 0 && left_ms < control->min_fresh_s * MS)
        return USE_REVALIDATE;
    if (left_ms > 0)
        return USE_FRESH;
    /* RFC 9111 4.2.4: stale only where the client takes it and the app does not forbid it. */
    if (control->max_stale_s < 0 || freshness->must_revalidate)
        return USE_REVALIDATE;
    bool is_taken = control->max_stale_s == INT64_MAX || -left_ms <= control->max_stale_s * MS;
    return is_taken ? USE_FRESH : USE_REVALIDATE;
}

bool reply_invalidates(enum method method, int status)
{
    return !method_is_safe(method) && status >= 200 && status < 400;
}
