/* Where bodies end, whom a request is for, what becomes of the connection. */
#include "read.h"

struct row {
    const char *lines; /* behind the request line, without the empty one */
    int want;
};

static void expect_rows(int minor, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char head[512];
        struct message msg;
        int len = snprintf(head, sizeof head, "POST / HTTP/1.%d\r\n%s\r\n", minor, rows[i].lines);
        int got = read_request(&msg, str_n(head, (size_t)len));
        cr_expect_eq(got, rows[i].want, "row %zu (%s): got %s, want %s", i, rows[i].lines, err_word(got),
                     err_word(rows[i].want));
    }
}

Test(framing, rfc9110_8_6_content_length_is_one_plain_number)
{
    static const struct row rows[] = {
        { "Host: a\r\nContent-Length: 0\r\n", 0 },
        { "Host: a\r\nContent-Length: 5\r\n", 0 },
        { "Host: a\r\nContent-Length: 005\r\n", 0 },
        { "Host: a\r\nContent-Length: 9223372036854775807\r\n", 0 },
        { "Host: a\r\nContent-Length: 9223372036854775808\r\n", ERR_BAD_LENGTH },
        { "Host: a\r\nContent-Length: 18446744073709551616\r\n", ERR_BAD_LENGTH },
        { "Host: a\r\nContent-Length: +5\r\n", ERR_BAD_LENGTH },
        { "Host: a\r\nContent-Length: -5\r\n", ERR_BAD_LENGTH },
        { "Host: a\r\nContent-Length: 0x5\r\n", ERR_BAD_LENGTH },
        { "Host: a\r\nContent-Length: 5.0\r\n", ERR_BAD_LENGTH },
        { "Host: a\r\nContent-Length: \"5\"\r\n", ERR_BAD_LENGTH },
        { "Host: a\r\nContent-Length: 5_0\r\n", ERR_BAD_LENGTH },
        { "Host: a\r\nContent-Length: 5 0\r\n", ERR_BAD_LENGTH },
        { "Host: a\r\nContent-Length:\r\n", ERR_BAD_LENGTH },
        { "Host: a\r\nContent-Length: 5, 5\r\n", ERR_BAD_LENGTH },
        { "Host: a\r\nContent-Length: 5,\r\n", ERR_BAD_LENGTH },
        { "Host: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n", ERR_BAD_LENGTH },
        { "Host: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n", ERR_BAD_LENGTH },
    };
    expect_rows(1, rows, COUNT_OF(rows));
}

Test(framing, rfc9112_6_1_transfer_encoding_is_exactly_chunked)
{
    static const struct row rows[] = {
        { "Host: a\r\nTransfer-Encoding: chunked\r\n", 0 },
        { "Host: a\r\nTransfer-Encoding: CHUNKED\r\n", 0 },
        { "Host: a\r\nTransfer-Encoding: chunked, gzip\r\n", ERR_BAD_CODING },
        { "Host: a\r\nTransfer-Encoding: chunked, chunked\r\n", ERR_BAD_CODING },
        { "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ERR_BAD_CODING },
        { "Host: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", ERR_BAD_CODING },
        { "Host: a\r\nTransfer-Encoding:\r\nTransfer-Encoding: chunked\r\n", ERR_BAD_CODING },
        { "Host: a\r\nTransfer-Encoding: chunked;q=1\r\n", ERR_BAD_CODING },
        { "Host: a\r\nTransfer-Encoding: \"chunked\"\r\n", ERR_BAD_CODING },
        { "Host: a\r\nTransfer-Encoding: ,chunked\r\n", ERR_BAD_CODING },
        { "Host: a\r\nTransfer-Encoding: chunked,\r\n", ERR_BAD_CODING },
        { "Host: a\r\nTransfer-Encoding:\r\n", ERR_BAD_CODING },
        { "Host: a\r\nTransfer-Encoding: chunked chunked\r\n", ERR_BAD_CODING },
        { "Host: a\r\nTransfer-Encoding: chunked\xa0\r\n", ERR_BAD_CODING },
        { "Host: a\r\nTransfer-Encoding: \x0b"
          "chunked\r\n",
          ERR_BAD_FIELD },
        { "Host: a\r\nTransfer-Encoding: chunked\x0c\r\n", ERR_BAD_FIELD },
        { "Host: a\r\nTransfer-Encoding: gzip\r\n", ERR_BAD_CODING },
        { "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n", ERR_UNKNOWN_CODING },
        { "Host: a\r\nTransfer-Encoding: identity, chunked\r\n", ERR_UNKNOWN_CODING },
        { "Host: a\r\nTransfer-Encoding: identity\r\n", ERR_UNKNOWN_CODING },
        { "Host: a\r\nTransfer-Encoding: xchunked\r\n", ERR_UNKNOWN_CODING },
    };
    expect_rows(1, rows, COUNT_OF(rows));
}

Test(framing, rfc9112_6_3_length_beside_coding_is_refused)
{
    static const struct row rows[] = {
        { "Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", ERR_BAD_FRAMING },
        { "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", ERR_BAD_FRAMING },
        { "Host: a\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n", ERR_BAD_FRAMING },
        { "Host: a\r\ntransfer-encoding: chunked\r\ncontent-length: x\r\n", ERR_BAD_FRAMING },
    };
    expect_rows(1, rows, COUNT_OF(rows));
}

Test(framing, rfc9112_6_1_coding_in_http_1_0_is_refused)
{
    static const struct row rows[] = { { "Host: a\r\nTransfer-Encoding: chunked\r\n", ERR_BAD_FRAMING } };
    expect_rows(0, rows, COUNT_OF(rows));
}

Test(framing, rfc9112_3_2_exactly_one_valid_host)
{
    static const struct row rows[] = {
        { "", ERR_BAD_HOST },
        { "Host: a\r\nHost: a\r\n", ERR_BAD_HOST },
        { "Host: a\r\nHost: b\r\n", ERR_BAD_HOST },
        { "Host:\r\n", ERR_BAD_HOST },
        { "Host: a b\r\n", ERR_BAD_HOST },
        { "Host: a,b\r\n", ERR_BAD_HOST },
        { "Host: a/b\r\n", ERR_BAD_HOST },
        { "Host: u@a\r\n", ERR_BAD_HOST },
        { "Host: a#\r\n", ERR_BAD_HOST },
        { "Host: a?\r\n", ERR_BAD_HOST },
        { "Host: a\\b\r\n", ERR_BAD_HOST },
        { "Host: a:x\r\n", ERR_BAD_HOST },
        { "Host: a:99999\r\n", ERR_BAD_HOST },
        { "Host: [\r\n", ERR_BAD_HOST },
        { "Host: [::1]:80\r\n", 0 },
    };
    expect_rows(1, rows, COUNT_OF(rows));
    static const struct row old[] = {
        { "", 0 },
        { "Host: a\r\n", 0 },
        { "Host: a\r\nHost: a\r\n", ERR_BAD_HOST },
        { "Host: a b\r\n", ERR_BAD_HOST },
    };
    expect_rows(0, old, COUNT_OF(old));
}

Test(framing, rfc9112_3_2_2_absolute_form_must_agree_with_host)
{
    static const struct {
        const char *target;
        const char *host;
        int want;
    } rows[] = {
        { "http://a/", "a", 0 },
        { "http://A/", "a:80", 0 },
        { "https://a/", "a:443", 0 },
        { "http://a:8080/", "a:8080", 0 },
        { "http://a/", "b", ERR_BAD_HOST },
        { "http://a/", "a:443", ERR_BAD_HOST },
        { "http://a:81/", "a", ERR_BAD_HOST },
        { "http://u@a/", "a", ERR_BAD_HOST },
        { "http:///", "a", ERR_BAD_HOST },
        { "http://a@b/", "b", ERR_BAD_HOST },
        { "http://a\\b/", "a", ERR_BAD_HOST },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char head[256];
        struct message msg;
        int len =
            snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", rows[i].target, rows[i].host);
        cr_expect_eq(read_request(&msg, str_n(head, (size_t)len)), rows[i].want, "row %zu", i);
    }
}

Test(framing, rfc9110_10_1_1_only_100_continue_is_expected)
{
    static const struct row rows[] = {
        { "Host: a\r\nExpect: 100-continue\r\n", 0 },
        { "Host: a\r\nExpect: 100-Continue\r\n", 0 },
        { "Host: a\r\nExpect: 200-ok\r\n", ERR_BAD_EXPECT },
        { "Host: a\r\nExpect:\r\n", ERR_BAD_EXPECT },
        { "Host: a\r\nExpect: 100-continue, x\r\n", ERR_BAD_EXPECT },
    };
    expect_rows(1, rows, COUNT_OF(rows));

    struct message msg;
    cr_assert_eq(
        read_request(&msg,
                     STR("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")),
        0);
    cr_expect(msg.has_expect_continue);
    cr_assert_eq(
        read_request(&msg,
                     STR("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n")),
        0);
    cr_expect_not(msg.has_expect_continue, "nothing to continue with");
    cr_assert_eq(
        read_request(&msg, STR("PUT / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")), 0);
    cr_expect_not(msg.has_expect_continue, "HTTP/1.0 does not know it");
}

Test(framing, rfc9112_9_3_persistence_follows_version_and_connection)
{
    static const struct {
        int minor;
        const char *connection;
        bool is_kept;
    } rows[] = {
        { 1, "x", true },           { 1, "close", false },
        { 1, "Close", false },      { 1, "keep-alive, close", false },
        { 1, "a, close", false },   { 1, "close\t", false },
        { 1, "\tclose ,x", false }, { 1, "closed", true },
        { 0, "x", false },          { 0, "keep-alive", true },
        { 0, "Keep-Alive", true },  { 0, "keep-alive, close", false },
        { 0, "close", false },      { 1, "", true },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char head[256];
        struct message msg;
        int len = snprintf(head, sizeof head, "GET / HTTP/1.%d\r\nHost: a\r\nConnection: %s\r\n\r\n",
                           rows[i].minor, rows[i].connection);
        cr_assert_eq(read_request(&msg, str_n(head, (size_t)len)), 0, "row %zu", i);
        cr_expect_eq(msg.is_keep_alive, rows[i].is_kept, "row %zu", i);
    }
}

Test(framing, rfc9110_7_8_upgrade_needs_connection_and_http_1_1)
{
    static const struct {
        const char *head;
        bool has_upgrade;
        bool is_websocket;
    } rows[] = {
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n", true, true },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", true,
          true },
        { "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", false, false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n", false, false },
        { "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", false, false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", true, false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n", true,
          false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
          true, false },
        { "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", true, false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: "
          "5\r\n\r\n",
          true, false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: "
          "chunked\r\n\r\n",
          true, false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message msg;
        cr_assert_eq(read_request(&msg, str_of(rows[i].head)), 0, "row %zu", i);
        cr_expect_eq(msg.has_upgrade, rows[i].has_upgrade, "row %zu", i);
        cr_expect_eq(msg.is_websocket, rows[i].is_websocket, "row %zu", i);
    }
}

Test(framing, rfc9112_6_3_where_a_reply_ends)
{
    static const struct {
        const char *head;
        enum method to;
        int want;
        enum framing framing;
        bool is_kept;
    } rows[] = {
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", METHOD_GET, 0, FRAMING_LENGTH, true },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_GET, 0, FRAMING_CHUNKED, true },
        { "HTTP/1.1 200 OK\r\n\r\n", METHOD_GET, 0, FRAMING_CLOSE, false },
        { "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", METHOD_GET, 0, FRAMING_CLOSE, false },
        { "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n", METHOD_GET, 0,
          FRAMING_LENGTH, true },
        { "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", METHOD_GET, 0, FRAMING_LENGTH, false },
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", METHOD_GET, 0, FRAMING_LENGTH,
          false },
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", METHOD_HEAD, 0, FRAMING_NONE, true },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_HEAD, 0, FRAMING_NONE, true },
        { "HTTP/1.1 200 OK\r\n\r\n", METHOD_HEAD, 0, FRAMING_NONE, true },
        { "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", METHOD_GET, 0, FRAMING_NONE, true },
        { "HTTP/1.1 204 No Content\r\n\r\n", METHOD_GET, 0, FRAMING_NONE, true },
        { "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", METHOD_GET, 0, FRAMING_NONE, true },
        { "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", METHOD_GET, 0, FRAMING_NONE, false },
        { "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_GET, 0, FRAMING_NONE,
          false },
        { "HTTP/1.1 100 Continue\r\n\r\n", METHOD_POST, 0, FRAMING_NONE, true },
        { "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", METHOD_GET, 0, FRAMING_NONE, true },
        { "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", METHOD_GET,
          0, FRAMING_NONE, true },
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", METHOD_GET,
          ERR_UPSTREAM_BAD_REPLY, 0, false },
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", METHOD_GET,
          ERR_UPSTREAM_BAD_REPLY, 0, false },
        { "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", METHOD_GET, ERR_UPSTREAM_BAD_REPLY, 0, false },
        { "HTTP/1.1 304 OK\r\nContent-Length: x\r\n\r\n", METHOD_GET, ERR_UPSTREAM_BAD_REPLY, 0, false },
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_GET,
          ERR_UPSTREAM_BAD_REPLY, 0, false },
        { "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_GET, ERR_UPSTREAM_BAD_REPLY, 0,
          false },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", METHOD_GET,
          ERR_UPSTREAM_BAD_REPLY, 0, false },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", METHOD_GET, ERR_UPSTREAM_BAD_REPLY,
          0, false },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", METHOD_GET, ERR_UPSTREAM_BAD_REPLY, 0,
          false },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", METHOD_GET, 0, FRAMING_CLOSE, false },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", METHOD_GET, 0, FRAMING_CLOSE, false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message msg;
        int got = read_reply(&msg, str_of(rows[i].head), rows[i].to);
        cr_assert_eq(got, rows[i].want, "row %zu: %s", i, err_word(got));
        if (got)
            continue;
        cr_expect_eq(msg.framing, rows[i].framing, "row %zu", i);
        cr_expect_eq(msg.is_keep_alive, rows[i].is_kept, "row %zu", i);
    }
}

Test(framing, a_reply_whose_coding_we_cannot_undo_is_marked)
{
    struct message msg;
    cr_assert_eq(
        read_reply(&msg, STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"), METHOD_GET), 0);
    cr_expect(msg.has_unknown_coding);
    cr_expect_eq(msg.framing, FRAMING_CLOSE);
    cr_assert_eq(read_reply(&msg, STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), METHOD_GET),
                 0);
    cr_expect_not(msg.has_unknown_coding);
}

Test(framing, rfc9110_8_6_head_and_304_keep_the_declared_length)
{
    struct message msg;
    cr_assert_eq(read_reply(&msg, STR("HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n"), METHOD_HEAD), 0);
    cr_expect(msg.has_length);
    cr_expect_eq(msg.content_length, 77);
}
