/* Whose request is it? Its id, its authority, its tenant. */
#include "base/err.h"
#include "http/target.h"
#include "pipeline/client.h"
#include "pipeline/own_cookie.h"
#include "pipeline/request.h"

static bool is_id_char(char c)
{
    return c > 0x20 && c < 0x7f && c != '"' && c != '\\' && c != ',';
}

/* Eight digits at once: each byte of the word becomes a digit's value, then its character. */
static void put_hex(char out[8], uint32_t bits)
{
    uint64_t x = bits;
    x = (x | x << 16) & 0x0000ffff0000ffffu;
    x = (x | x << 8) & 0x00ff00ff00ff00ffu;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0fu;
    uint64_t above_9 = (x + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
    x += 0x3030303030303030u + above_9 * ('a' - '0' - 10);
    memcpy(out, &x, 8);
}

static void make_id(struct request *req)
{
    for (unsigned half = 0; half < 2; half++) {
        uint64_t random = lane_random(req->lane);
        put_hex(req->id + 16 * half, (uint32_t)random);
        put_hex(req->id + 16 * half + 8, (uint32_t)(random >> 32));
    }
    req->id_len = 32;
}

/* A trusted peer's id is kept, if it is one that may stand in a log and a header. */
static void take_id(struct request *req)
{
    struct str given =
        req->is_peer_trusted ? message_value(&req->msg, FIELD_X_REQUEST_ID) : (struct str){ NULL, 0 };
    bool is_good = given.len > 0 && given.len <= REQUEST_ID_MAX;
    for (size_t i = 0; is_good && i < given.len; i++)
        is_good = is_id_char(given.data[i]);
    if (!is_good) {
        make_id(req);
        return;
    }
    memcpy(req->id, given.data, given.len);
    req->id_len = (uint8_t)given.len;
}

static bool read_authority(struct request *req)
{
    struct str proto = message_value(&req->msg, FIELD_X_FORWARDED_PROTO);
    if (req->client) /* an errand goes on as what it was made after */
        req->is_https = req->client->is_tls;
    if (req->is_peer_trusted && proto.data)
        req->is_https = str_ieq(proto, STR("https"));
    /* A trusted peer may have changed Host and say what it was: that is who was asked, for tenant, routes and
     * key. */
    struct str host = message_value(&req->msg, FIELD_X_FORWARDED_HOST);
    req->host_out = req->msg.authority;
    if (req->is_peer_trusted && host.len > 0 && authority_is_valid(host))
        req->msg.authority = host;
    size_t size = req->msg.authority.len + 1;
    char *out = arena_alloc(&req->arena, size);
    if (!out)
        return false;
    size_t len = authority_normalise(req->msg.authority, req->is_https, out, size);
    req->authority = str_n(out, len);
    return true;
}

/* weir's own cookies are taken off before the key and before the app (A2): what is left is the client's and
 * the app's. */
static bool take_own_cookie(struct request *req)
{
    struct own_cookies own = { .room = NULL };
    struct field *field = (struct field *)(uintptr_t)message_field(&req->msg, FIELD_COOKIE);
    for (; field; field = (struct field *)(uintptr_t)message_next(&req->msg, field)) {
        if (!memmem(field->value.data, field->value.len, "weir_", 5))
            continue;
        char *data = arena_alloc(&req->arena, field->value.len + 2);
        if (!data)
            return false;
        struct writer w;
        struct str rest = field->value;
        struct str pair;
        struct str value;
        writer_init(&w, data, field->value.len + 2);
        while (str_split(&rest, ';', &pair)) {
            pair = str_trim(pair);
            if (own_cookie_value(pair, &value)) {
                own_cookies_add(&own, &req->arena, value);
                continue;
            }
            writer_put(&w, w.len > 0 ? STR("; ") : STR(""));
            writer_put(&w, pair);
        }
        field->value = writer_str(&w);
        if (w.len > 0)
            continue;
        field->name = STR(""); /* nothing left: as if it had not come */
        field->is_ambiguous = true;
        if (req->msg.first[FIELD_COOKIE] == 1 + (field - req->msg.fields))
            req->msg.first[FIELD_COOKIE] = req->msg.next[field - req->msg.fields];
    }
    req->own_cookie = own.joined;
    return true;
}

enum verdict stage_identify(struct request *req)
{
    struct tenant_claim claim;

    if (req->client)
        req->is_peer_trusted = req->client->is_trusted;
    take_id(req);
    if (req->err) /* its head was refused: it is only here to be told and recorded */
        return request_fail(req, req->err);
    if (!read_authority(req) || !take_own_cookie(req))
        return request_fail(req, ERR_NO_MEMORY);

    int err = tenant_claim_read(&req->world->config->tenants, &req->msg, req->is_peer_trusted, &claim);
    if (err)
        return request_fail(req, err);
    req->tenant = lane_tenant_take(req->lane, req->here, str_n(claim.name, claim.name_len), &err);
    if (!req->tenant)
        return request_fail(req, err);
    req->path = str_from(req->msg.path, claim.prefix_bytes);
    req->target_out =
        claim.is_prefix_stripped ? str_from(req->msg.target, claim.prefix_bytes) : req->msg.target;
    return NEXT;
}
