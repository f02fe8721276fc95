#include "pipeline/ask.h"

#include <stdio.h>

#include "pipeline/client.h"
#include "pipeline/parts.h"

/* Conditions and ranges of a client whose answer is to be stored: the app is asked for the whole. */
static bool is_condition(enum field_id id)
{
    switch (id) {
    case FIELD_IF_MATCH:
    case FIELD_IF_NONE_MATCH:
    case FIELD_IF_MODIFIED_SINCE:
    case FIELD_IF_UNMODIFIED_SINCE:
    case FIELD_IF_RANGE:
    case FIELD_RANGE:
        return true;
    default:
        return false;
    }
}

static bool is_range(enum field_id id)
{
    return id == FIELD_RANGE || id == FIELD_IF_RANGE;
}

/* A header that names the tenant, believed from trusted peers only. */
static bool is_tenant_header(const struct request *req, const struct field *field)
{
    const struct config_tenants *tenants = &req->world->config->tenants;
    for (unsigned i = 0; i < tenants->from_count; i++) {
        const struct config_source *source = &tenants->from[i];
        if (source->kind == SOURCE_HEADER && source->is_trusted_only &&
            field_name_reads_as(field->name, source->name))
            return true;
    }
    return false;
}

static bool goes_on(const struct fetch *fetch, const struct field *field)
{
    const struct request *req = fetch->req;
    unsigned traits = field_traits(field->id);

    if (field->is_ambiguous)
        return false;
    if (field->id == FIELD_UNKNOWN) {
        if (req->msg.first[FIELD_CONNECTION] && message_is_named_in_connection(&req->msg, field->name))
            return false;
        return req->is_peer_trusted || !is_tenant_header(req, field);
    }
    if (traits & (FIELD_HOP_BY_HOP | FIELD_FRAMING | FIELD_OURS))
        return false;
    if ((traits & FIELD_IDENTITY) && !req->is_peer_trusted)
        return false;
    switch (field->id) {
    case FIELD_HOST:
    case FIELD_COOKIE:
    case FIELD_VIA:
    case FIELD_EXPECT:
    case FIELD_WEIR_POSITION:
    case FIELD_WEIR_CACHE_CONTROL:
    case FIELD_WEIR_PURGE:
    case FIELD_WEIR_REPLAY:
        return false; /* written below, or weir's own business */
    case FIELD_TRACEPARENT:
    case FIELD_TRACESTATE:
        return req->is_peer_trusted;
    default:
        break;
    }
    if ((req->may_store || req->errand) && is_condition(field->id) &&
        !(req->asks_part && is_range(field->id)))
        return false;
    if (!req->is_peer_trusted && is_tenant_header(req, field))
        return false;
    return !req->msg.first[FIELD_CONNECTION] || !message_is_named_in_connection(&req->msg, field->name);
}

/* The client's cookies; weir's own was taken off when it was identified. */
static void put_cookies(const struct request *req, struct writer *w)
{
    const struct field *field = message_field(&req->msg, FIELD_COOKIE);
    for (; field; field = message_next(&req->msg, field)) {
        struct str rest = field->value;
        struct str pair;
        bool is_begun = false;
        while (str_split(&rest, ';', &pair)) {
            pair = str_trim(pair);
            if (pair.len == 0)
                continue;
            writer_put(w, is_begun ? STR("; ") : STR("Cookie: "));
            writer_put(w, pair);
            is_begun = true;
        }
        if (is_begun)
            writer_put(w, STR("\r\n"));
    }
}

/* A list that proxies add to: what a trusted peer sent comes first. */
static void put_list_start(const struct request *req, struct writer *w, enum field_id id, bool keeps)
{
    writer_put(w, field_name(id));
    writer_put(w, STR(": "));
    const struct field *field = keeps ? message_field(&req->msg, id) : NULL;
    for (; field; field = message_next(&req->msg, field)) {
        writer_put(w, field->value);
        writer_put(w, STR(", "));
    }
}

static void put_list(const struct request *req, struct writer *w, enum field_id id, struct str own,
                     bool keeps)
{
    put_list_start(req, w, id, keeps);
    writer_put(w, own);
    writer_put(w, STR("\r\n"));
}

static void put_origin(const struct request *req, struct writer *w)
{
    char peer[64] = "unknown";
    if (req->client &&
        req->client->peer.sa.sa_family != AF_UNIX) /* "unknown" is RFC 7239's word for the rest */
        addr_format_host(&req->client->peer.sa, peer, sizeof peer);
    else if (req->peer_text.data) /* an errand goes on as whom it was made after */
        snprintf(peer, sizeof peer, "%.*s", STR_FMT(req->peer_text));
    struct str proto = req->is_https ? STR("https") : STR("http");
    struct str host = req->msg.authority;
    struct str given_host = message_value(&req->msg, FIELD_X_FORWARDED_HOST);

    put_list(req, w, FIELD_X_FORWARDED_FOR, str_of(peer), req->is_peer_trusted);
    writer_field(w, STR("X-Forwarded-Proto"), proto);
    if (req->is_peer_trusted && given_host.data)
        writer_field(w, STR("X-Forwarded-Host"), given_host);
    else if (host.len > 0)
        writer_field(w, STR("X-Forwarded-Host"), host);
    /* RFC 7239 6: IPv6 in brackets and quoted; host is quoted for its colon. */
    bool is_v6 = strchr(peer, ':') != NULL;
    put_list_start(req, w, FIELD_FORWARDED, req->is_peer_trusted);
    writer_put(w, is_v6 ? STR("for=\"[") : STR("for="));
    writer_put(w, str_of(peer));
    writer_put(w, is_v6 ? STR("]\";host=\"") : STR(";host=\""));
    writer_put(w, host);
    writer_put(w, STR("\";proto="));
    writer_put(w, proto);
    writer_put(w, STR("\r\n"));
}

static void put_trace(const struct request *req, struct writer *w)
{
    static const char hex[] = "0123456789abcdef";
    char value[55];
    struct str given = message_value(&req->msg, FIELD_TRACEPARENT);

    writer_field(w, STR("X-Request-Id"), str_n(req->id, req->id_len));
    if (req->is_peer_trusted && given.data)
        return; /* passed on as it came */
    /* W3C Trace Context: version, trace-id, parent-id, flags (not sampled: that is for somebody who collects
     * to say). */
    memcpy(value, "00-", 3);
    uint64_t random = 0;
    for (unsigned i = 0; i < 49; i++) {
        if (i % 16 == 0)
            random = lane_random(req->lane);
        value[3 + i] = hex[random & 15];
        random >>= 4;
    }
    value[35] = '-';
    memcpy(value + 52, "-00", 3);
    writer_field(w, STR("traceparent"), str_n(value, sizeof value));
}

static void put_framing(const struct fetch *fetch, struct writer *w)
{
    const struct request *req = fetch->req;
    if (req->has_upload && (req->is_upload_kept || req->msg.framing == FRAMING_LENGTH))
        writer_field_u64(w, STR("Content-Length"),
                         req->is_upload_kept ? buf_len(&req->upload_buf) : req->msg.content_length);
    else if (req->has_upload)
        writer_put(w, STR("Transfer-Encoding: chunked\r\n"));
    else if (req->msg.has_length)
        writer_put(w, STR("Content-Length: 0\r\n"));
    if (req->wants_continue)
        writer_put(w, STR("Expect: 100-continue\r\n"));
    if (request_may_upgrade(req))
        writer_put(w, STR("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
}

/* What a stale copy would have to be for the app to say 304. */
static void put_validators(const struct request *req, struct writer *w)
{
    if (!req->is_validating)
        return;
    const struct object_meta *meta = object_meta(req->stale);
    if (meta->etag.data)
        writer_field(w, STR("If-None-Match"), meta->etag);
    if (meta->last_modified.data)
        writer_field(w, STR("If-Modified-Since"), meta->last_modified);
}

bool ask_head(struct fetch *fetch, struct writer *w)
{
    const struct request *req = fetch->req;

    writer_request_line(w, req->msg.method_name, req->target_out);
    if (req->host_out.len > 0)
        writer_field(w, STR("Host"), req->host_out);
    else
        writer_field(w, STR("Host"), fetch->supply->upstream->name);
    for (unsigned i = 0; i < req->msg.field_count; i++) {
        const struct field *field = &req->msg.fields[i];
        if (goes_on(fetch, field))
            writer_copy_field(w, field);
    }
    put_cookies(req, w);
    put_validators(req, w);
    if (req->completes_part)
        part_put_conditions(req, w);
    put_list(req, w, FIELD_VIA, req->msg.minor == 0 ? STR("1.0 weir") : STR("1.1 weir"), true);
    put_origin(req, w);
    put_trace(req, w);
    writer_field(w, STR("Weir-Tenant"), tenant_name(req->tenant->tenant));
    if (req->edition->name.len > 0)
        writer_field(w, STR("Weir-Version"), req->edition->name);
    put_framing(fetch, w);
    writer_end(w);
    return !w->is_over;
}
