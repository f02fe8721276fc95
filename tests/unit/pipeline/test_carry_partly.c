/* A client whose socket takes little: every byte once and in order. */
#include <stdlib.h>

#include "visitor.h"

#define APP "upstreams: {app: {primary: [\"@0\"]}}\n"

static struct place place;
static struct visitor visitor;
static struct said said;

static void set_up(const char *yaml)
{
    place_open(&place, yaml);
}

static void tear_down(void)
{
    said_fini(&said);
    visitor_close(&visitor);
    place_close(&place);
}

static uint32_t seed;

static size_t some(size_t most)
{
    seed = seed * 1664525u + 1013904223u;
    return 1 + (seed >> 8) % most;
}

static char *bytes_of(size_t n)
{
    char *bytes = malloc(n);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)('a' + (i * 7 + i / 251 + i / 65536) % 26);
    return bytes;
}

/* The app sends in pieces of its own, chunked or not, and the visitor reads as it likes: what arrives is what
 * was sent. */
static void trickle(const char *lines, enum method method, const char *head, bool is_chunked,
                    const char *bytes, size_t size)
{
    size_t sent = 0;
    bool is_ended = !is_chunked;
    struct app *app = &place.apps[0];
    visitor_open(&visitor, &place, 4608); /* the least a socket has */
    visitor_say(&visitor, lines);
    app_head(app);
    app_send(app, head);
    for (unsigned i = 0; i < 400000; i++) {
        if (sent < size && some(3) == 1) {
            size_t n = some(some(2) == 1 ? 300 : 20000);
            char line[24];
            n = n < size - sent ? n : size - sent;
            if (is_chunked) {
                snprintf(line, sizeof line, "%zx\r\n", n);
                app_send(app, line);
            }
            app_send_n(app, bytes + sent, n);
            if (is_chunked)
                app_send(app, "\r\n");
            sent += n;
        }
        if (sent == size && !is_ended) {
            app_send(app, "0\r\n\r\n");
            is_ended = true;
        }
        loop_turn(place.lane->loop, 0);
        if (some(2) == 1)
            visitor_read(&visitor, some(4000));
        if (sent == size && is_ended && !place.lane->now->requests && !visitor_read(&visitor, 65536))
            break;
    }
    cr_assert_eq(place.lane->now->requests, 0, "it comes to its end; %zu of %zu bytes arrived",
                 buf_len(&visitor.got), size);
    said_fini(&said);
    said_read(&said, &visitor, method);
    cr_assert(said.is_whole);
    cr_assert_eq(buf_len(&said.body), size);
    cr_expect_eq(memcmp(buf_str(&said.body).data, bytes, size), 0, "every byte once and in order");
    cr_expect_eq(buf_len(&visitor.got), 0);
}

#define STORED "Cache-Control: max-age=60\r\n"

Test(carry_partly, every_byte_once_and_in_order)
{
    static const struct {
        const char *lines;
        enum method method;
        const char *head;
        bool is_chunked;
    } rows[] = {
        { "POST / HTTP/1.1\nHost: a\n\n", METHOD_POST, "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n",
          false },
        { "POST / HTTP/1.1\nHost: a\n\n", METHOD_POST,
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true },
        { "POST / HTTP/1.0\nHost: a\n\n", METHOD_POST,
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true },
        { "GET / HTTP/1.1\nHost: a\n\n", METHOD_GET,
          "HTTP/1.1 200 OK\r\n" STORED "Content-Length: 300000\r\n\r\n", false },
        { "GET / HTTP/1.1\nHost: a\n\n", METHOD_GET,
          "HTTP/1.1 200 OK\r\n" STORED "Transfer-Encoding: chunked\r\n\r\n", true },
        { "GET / HTTP/1.0\nHost: a\n\n", METHOD_GET,
          "HTTP/1.1 200 OK\r\n" STORED "Transfer-Encoding: chunked\r\n\r\n", true },
    };
    char *bytes = bytes_of(300000);
    for (unsigned i = 0; i < COUNT_OF(rows) * 3; i++) {
        seed = i / COUNT_OF(rows) + 1;
        set_up(APP);
        trickle(rows[i % COUNT_OF(rows)].lines, rows[i % COUNT_OF(rows)].method,
                rows[i % COUNT_OF(rows)].head, rows[i % COUNT_OF(rows)].is_chunked, bytes, 300000);
        tear_down();
    }
    free(bytes);
}

Test(carry_partly, also_of_what_is_too_large_to_store)
{
    char *bytes = bytes_of(600000);
    for (seed = 1; seed < 3; seed++) {
        set_up("upstreams: {app: {primary: [\"@0\"], buffer: {reply: 64KiB}}}\ncache: {memory: 1MiB, "
               "object_max: 64KiB}\n");
        trickle("GET / HTTP/1.1\nHost: a\n\n", METHOD_GET,
                "HTTP/1.1 200 OK\r\n" STORED "Transfer-Encoding: chunked\r\n\r\n", true, bytes, 600000);
        tear_down();
    }
    free(bytes);
}

Test(carry_partly, a_large_hit_through_a_small_socket)
{
    char *bytes = bytes_of(300000);
    set_up(APP);
    seed = 1;
    trickle("GET / HTTP/1.1\nHost: a\n\n", METHOD_GET,
            "HTTP/1.1 200 OK\r\n" STORED "Content-Length: 300000\r\n\r\n", false, bytes, 300000);
    visitor_say(&visitor, "GET / HTTP/1.1\nHost: a\nRange: bytes=100000-\n\nGET / HTTP/1.1\nHost: a\n\n");
    while (buf_len(&visitor.got) < 500000 || place.lane->now->requests > 0) {
        visitor_read(&visitor, some(9000));
        loop_turn(place.lane->loop, 0);
        cr_assert_not(visitor.is_over);
    }
    for (unsigned i = 0; i < 2; i++) {
        said_hear(&said, &visitor, METHOD_GET);
        size_t from = i == 0 ? 100000 : 0;
        cr_expect_eq(said.status, i == 0 ? 206 : 200);
        cr_assert_eq(buf_len(&said.body), 300000 - from);
        cr_expect_eq(memcmp(buf_str(&said.body).data, bytes + from, 300000 - from), 0);
    }
    free(bytes);
    tear_down();
}

/* A request that waits for its app, on a socket that takes nothing more. */
static struct request *blocked_request(void)
{
    static char text[4096];
    visitor_open(&visitor, &place, 4608);
    visitor_say(&visitor, "GET / HTTP/1.1\nHost: a\n\n");
    app_head(&place.apps[0]);
    struct request *req = visitor.client->req;
    snprintf(text, sizeof text, "HTTP/1.1 103 Early Hints\r\nLink: <%0*d>\r\n", 4000, 0);
    for (unsigned i = 0; i < 1000 && client_http1.held(req) == 0; i++)
        client_http1.interim(req, str_of(text));
    cr_assert_gt(client_http1.held(req), 0);
    return req;
}

static void begin(struct request *req, int64_t length)
{
    struct writer w;
    writer_init(&w, req->lane->batch.head, 4096);
    writer_status_line(&w, 200, STR("OK"));
    client_http1.begin(req, &w, length);
}

/* The last reply, behind the interim ones. */
static void hear_last(void)
{
    do {
        said_hear(&said, &visitor, METHOD_GET);
    } while (said.status == 103);
}

Test(carry_partly, a_head_waits_behind_a_full_socket)
{
    struct iovec piece = { (void *)(uintptr_t) "abcd", 4 };
    set_up(APP);
    struct request *req = blocked_request();
    begin(req, 4);
    cr_expect_eq(client_http1.write(req, &piece, 1, WRITE_LAST), 0,
                 "pieces come again when the socket takes some");
    cr_expect_not(client_http1.needs_write(req));
    cr_expect(client_http1.is_blocked(req));
    cr_expect_eq(client_http1.write(req, &piece, 1, WRITE_LAST), 0);
    while (client_http1.held(req) > 0) {
        visitor_read(&visitor, 65536);
        place_turn(&place, 1);
    }
    visitor_read(&visitor, 65536);
    cr_expect_eq(client_http1.write(req, &piece, 1, WRITE_LAST), 4);
    hear_last();
    cr_expect(str_eq(buf_str(&said.body), STR("abcd")));
    cr_expect(said.is_whole);
    client_close(visitor.client); /* no app will answer that request */
    tear_down();
}

Test(carry_partly, copies_are_kept_for_a_full_socket)
{
    struct iovec pieces[2] = { { (void *)(uintptr_t) "ab", 2 }, { (void *)(uintptr_t) "cd", 2 } };
    set_up(APP);
    struct request *req = blocked_request();
    begin(req, -1);
    cr_expect_eq(client_http1.write(req, pieces, 1, WRITE_COPY), 2);
    cr_expect_eq(client_http1.write(req, pieces + 1, 1, WRITE_COPY | WRITE_LAST), 2);
    hear_last();
    cr_expect(str_eq(buf_str(&said.body), STR("abcd")));
    cr_expect(said.is_whole);
    client_close(visitor.client); /* no app will answer that request */
    tear_down();
}

Test(carry_partly, the_end_of_an_empty_body_is_not_lost_behind_a_full_socket)
{
    set_up(APP);
    struct request *req = blocked_request();
    begin(req, -1);
    cr_expect_eq(client_http1.write(req, NULL, 0, WRITE_LAST), 0);
    hear_last();
    cr_expect(said.is_whole, "the last chunk came");
    client_close(visitor.client); /* no app will answer that request */
    tear_down();
}

Test(carry_partly, nothing_more_is_taken_for_a_client_who_left)
{
    struct iovec piece = { (void *)(uintptr_t) "abcd", 4 };
    set_up(APP);
    visitor_open(&visitor, &place, 0);
    visitor_say(&visitor, "GET / HTTP/1.1\nHost: a\n\n");
    app_head(&place.apps[0]);
    struct request *req = visitor.client->req;
    request_hold(req);
    client_close(visitor.client);
    begin(req, 4);
    cr_expect_eq(client_http1.write(req, &piece, 1, WRITE_LAST), -1);
    cr_expect_eq(client_http1.held(req), 0);
    client_http1.want_upload(req, true);
    client_http1.interim(req, STR("HTTP/1.1 103 Early Hints\r\n"));
    request_drop(req);
    tear_down();
}
