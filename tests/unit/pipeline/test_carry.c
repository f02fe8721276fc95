/* HTTP/1.1 towards a client on a socket: framing, and every byte once and in order, however little the socket
 * takes. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "visitor.h"

#define APP     "upstreams: {app: {primary: [\"@0\"]}}\n"
#define LENGTH  "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd"
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"
#define CLOSING "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcd"

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

#define expect_said(name, want)                                                                        \
    do {                                                                                               \
        const char *value_ = said_field(&said, name);                                                  \
        cr_expect(value_ &&strcmp(value_, want) == 0, "%s is \"%s\", not \"%s\"", name, value_, want); \
    } while (0)

static void app_answers(const char *text)
{
    app_head(&place.apps[0]);
    app_send(&place.apps[0], text);
    if (strstr(text, "Connection: close"))
        app_close(&place.apps[0]);
}

/* --- framing --- */

Test(carry, a_known_length_is_told)
{
    set_up(APP);
    visitor_open(&visitor, &place, 0);
    visitor_say(&visitor, "POST / HTTP/1.1\nHost: a\n\n");
    app_answers(LENGTH);
    said_hear(&said, &visitor, METHOD_POST);
    expect_said("Content-Length:", "4");
    cr_expect_null(said_field(&said, "Transfer-Encoding:"));
    cr_expect_null(said_field(&said, "Connection:"), "it is kept, which needs no word");
    cr_expect(str_eq(buf_str(&said.body), STR("abcd")));
    cr_expect(said.is_whole);
    tear_down();
}

Test(carry, an_unknown_length_is_told_in_chunks)
{
    static const char *const replies[] = { CHUNKED, CLOSING };
    for (unsigned i = 0; i < 2; i++) {
        set_up(APP);
        visitor_open(&visitor, &place, 0);
        visitor_say(&visitor, "POST / HTTP/1.1\nHost: a\n\n");
        app_answers(replies[i]);
        visitor_until(&visitor, "\r\n0\r\n\r\n");
        said_hear(&said, &visitor, METHOD_POST);
        expect_said("Transfer-Encoding:", "chunked");
        cr_expect_null(said_field(&said, "Content-Length:"));
        cr_expect(str_eq(buf_str(&said.body), STR("abcd")));
        cr_expect(said.is_whole);
        cr_expect_eq(visitor.client->state, CLIENT_IDLE, "and the connection is kept");
        tear_down();
    }
}

Test(carry, http_1_0_gets_it_until_the_close)
{
    static const struct {
        const char *lines;
        const char *reply;
        const char *connection;
        bool is_over;
    } rows[] = {
        { "POST / HTTP/1.0\nHost: a\n\n", CHUNKED, "close", true },
        { "POST / HTTP/1.0\nHost: a\nConnection: keep-alive\n\n", CHUNKED, "close", true },
        { "POST / HTTP/1.0\nHost: a\n\n", LENGTH, "close", true },
        { "POST / HTTP/1.0\nHost: a\nConnection: keep-alive\n\n", LENGTH, "keep-alive", false },
        { "POST / HTTP/1.1\nHost: a\nConnection: close\n\n", LENGTH, "close", true },
        { "POST / HTTP/1.1\nHost: a\nConnection: close\n\n", CHUNKED, "close", true },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        set_up(APP);
        visitor_open(&visitor, &place, 0);
        visitor_say(&visitor, rows[i].lines);
        app_answers(rows[i].reply);
        visitor_until(&visitor, "\r\n\r\n");
        if (rows[i].is_over)
            visitor_until_over(&visitor);
        said_hear(&said, &visitor, METHOD_POST);
        const char *connection = said_field(&said, "Connection:");
        cr_expect(connection && strcmp(connection, rows[i].connection) == 0, "row %zu: %s", i, connection);
        cr_expect(str_eq(buf_str(&said.body), STR("abcd")), "row %zu: %.*s", i, STR_FMT(buf_str(&said.body)));
        cr_expect(said.is_whole, "row %zu", i);
        cr_expect_eq(visitor.is_over, rows[i].is_over, "row %zu", i);
        tear_down();
    }
}

Test(carry, trailers_follow_the_last_chunk)
{
    set_up(APP);
    visitor_open(&visitor, &place, 0);
    visitor_say(&visitor, "POST / HTTP/1.1\nHost: a\n\n");
    app_answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sum: "
                "7\r\nContent-Length: 9\r\n\r\n");
    visitor_until(&visitor, "\r\n0\r\n");
    said_hear(&said, &visitor, METHOD_POST);
    cr_expect_str_eq(said.trailers, "X-Sum=7;");
    cr_expect(said.is_whole);
    tear_down();
}

Test(carry, replies_without_a_body_have_none)
{
    static const struct {
        const char *lines;
        enum method method;
        const char *reply;
        const char *length; /* NULL: none */
    } rows[] = {
        { "HEAD / HTTP/1.1\nHost: a\n\n", METHOD_HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "4" },
        { "HEAD / HTTP/1.1\nHost: a\n\n", METHOD_HEAD,
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", NULL },
        { "POST / HTTP/1.1\nHost: a\n\n", METHOD_POST, "HTTP/1.1 204 No Content\r\n\r\n", NULL },
        { "GET / HTTP/1.1\nHost: a\nCache-Control: no-store\nIf-None-Match: \"x\"\n\n", METHOD_GET,
          "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", NULL },
        { "POST / HTTP/1.1\nHost: a\n\n", METHOD_POST, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "0" },
    };
    set_up(APP);
    visitor_open(&visitor, &place, 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) { /* all on one connection: each ends where it should */
        visitor_say(&visitor, rows[i].lines);
        app_answers(rows[i].reply);
        said_hear(&said, &visitor, rows[i].method);
        const char *length = said_field(&said, "Content-Length:");
        cr_expect(rows[i].length ? length && strcmp(length, rows[i].length) == 0 : !length, "row %zu: %s", i,
                  length);
        cr_expect_null(said_field(&said, "Transfer-Encoding:"), "row %zu", i);
        cr_expect(said.is_whole, "row %zu", i);
        cr_expect_eq(buf_len(&visitor.got), 0, "row %zu", i);
    }
    tear_down();
}

Test(carry, interim_heads_come_first_and_never_to_http_1_0)
{
    static const char reply[] = "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" LENGTH;
    set_up(APP);
    visitor_open(&visitor, &place, 0);
    visitor_say(&visitor, "POST / HTTP/1.1\nHost: a\n\n");
    app_answers(reply);
    visitor_until(&visitor, "abcd");
    said_hear(&said, &visitor, METHOD_POST);
    cr_expect_eq(said.status, 103);
    said_hear(&said, &visitor, METHOD_POST);
    cr_expect_eq(said.status, 200);
    visitor_say(&visitor, "POST / HTTP/1.0\nHost: a\n\n");
    app_answers(reply);
    visitor_until(&visitor, "abcd");
    said_hear(&said, &visitor, METHOD_POST);
    cr_expect_eq(said.status, 200);
    tear_down();
}

Test(carry, who_asks_first_is_told_to_go_on)
{
    set_up(APP);
    visitor_open(&visitor, &place, 0);
    visitor_say(&visitor, "POST / HTTP/1.1\nHost: a\nContent-Length: 4\nExpect: 100-continue\n\n");
    visitor_until(&visitor, "HTTP/1.1 100 Continue\r\n\r\n");
    visitor_say(&visitor, "body");
    cr_expect_not_null(strstr(app_head(&place.apps[0]), "\r\n\r\nbody"));
    app_send(&place.apps[0], LENGTH);
    visitor_until(&visitor, "abcd");
    tear_down();
}

/* --- one connection, many requests --- */

Test(carry, pipelined_requests_are_answered_in_their_order)
{
    set_up(APP);
    visitor_open(&visitor, &place, 0);
    visitor_say(&visitor, "POST /1 HTTP/1.1\nHost: a\nContent-Length: 4\n\nbodyPOST /2 HTTP/1.1\nHost: "
                          "a\n\nGET /3 HTTP/1.1\n\n");
    for (unsigned i = 0; i < 2; i++) {
        const char *head = app_head(&place.apps[0]);
        cr_expect_eq(head[6], '1' + (int)i, "%s", head);
        app_send(&place.apps[0], LENGTH);
    }
    visitor_until_over(&visitor);
    static const int statuses[] = { 200, 200, 400 };
    for (unsigned i = 0; i < 3; i++) {
        said_hear(&said, &visitor, METHOD_POST);
        cr_expect_eq(said.status, statuses[i]);
        cr_expect(said.is_whole);
    }
    expect_said("Connection:", "close");
    cr_expect_eq(buf_len(&visitor.got), 0);
    tear_down();
}

Test(carry, a_half_closed_client_gets_its_reply)
{
    set_up(APP);
    visitor_open(&visitor, &place, 0);
    visitor_say(&visitor, "POST / HTTP/1.1\nHost: a\n\n");
    shutdown(visitor.fd, SHUT_WR);
    place_turn(&place, 2);
    app_answers(LENGTH);
    visitor_until_over(&visitor);
    said_hear(&said, &visitor, METHOD_POST);
    cr_expect_eq(said.status, 200);
    cr_expect(said.is_whole);
    tear_down();
}

Test(carry, a_small_body_nobody_wants_is_read_past)
{
    set_up(APP "clients: {body_max: 10B}\n");
    visitor_open(&visitor, &place, 0);
    visitor_say(&visitor, "POST / HTTP/1.1\nHost: a\nContent-Length: 20\n\n0123456789");
    visitor_until(&visitor, "body-too-large");
    said_hear(&said, &visitor, METHOD_POST);
    cr_expect_null(said_field(&said, "Connection:"));
    visitor_say(&visitor, "0123456789POST / HTTP/1.1\nHost: a\n\n");
    app_answers(LENGTH);
    visitor_until(&visitor, "abcd");
    tear_down();
}

Test(carry, a_large_body_nobody_wants_ends_the_connection)
{
    set_up(APP "clients: {body_max: 10B}\n");
    visitor_open(&visitor, &place, 0);
    visitor_say(&visitor, "POST / HTTP/1.1\nHost: a\nContent-Length: 2000000\n\n0123456789");
    visitor_until_over(&visitor);
    said_hear(&said, &visitor, METHOD_POST);
    cr_expect_eq(said.status, 413);
    expect_said("Connection:", "close");
    cr_expect(said.is_whole, "told before it ends");
    tear_down();
}

Test(carry, a_reply_that_breaks_off_ends_with_a_reset)
{
    static const char *const replies[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
    };
    static const char *const asks[] = { "POST / HTTP/1.1\nHost: a\n\n", "POST / HTTP/1.0\n\n",
                                        "GET / HTTP/1.1\nHost: a\n\n" };
    for (unsigned i = 0; i < 6; i++) {
        set_up(APP);
        visitor_open_tcp(&visitor, &place);
        visitor_say(&visitor, asks[i / 2]);
        app_answers(replies[i % 2]);
        visitor_until(&visitor, "ab");
        app_close(&place.apps[0]);
        visitor_until_over(&visitor);
        cr_expect(visitor.is_reset, "it must not look whole: %u", i);
        said_hear(&said, &visitor, METHOD_POST);
        cr_expect_not(said.is_whole);
        tear_down();
    }
}
