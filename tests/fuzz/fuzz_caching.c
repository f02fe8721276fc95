/* What heads mean to a cache: the questions of http/caching.h and caching_tags.h, asked of any head that was
 * accepted. A request's key must not change when it is written again, blanks, lines and names altered. */
#include "fuzz.h"

#include "http/caching.h"
#include "http/caching_tags.h"
#include "http/target.h"
#include "http/writer.h"

#define NOW_MS 784111777000

const struct str fuzz_seeds[] = {
    STR_INIT(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nCache-Control: max-age=60, private=\"Set-Cookie, X\", "
        "stale-if-error=\"5\"\r\nCache-Control: no-cache=\"Y\", must-understand, no-store\r\nVary: Accept, "
        "X\r\nAge: 7, 8\r\n\r\n"),
    STR_INIT(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nCDN-Cache-Control: max-age=60;x=\"y\", a=(1 \"b\";c);d, "
        "e=:YQ==:, f=?0, g=@7, h=%\"%c3%bc\", i=-1.5\r\nWeir-Cache-Control: no-cache=\"X\", "
        "s-maxage=9\r\n\r\n"),
    STR_INIT("HTTP/1.1 206 OK\r\nContent-Length: 5\r\nCache-Control: max-age=9\r\nContent-Range: bytes "
             "0-4/10\r\nETag: W/\"a\"\r\n"
             "Last-Modified: Sun, 06 Nov 1994 08:49:27 GMT\r\nDate: Sunday, 06-Nov-94 08:49:37 GMT\r\n"
             "Expires: Sun Nov  6 09:49:37 1994\r\n\r\n"),
    STR_INIT(
        "HTTP/1.1 303 OK\r\nContent-Length: 0\r\nLocation: //a.example:80/x/../y?z#f\r\nContent-Location: "
        "../g;x=1/./y\r\nCache-Tag: a, b\r\nSurrogate-Key: c d\r\nWeir-Purge: e\r\nCache-Groups: \"a\\\"\", "
        "\"b\";c\r\nCache-Group-Invalidation: \"a\"\r\n\r\n"),
    STR_INIT(
        "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html;q=0.5, a/b ; p=\"x, \\\"y\"\r\nAccept-Language: "
        "en-US, "
        "de;q=0.9\r\nAccept-Encoding: gzip\r\nAccept-Encoding: br\r\nX: 1 , 2\r\nCookie: a=b, c\r\n\r\n"),
    STR_INIT(
        "GET / HTTP/1.1\r\nHost: a\r\nCache-Control: max-age=5, max-stale, min-fresh=1, no-cache\r\nPragma: "
        "no-cache\r\nIf-None-Match: \"a\", W/\"b\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        "Range: bytes=0-4, -5\r\nIf-Range: \"a\"\r\n\r\n"),
};
const size_t fuzz_seed_count = COUNT_OF(fuzz_seeds);

static const struct str varies[] = { STR_INIT("accept,accept-encoding,accept-language,cookie,x"),
                                     STR_INIT("X, Cookie, Accept-Language ,Accept-Encoding,ACCEPT") };

static bool lies_in(struct str part, struct str whole)
{
    return part.len == 0 || (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

static void check_freshness(const struct message *reply)
{
    static struct message request;
    static const struct str asks = STR_INIT("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-4\r\n\r\n");
    const struct cache_policy policy = { .ttl_ms = -1, .is_guess_allowed = true };
    struct freshness f;
    CHECK(message_read_request(&request, asks, &fuzz_limits) == 0);
    freshness_of(&request, reply, &policy, NOW_MS, NOW_MS, &f);
    CHECK(f.why != NULL);
    CHECK(f.lifetime_ms >= 0);
    CHECK(f.initial_age_ms >= 0);
    CHECK(f.stale_if_error_ms >= -1);
    CHECK(!f.always_revalidate || f.must_revalidate);
    if (f.verdict != STORE_YES)
        return;
    CHECK(!f.control.is_private);
    CHECK(!f.control.is_no_store || f.control.is_must_understand);
    CHECK(reply->status >= 200);
    CHECK(reply->status != 304);
    CHECK((reply->status == 206) == f.is_partial);
    const struct field *cookie = message_field(reply, FIELD_SET_COOKIE);
    CHECK(!cookie || field_is_kept_out(&f.control, cookie->name));
}

static void check_names(const struct message *reply, struct str head)
{
    struct str names[8];
    char buffer[256];
    int count = tags_read(reply, names, 8);
    for (int i = 0; i < count; i++) {
        CHECK(lies_in(names[i], head));
        CHECK(names[i].len > 0);
    }
    count = purge_tags_read(reply, names, 8);
    CHECK(count <= 8);
    count = groups_read(reply, FIELD_CACHE_GROUPS, buffer, sizeof buffer, names, 8);
    for (int i = 0; i < count; i++)
        CHECK(lies_in(names[i], str_n(buffer, sizeof buffer)));
    CHECK(groups_read(reply, FIELD_CACHE_GROUP_INVALIDATION, buffer, sizeof buffer, names, 8) <= 8);
}

static void check_reply(const struct message *reply, struct str head)
{
    char out[128];
    struct str target;
    struct content_range range;
    static const enum field_id ids[] = { FIELD_LOCATION, FIELD_CONTENT_LOCATION };
    check_freshness(reply);
    check_names(reply, head);
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        if (invalidation_target(message_value(reply, ids[i]), false, STR("a.example"), STR("/b/c?d"), out,
                                sizeof out, &target))
            CHECK(target_is_valid(target));
    }
    if (content_range_read(reply, &range)) {
        CHECK(range.first <= range.last);
        CHECK(range.total < 0 || range.last < (uint64_t)range.total);
    }
    struct str etag = message_value(reply, FIELD_ETAG);
    struct str modified = message_value(reply, FIELD_LAST_MODIFIED);
    CHECK(not_modified_is_for(etag, modified, reply) || (etag.len == 0 && modified.len == 0));
    CHECK(head_says_of(etag, modified, -1, reply) != HEAD_INVALIDATES);
    CHECK(!may_combine(etag, modified, reply) || etag.len == 0 || etag_is_strong(etag));
    int len = vary_read(reply, out, sizeof out);
    CHECK(len <= (int)sizeof out);
}

/* The same request with upper-case names and blanks around values must have the same key. */
static void check_key(const struct message *request)
{
    static char bytes[16384];
    static struct message again;
    char keys[2][2048];
    struct writer w;
    writer_init(&w, bytes, sizeof bytes);
    writer_request_line(&w, request->method_name, request->target);
    for (unsigned i = 0; i < request->field_count; i++) {
        size_t start = w.len;
        writer_put(&w, request->fields[i].name);
        for (size_t at = start; at < w.len; at++) {
            if (w.data[at] >= 'a' && w.data[at] <= 'z')
                w.data[at] = (char)(w.data[at] - 'a' + 'A');
        }
        writer_put(&w, STR(":\t "));
        writer_put(&w, request->fields[i].value);
        writer_put(&w, STR(" \r\n"));
    }
    writer_end(&w);
    const struct head_limits wide = { .head_bytes = sizeof bytes, .line_bytes = 8192, .fields = FIELDS_MAX };
    if (w.is_over || message_read_request(&again, writer_str(&w), &wide) != 0)
        return;
    int len = vary_key(varies[0], request, keys[0], sizeof keys[0]);
    int len_again = vary_key(varies[1], &again, keys[1], sizeof keys[1]);
    CHECK(len == len_again);
    CHECK(len < 0 || str_eq(str_n(keys[0], (size_t)len), str_n(keys[1], (size_t)len)));
}

static void check_request(const struct message *request)
{
    struct cache_request asks;
    const struct freshness f = { .lifetime_ms = 1000,
                                 .stale_while_revalidate_ms = 500,
                                 .stale_if_error_ms = 500 };
    cache_request_read(request, &asks);
    for (int64_t age_ms = 0; age_ms < 4000; age_ms += 700) {
        enum use_verdict use = use_of(&asks, &f, age_ms);
        CHECK(use != USE_FRESH || age_ms < 1000);
        CHECK((use != USE_STALE && use != USE_STALE_REVALIDATE) || age_ms >= 1000);
        CHECK(use != USE_FRESH || may_stand_in(&asks, &f, age_ms));
    }
    cache_request_ignore(&asks, ~0u);
    CHECK(asks.has_origin_conditions || use_of(&asks, &f, 999) == USE_FRESH);
    precondition_at(request, STR("\"a\""), STR(""), NOW_MS / 1000, NOW_MS / 1000);
    struct range ranges[4];
    unsigned count;
    if (ranges_of(request, STR("\"a\""), STR(""), 100, ranges, 4, &count) == RANGE_PARTS) {
        for (unsigned i = 0; i < count; i++) {
            CHECK(ranges[i].first <= ranges[i].last);
            CHECK(ranges[i].last < 100);
        }
    }
    check_key(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct message msg;
    struct str bytes = str_n((const char *)data, size);
    size_t scanned = 0;
    int len = head_find_end(bytes, &scanned, &fuzz_limits);
    if (len <= 0)
        return 0;
    struct str head = str_n(bytes.data, (size_t)len);
    if (str_has_prefix(head, STR("HTTP/"))) {
        if (message_read_reply(&msg, head, METHOD_GET, &fuzz_limits) == 0)
            check_reply(&msg, head);
    } else if (message_read_request(&msg, head, &fuzz_limits) == 0) {
        check_request(&msg);
    }
    return 0;
}
