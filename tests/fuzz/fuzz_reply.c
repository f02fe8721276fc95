/* Reply heads, to GET and to HEAD. */
#include "fuzz.h"

#include "base/err.h"
#include "http/caching.h"
#include "http/writer.h"

const struct str fuzz_seeds[] = {
    STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    STR_INIT("HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: x\r\nContent-Type: "
             "text/html; charset=utf-8\r\n"
             "Transfer-Encoding: chunked\r\nCache-Control: max-age=60, stale-while-revalidate=\"5\"\r\nETag: "
             "W/\"abc\"\r\n"
             "Vary: Accept, Cookie\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nAge: 3\r\n\r\n"),
    STR_INIT("HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"),
    STR_INIT("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nExpires: Sunday, 06-Nov-94 08:49:37 GMT\r\n\r\n"),
    STR_INIT("HTTP/1.1 204\r\nConnection: close\r\n\r\n"),
    STR_INIT("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    STR_INIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
    STR_INIT("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"),
    STR_INIT("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/10\r\nContent-Length: "
             "5\r\nCache-Control: no-cache=\"X\"\r\n\r\n"),
};
const size_t fuzz_seed_count = COUNT_OF(fuzz_seeds);

static void check_caching(const struct message *reply)
{
    static struct message request;
    const struct str get = STR("GET / HTTP/1.1\r\nHost: a\r\nCookie: c\r\nAccept: a, b\r\n\r\n");
    const struct cache_policy policy = { .ttl_ms = 1000 };
    struct freshness freshness;
    struct cache_request asked;
    char vary[256];
    char key[1024];
    CHECK(message_read_request(&request, get, &fuzz_limits) == 0);
    freshness_of(&request, reply, &policy, 784111777000, 784111777500, &freshness);
    CHECK(freshness.why != NULL);
    CHECK(freshness.lifetime_ms >= 0);
    CHECK(freshness.initial_age_ms >= 0);
    cache_request_read(&request, &asked);
    use_of(&asked, &freshness, age_ms_at(&freshness, 784111777500, 784111778000));
    int len = vary_read(reply, vary, sizeof vary);
    if (len > 0)
        vary_key(str_n(vary, (size_t)len), &request, key, sizeof key);
    struct str etag = message_value(reply, FIELD_ETAG);
    CHECK(!etag_is_strong(etag) || etag_matches(etag, etag, false));
}

static void check_reply(const struct message *msg, enum method to)
{
    bool is_bodiless = to == METHOD_HEAD || msg->status < 200 || msg->status == 204 || msg->status == 304;
    CHECK(msg->status >= 100);
    CHECK(msg->status <= 599);
    CHECK((msg->framing == FRAMING_NONE) == is_bodiless);
    CHECK(msg->framing != FRAMING_CLOSE || !msg->is_keep_alive);
    CHECK(!msg->has_unknown_coding || !msg->is_keep_alive);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct message msg;
    struct str bytes = str_n((const char *)data, size);
    size_t scanned = 0;
    int len = head_find_end(bytes, &scanned, &fuzz_limits);
    CHECK((len > 0) == (find_in_steps(bytes, 1 + size % 5) > 0));
    struct str head = len > 0 ? str_n(bytes.data, (size_t)len) : bytes;
    for (int i = 0; i < 2; i++) {
        enum method to = i ? METHOD_HEAD : METHOD_GET;
        int err = message_read_reply(&msg, head, to, &fuzz_limits);
        CHECK(err == 0 || err == ERR_UPSTREAM_BAD_REPLY);
        if (err)
            continue;
        CHECK(len > 0);
        check_message(&msg, head);
        check_reply(&msg, to);
        check_caching(&msg);
    }
    return 0;
}
