#include "pipeline/answer.h"

#include <stdio.h>

#include "base/err.h"
#include "http/date.h"
#include "pipeline/client.h"
#include "pipeline/fetch.h"
#include "pipeline/own_cookie.h"
#include "pipeline/parts.h"
#include "policy/ratelimit.h"

#define PUMP_IOV 32

/* --- fields that weir adds --- */

static void put_number(struct writer *w, int64_t value)
{
    if (value < 0) {
        writer_put(w, STR("-"));
        value = -value;
    }
    writer_put_u64(w, (uint64_t)value);
}

/* The primary key as a structured field's string: tenant, then the URL. */
static void put_key(const struct request *req, struct writer *w)
{
    struct str rest = req->key.primary;
    struct str part;
    writer_put(w, STR("; key=\""));
    for (unsigned i = 0; i < 4; i++) {
        static const struct str before[] = { STR_INIT(""), STR_INIT(" "), STR_INIT("://"), STR_INIT("") };
        ptrdiff_t end = i < 3 ? str_find(rest, '\0') : (ptrdiff_t)rest.len;
        part = str_n(rest.data, (size_t)end);
        rest = i < 3 ? str_from(rest, (size_t)end + 1) : rest;
        writer_put(w, before[i]);
        for (size_t k = 0; k < part.len; k++) { /* RFC 9651 3.3.3: these two are escaped */
            if (part.data[k] == '"' || part.data[k] == '\\')
                writer_put(w, STR("\\"));
            writer_put(w, str_n(part.data + k, 1));
        }
    }
    writer_put(w, STR("\""));
}

/* RFC 9211. ttl_ms INT64_MIN: not known. */
static void put_cache_status(const struct request *req, struct writer *w, int64_t ttl_ms)
{
    static const char *const words[] = {
        [FWD_NONE] = "",
        [FWD_BYPASS] = "bypass",
        [FWD_METHOD] = "method",
        [FWD_URI_MISS] = "uri-miss",
        [FWD_VARY_MISS] = "vary-miss",
        [FWD_REQUEST] = "request",
        [FWD_STALE] = "stale",
        [FWD_PARTIAL] = "partial",
    };
    if (!req->key.primary.data)
        return;
    writer_put(w, STR("Cache-Status: weir"));
    if (req->forwarded == FWD_NONE) {
        writer_put(w, STR("; hit"));
    } else if (req->answer != ANSWERS_PROBLEM || req->attempts > 0) { /* else it went nowhere */
        writer_put(w, STR("; fwd="));
        writer_put(w, str_of(words[req->forwarded]));
        if (req->forwarded_status) {
            writer_put(w, STR("; fwd-status="));
            put_number(w, req->forwarded_status);
        }
        if (req->is_stored)
            writer_put(w, STR("; stored"));
    }
    if (ttl_ms != INT64_MIN) {
        writer_put(w, STR("; ttl="));
        put_number(w, ttl_ms / 1000);
    }
    if (req->is_collapsed)
        writer_put(w, STR("; collapsed"));
    if (req->is_peer_trusted)
        put_key(req, w);
    /* Where it went nowhere, why not is all there is to say. */
    bool is_refused = req->answer == ANSWERS_PROBLEM && req->attempts == 0 && req->forwarded != FWD_NONE;
    const char *detail = req->cache_detail || !is_refused ? req->cache_detail : err_word(req->err);
    if (detail) {
        writer_put(w, STR("; detail="));
        writer_put(w, str_of(detail));
    }
    writer_put(w, STR("\r\n"));
}

static void put_rate(const struct request *req, struct writer *w)
{
    char text[RATELIMIT_SIZE];
    const struct config_tenant *rules = req->tenant->rules;
    size_t len =
        ratelimit_policy_format(text, sizeof text, STR("tenant"), rules->rate_per_s, tenant_burst(rules));
    writer_field(w, STR("RateLimit-Policy"), str_n(text, len));
    len = ratelimit_format(text, sizeof text, STR("tenant"), &req->rate);
    writer_field(w, STR("RateLimit"), str_n(text, len));
}

static void put_token_cookie(const struct request *req, struct str name, struct writer *w)
{
    char age[32];
    int len = snprintf(age, sizeof age, "%lld", (long long)req->token_age_s);
    writer_put(w, STR("Set-Cookie: "));
    writer_put(w, name);
    writer_put(w, STR("="));
    writer_put(w, req->token);
    writer_put(w, STR("; Path=/; Max-Age="));
    writer_put(w, str_n(age, (size_t)len));
    writer_put(w, req->is_https ? STR("; HttpOnly; SameSite=Lax; Secure\r\n")
                                : STR("; HttpOnly; SameSite=Lax\r\n"));
}

/* The read-your-writes token, for API clients as a field and for browsers as a cookie. Of two replies at once
 * a browser keeps the cookie of the one that came last, which may be an older read's: so what a write left
 * has a cookie of its own besides, that only writes replace. */
static void put_token(const struct request *req, struct writer *w)
{
    writer_field(w, STR("Weir-Position"), req->token);
    put_token_cookie(req, OWN_COOKIE, w);
    if (req->token_is_of_write)
        put_token_cookie(req, OWN_WRITE_COOKIE, w);
}

static void put_ours(const struct request *req, struct writer *w, int64_t ttl_ms)
{
    writer_put(w, STR("Via: 1.1 weir\r\nX-Request-Id: "));
    writer_put(w, str_n(req->id, req->id_len));
    writer_put(w, STR("\r\n"));
    put_cache_status(req, w, ttl_ms);
    if (req->edition)
        writer_put(w, req->edition->fields);
    if (req->has_rate)
        put_rate(req, w);
    if (req->token.data)
        put_token(req, w);
    for (const struct reply_field *field = req->reply_fields; field; field = field->next)
        writer_field(w, field->name, field->value);
    if (req->msg.first[FIELD_WEIR_TRACE] && answer_is_traced(req))
        answer_put_trace(req, w);
}

static void put_date(const struct request *req, struct writer *w)
{
    char date[HTTP_DATE_LEN];
    http_date_format(loop_wall_ms(req->lane->loop) / 1000, date);
    writer_field(w, STR("Date"), str_n(date, sizeof date));
}

static struct writer start_head(struct request *req)
{
    struct writer w;
    writer_init(&w, req->lane->batch.head,
                sizeof req->lane->batch.head - 256); /* the carrier's fields fit behind it */
    return w;
}

static void begin(struct request *req, struct writer *w, int status, int64_t length)
{
    req->has_begun = true;
    req->status = status;
    req->begun_ns = loop_now_ns(req->lane->loop);
    req->carrier->begin(req, w, length);
}

/* --- weir's own errors --- */

static enum outcome outcome_of(int err, int status)
{
    if (status == 429 || err == ERR_QUEUE_FULL || err == ERR_QUEUE_TIMEOUT || err == ERR_SHED)
        return OUTCOME_SHED;
    return status >= 500 ? OUTCOME_FAILED : OUTCOME_REFUSED;
}

void answer_problem(struct request *req)
{
    char body[2048];
    struct writer text;
    struct writer w = start_head(req);
    int status = err_status(req->err);
    bool is_head = req->msg.method == METHOD_HEAD;

    if (status == 0)
        status = 500;
    req->outcome = outcome_of(req->err, status);
    writer_init(&text, body, sizeof body);
    writer_problem(&text, req->err, (struct str){ NULL, 0 }, str_n(req->id, req->id_len));
    writer_status_line(&w, status, (struct str){ NULL, 0 });
    put_date(req, &w);
    writer_put(&w, STR("Content-Type: application/problem+json\r\nCache-Control: no-store\r\n"));
    if (req->err == ERR_METHOD_REFUSED)
        writer_put(&w, STR("Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"));
    if (req->err == ERR_BAD_TOKEN)
        writer_put(&w, STR("WWW-Authenticate: Bearer\r\n"));
    if (status == 429 || status == 503)
        writer_field_u64(&w, STR("Retry-After"), (uint64_t)max_i64(req->retry_after_s, 1));
    put_ours(req, &w, INT64_MIN);
    begin(req, &w, status, (int64_t)text.len);
    req->is_answered = true;
    struct iovec piece = { body, text.len };
    req->carrier->write(req, &piece, is_head ? 0 : 1, WRITE_COPY | WRITE_LAST);
    req->body_bytes = is_head ? 0 : text.len;
}

/* --- replies as they come --- */

bool answer_passes_field(const struct message *reply, const struct field *field)
{
    unsigned traits = field_traits(field->id);
    if (traits & (FIELD_HOP_BY_HOP | FIELD_FRAMING | FIELD_APP_ONLY))
        return false;
    if (field->id == FIELD_X_REQUEST_ID)
        return false;
    return !reply->first[FIELD_CONNECTION] || !message_is_named_in_connection(reply, field->name);
}

void answer_relay_head(struct request *req, const struct message *reply)
{
    struct writer w = start_head(req);
    int64_t length = -1;

    writer_status_line(&w, reply->status, reply->reason);
    for (unsigned i = 0; i < reply->field_count; i++) {
        if (answer_passes_field(reply, &reply->fields[i]))
            writer_copy_field(&w, &reply->fields[i]);
    }
    if (!reply->first[FIELD_DATE]) /* RFC 9110 6.6.1 */
        put_date(req, &w);
    put_ours(req, &w, INT64_MIN);
    if (reply->framing == FRAMING_LENGTH)
        length = (int64_t)reply->content_length;
    else if (reply->framing == FRAMING_NONE)
        length = req->msg.method == METHOD_HEAD && reply->has_length ? (int64_t)reply->content_length : -2;
    begin(req, &w, reply->status, length);
}

/* --- stored replies --- */

bool answer_stored_head(struct writer *w, const struct message *reply, const struct cache_control *control,
                        int64_t wall_ms)
{
    writer_status_line(w, reply->status, reply->reason);
    for (unsigned i = 0; i < reply->field_count; i++) {
        const struct field *field = &reply->fields[i];
        if (answer_passes_field(reply, field) && !(field_traits(field->id) & FIELD_NOT_STORED) &&
            !field_is_kept_out(control, field->name))
            writer_copy_field(w, field);
    }
    if (!reply->first[FIELD_DATE]) {
        char date[HTTP_DATE_LEN];
        http_date_format(wall_ms / 1000, date);
        writer_field(w, STR("Date"), str_n(date, sizeof date));
    }
    return !w->is_over;
}

bool answer_renews_field(const struct message *reply, const struct field *field)
{
    switch (field->id) {
    case FIELD_CONTENT_ENCODING:
    case FIELD_CONTENT_TYPE:
    case FIELD_CONTENT_RANGE:
    case FIELD_CONTENT_LENGTH:
    case FIELD_SET_COOKIE:
        return false;
    default:
        return answer_passes_field(reply, field) && !(field_traits(field->id) & FIELD_NOT_STORED);
    }
}

static void put_age(const struct request *req, struct writer *w, const struct object_meta *meta,
                    int64_t *out_ttl_ms)
{
    const struct freshness freshness = { .initial_age_ms = meta->initial_age_ms };
    int64_t age_ms = age_ms_at(&freshness, meta->stored_wall_ms, loop_wall_ms(req->lane->loop));
    int64_t lifetime_ms = object_lifetime_ms(req->reader.object);
    *out_ttl_ms = lifetime_ms - age_ms / 1000 * 1000; /* in whole seconds, so that it and Age add up */
    /* What was just fetched is no stored answer: it only has an age if it came with one. */
    if (req->forwarded != FWD_NONE && !req->is_revalidated && !req->is_collapsed &&
        meta->initial_age_ms < 1000 && req->outcome != OUTCOME_STALE)
        return;
    writer_field_u64(w, STR("Age"), (uint64_t)(age_ms / 1000));
}

/* A line's value in a stored head; name in lower case with its colon. data NULL: it has none. */
static struct str stored_field(const struct object_meta *meta, struct str name)
{
    struct str rest = meta->head;
    struct str line;
    while (str_split(&rest, '\n', &line)) {
        if (str_has_iprefix(line, name))
            return str_trim(str_n(line.data + name.len, line.len - name.len - 1));
    }
    return (struct str){ NULL, 0 };
}

/* When it was made, as far as that is known (RFC 9111 4.3.2). */
static int64_t date_of(const struct object_meta *meta)
{
    int64_t date_s;
    return http_date_parse(stored_field(meta, STR("date:")), meta->stored_wall_ms / 1000, &date_s)
               ? date_s
               : meta->stored_wall_ms / 1000;
}

/* 304 and 412: the head without what describes a body. */
static void answer_without_body(struct request *req, const struct object_meta *meta, int status)
{
    static const struct str kept[] = { STR_INIT("cache-control:"), STR_INIT("content-location:"),
                                       STR_INIT("date:"),          STR_INIT("etag:"),
                                       STR_INIT("expires:"),       STR_INIT("vary:"),
                                       STR_INIT("last-modified:") };
    struct writer w = start_head(req);
    struct str rest = meta->head;
    int64_t ttl_ms;

    writer_status_line(&w, status, (struct str){ NULL, 0 });
    while (rest.len > 0) {
        size_t end = (size_t)str_find(rest, '\n') + 1;
        struct str line = str_n(rest.data, end);
        rest = str_from(rest, end);
        for (unsigned i = 0; i < COUNT_OF(kept); i++) {
            if (str_has_iprefix(line, kept[i]))
                writer_put(&w, line);
        }
    }
    put_age(req, &w, meta, &ttl_ms);
    put_ours(req, &w, ttl_ms);
    begin(req, &w, status, status == 304 ? -2 : 0);
    req->is_answered = true;
    req->carrier->write(req, NULL, 0, WRITE_COPY | WRITE_LAST);
}

/* How many bytes of which representation an object holds: all of one, or a part. False: not known yet. */
static bool extent_of(const struct object *object, const struct object_meta *meta, struct content_range *out)
{
    if (meta->is_partial)
        return part_place(meta, out);
    int64_t length = object_state(object) == OBJECT_SEALED ? (int64_t)object_size(object) : meta->length;
    *out = (struct content_range){ 0, length > 0 ? (uint64_t)length - 1 : 0, length };
    return length >= 0 && meta->status == 200;
}

static void put_range_head(struct writer *w, const struct object_meta *meta, const struct range *range,
                           int64_t total)
{
    char text[96];
    struct str rest = str_from(meta->head, (size_t)str_find(meta->head, '\n') + 1);
    while (rest.len > 0) {
        size_t end = (size_t)str_find(rest, '\n') + 1;
        if (!meta->is_partial || !str_has_iprefix(rest, STR("content-range:")))
            writer_put(w, str_n(rest.data, end));
        rest = str_from(rest, end);
    }
    int len = snprintf(text, sizeof text, "bytes %llu-%llu/%lld", (unsigned long long)range->first,
                       (unsigned long long)range->last, (long long)total);
    writer_field(w, STR("Content-Range"), str_n(text, (size_t)len));
}

static void put_unsatisfiable(const struct request *req, struct writer *w, int64_t total)
{
    char text[64];
    int len = snprintf(text, sizeof text, "bytes */%lld", (long long)total);
    put_date(req, w);
    writer_field(w, STR("Content-Range"), str_n(text, (size_t)len));
}

/* 416, and 206 for one range of what is stored. True: the head is begun. */
static bool answer_range(struct request *req, const struct object_meta *meta)
{
    struct content_range extent;
    struct range range;
    unsigned count = 0;
    int64_t ttl_ms;

    if (!req->asks.has_range || req->msg.method != METHOD_GET || req->takes_whole_part ||
        !extent_of(req->reader.object, meta, &extent))
        return false;
    /* A date that is no strong validator can't hold an If-Range (RFC 9110 13.1.5). */
    struct str date = stored_field(meta, STR("date:"));
    struct str modified = meta->last_modified;
    if (!last_modified_is_strong(modified, date, loop_wall_ms(req->lane->loop) / 1000))
        modified = (struct str){ NULL, 0 };
    enum range_verdict verdict =
        ranges_of(&req->msg, meta->etag, modified, (uint64_t)extent.total, &range, 1, &count);
    if (verdict == RANGE_WHOLE || (verdict == RANGE_PARTS && count != 1))
        return false;

    struct writer w = start_head(req);
    bool is_part = verdict == RANGE_PARTS;
    writer_status_line(&w, is_part ? 206 : 416, (struct str){ NULL, 0 });
    if (is_part)
        put_range_head(&w, meta, &range, extent.total);
    else
        put_unsatisfiable(req, &w, extent.total);
    put_age(req, &w, meta, &ttl_ms);
    put_ours(req, &w, ttl_ms);
    req->left_bytes = is_part ? range.last - range.first + 1 : 0;
    req->skip_bytes = is_part ? range.first - extent.first : 0;
    begin(req, &w, is_part ? 206 : 416, (int64_t)req->left_bytes);
    return true;
}

void answer_object(struct request *req)
{
    struct object *object = req->reader.object;
    const struct object_meta *meta = object_meta(object);
    int64_t ttl_ms;

    if (meta->status == 200 && req->asks.has_conditions) {
        switch (precondition_at(&req->msg, meta->etag, meta->last_modified, date_of(meta),
                                loop_wall_ms(req->lane->loop) / 1000)) {
        case CONDITION_NOT_MODIFIED:
            answer_without_body(req, meta, 304);
            return;
        case CONDITION_FAILED:
            answer_without_body(req, meta, 412);
            return;
        case CONDITION_PASSES:
            break;
        }
    }
    if (!answer_range(req, meta)) {
        struct writer w = start_head(req);
        int64_t length = meta->length;
        if (object_state(object) == OBJECT_SEALED)
            length = (int64_t)object_size(object);
        if (meta->status == 204 || meta->status == 304)
            length = -2;
        writer_put(&w, meta->head);
        if (UNLIKELY(req->kept_out.len > 0))
            writer_put(&w, req->kept_out);
        put_age(req, &w, meta, &ttl_ms);
        put_ours(req, &w, ttl_ms);
        begin(req, &w, meta->status, length);
    }
    if (req->msg.method == METHOD_HEAD)
        req->left_bytes = 0;
    if (req->errand &&
        req->errand != ERRAND_CHECK) /* its body has no reader: what is stored grows by itself */
        req->left_bytes = 0;
    answer_pump(req);
}
