/* May a reply be stored (RFC 9111 3), and how long is it fresh (4.2)? */
#include "base/check.h"
#include "http/caching.h"
#include "http/chars.h"
#include "http/date.h"

#define MS           1000
#define SECONDS_MAX  ((int64_t)1 << 31) /* RFC 9111 1.2.2 */
#define GUESS_MS_MAX ((int64_t)24 * 3600 * MS)

/* RFC 9110 15.1: those whose definition lets a cache guess their freshness. */
static bool may_be_guessed(int status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 206:
    case 300:
    case 301:
    case 308:
    case 404:
    case 405:
    case 410:
    case 414:
    case 501:
        return true;
    default:
        return false;
    }
}

/* The same without 206 (a part by ttl would have to fit to other parts) and without 4xx and 5xx: an error is
 * stored only when the app says so itself, or by a guess that the route allowed. */
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
    case 206:
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
    else if (control.is_no_store && !policy->is_no_store_ignored) /* RFC 9111 5.2.1.5 */
        why = "request-no-store";
    else if (message_field(request, FIELD_AUTHORIZATION) && !out->allows_authorization &&
             !policy->is_authorized_stored) /* RFC 9111 3.5 */
        why = "authorization";
    if (why)
        refuse(out, STORE_NO_REQUEST, why);
    return why != NULL;
}

static bool has_conditions(const struct message *request)
{
    return message_field(request, FIELD_IF_MATCH) || message_field(request, FIELD_IF_NONE_MATCH) ||
           message_field(request, FIELD_IF_MODIFIED_SINCE) ||
           message_field(request, FIELD_IF_UNMODIFIED_SINCE);
}

/* RFC 9111 3.3, RFC 9110 15.3.7: one range, of as many bytes as it says. Several in one body are not taken
 * apart here. */
static bool is_one_part(const struct message *reply)
{
    struct content_range range;
    if (!content_range_read(reply, &range) ||
        str_has_iprefix(message_value(reply, FIELD_CONTENT_TYPE), STR("multipart/byteranges")))
        return false;
    return reply->framing != FRAMING_LENGTH || reply->content_length - 1 == range.last - range.first;
}

/* Statuses that are no representation of the target: those of interim replies, and those that answer the
 * request's own Range or conditions, which no key holds. */
static bool status_forbids(const struct message *request, const struct message *reply, struct freshness *out)
{
    bool is_askers_doing = false;
    switch (reply->status) {
    case 206:
        is_askers_doing = message_field(request, FIELD_RANGE) != NULL;
        out->is_partial = is_askers_doing && is_one_part(reply);
        if (out->is_partial)
            return false;
        break;
    case 304:
    case 412:
        is_askers_doing = has_conditions(request);
        break;
    case 416:
        is_askers_doing = message_field(request, FIELD_RANGE) != NULL;
        break;
    default:
        if (reply->status >= 200)
            return false;
        break;
    }
    refuse(out, is_askers_doing ? STORE_NO_REQUEST : STORE_NO, "status");
    return true;
}

static bool varies_on_all(const struct message *reply)
{
    return message_list_has(reply, FIELD_VARY, STR("*"));
}

/* Would a cookie be stored with it? Not where the reply says itself that it is to be left out. */
static bool has_cookie(const struct message *reply, const struct cache_control *control)
{
    return message_field(reply, FIELD_SET_COOKIE) && !field_is_kept_out(control, STR("Set-Cookie"));
}

/* What the reply forbids, whatever freshness it has. */
static bool reply_forbids(const struct message *reply, const struct cache_policy *policy,
                          struct freshness *out)
{
    const struct cache_control *control = &out->control;
    const char *why = NULL;
    enum store_verdict verdict = STORE_NO;
    if (control->is_must_understand && !is_understood(reply->status)) {
        why = "must-understand";
    } else if (control->is_no_store && !control->is_must_understand) {
        why = "no-store"; /* RFC 9111 5.2.2.3: meant for caches that don't know must-understand */
    } else if (control->is_private) {
        why = "private";
        verdict = STORE_NO_PRIVATE;
    } else if (has_cookie(reply, control) && !policy->is_set_cookie_stored) {
        why = "set-cookie";
        verdict = STORE_NO_PRIVATE;
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

/* RFC 9111 5.3: an invalid date, "0" above all, is in the past; 4.2.1: so are two that differ. */
static int64_t expires_ms(const struct message *reply, const struct field *expires, int64_t reply_s)
{
    int64_t expires_s;
    const struct field *other = expires;
    while ((other = message_next(reply, other)) != NULL) {
        if (!str_eq(other->value, expires->value))
            return 0;
    }
    if (!http_date_parse(expires->value, reply_s, &expires_s))
        return 0;
    return max_i64(0, expires_s - date_of(reply, reply_s)) * MS;
}

/* RFC 9111 4.2.1. False when the reply says nothing about its freshness. */
static bool own_lifetime(const struct message *reply, const struct cache_control *control, int64_t reply_s,
                         int64_t *out_ms)
{
    const struct field *expires = control->is_targeted ? NULL : message_field(reply, FIELD_EXPIRES);
    if (control->s_maxage_s >= 0)
        *out_ms = control->s_maxage_s * MS;
    else if (control->max_age_s >= 0)
        *out_ms = control->max_age_s * MS;
    else if (expires)
        *out_ms = expires_ms(reply, expires, reply_s);
    else
        return false;
    return true;
}

/* RFC 9111 4.2.2: a tenth of the time for which it had not changed. */
static bool guessed_lifetime(const struct message *reply, const struct cache_control *control,
                             int64_t reply_s, int64_t *out_ms)
{
    const struct field *modified = message_field(reply, FIELD_LAST_MODIFIED);
    int64_t modified_s;
    if (control->is_targeted || (!may_be_guessed(reply->status) && !control->is_public))
        return false; /* whoever writes to this cache alone and names no lifetime wants none */
    if (!modified || message_next(reply, modified) || !http_date_parse(modified->value, reply_s, &modified_s))
        return false;
    int64_t unchanged_s = max_i64(0, date_of(reply, reply_s) - modified_s);
    *out_ms = min_i64(unchanged_s * (MS / 10), GUESS_MS_MAX);
    return true;
}

/* RFC 9111 5.1: of a list the first member; what is no number is ignored, one too great saturates (1.2.2). */
static int64_t age_value_of(const struct message *reply)
{
    struct str rest = message_value(reply, FIELD_AGE);
    struct str member;
    uint64_t age_s;
    if (!str_next_member(&rest, &member))
        return 0;
    for (size_t i = 0; i < member.len; i++) {
        if (!char_is(member.data[i], CHAR_DIGIT))
            return 0;
    }
    return str_to_u64(member, &age_s) && age_s < (uint64_t)SECONDS_MAX ? (int64_t)age_s : SECONDS_MAX;
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

/* Where the lifetime comes from. False: from nowhere. */
static bool decide_lifetime(const struct message *reply, const struct cache_policy *policy, int64_t reply_s,
                            struct freshness *out)
{
    if (own_lifetime(reply, &out->control, reply_s, &out->lifetime_ms)) {
        out->why = "fresh";
    } else if (out->always_revalidate) {
        out->why = "no-cache";
    } else if (policy->ttl_ms > 0 && may_have_ttl(reply->status)) {
        out->is_by_ttl = true;
        out->lifetime_ms = out->initial_age_ms + policy->ttl_ms;
        out->why = "ttl";
    } else if (policy->ttl_ms < 0 && policy->is_guess_allowed &&
               guessed_lifetime(reply, &out->control, reply_s, &out->lifetime_ms)) {
        out->is_guessed = true;
        out->why = "guess";
    } else {
        return false;
    }
    return true;
}

/* What is never fresh is worth its memory only if it can be validated, or used stale. */
static bool is_worth_storing(const struct message *reply, const struct freshness *freshness)
{
    bool is_ever_fresh = !freshness->always_revalidate && freshness->lifetime_ms > freshness->initial_age_ms;
    bool is_used_stale = !freshness->must_revalidate &&
                         (freshness->stale_while_revalidate_ms > 0 || freshness->stale_if_error_ms > 0);
    return is_ever_fresh || is_used_stale || has_validator(reply);
}

void freshness_of(const struct message *request, const struct message *reply,
                  const struct cache_policy *policy, int64_t request_wall_ms, int64_t reply_wall_ms,
                  struct freshness *out)
{
    struct cache_control control;
    cache_control_of_reply(reply, &control);
    *out = (struct freshness){
        .verdict = STORE_YES,
        .why = "stored",
        .control = control,
        .always_revalidate = control.is_no_cache,
        .allows_authorization = control.is_public || control.s_maxage_s >= 0 || control.is_must_revalidate,
        .initial_age_ms = initial_age_ms(reply, request_wall_ms, reply_wall_ms),
        .stale_while_revalidate_ms = ms_or_unsaid(control.stale_while_revalidate_s),
        .stale_if_error_ms = ms_or_unsaid(control.stale_if_error_s),
    };
    /* RFC 9111 4.2.4, 5.2.2.10: s-maxage has the meaning of proxy-revalidate in it, unless its author says
     * beside it how it may be used stale: many write just that, and mean it. */
    bool is_stale_said = control.stale_while_revalidate_s > 0 || control.stale_if_error_s > 0;
    out->must_revalidate = out->always_revalidate || control.is_must_revalidate ||
                           control.is_proxy_revalidate || (control.s_maxage_s >= 0 && !is_stale_said);
    if (control.s_maxage_s >= 0 && is_stale_said) { /* ... and in no other way */
        out->stale_while_revalidate_ms = max_i64(out->stale_while_revalidate_ms, 0);
        out->stale_if_error_ms = max_i64(out->stale_if_error_ms, 0);
    }
    if (reply_forbids(reply, policy, out) || status_forbids(request, reply, out) ||
        request_forbids(request, policy, out))
        return;
    if (!decide_lifetime(reply, policy, reply_wall_ms / MS, out))
        refuse(out, STORE_NO, "no-freshness");
    else if ((out->is_by_ttl || out->is_guessed) && has_cookie(reply, &control))
        refuse(out, STORE_NO_PRIVATE, "set-cookie"); /* cookies are stored only where the app has a say */
    else if (!is_worth_storing(reply, out))
        refuse(out, STORE_NO, "never-fresh");
}
