/* The strict reading of heads: what is refused where http-parser would not. */
#include "read.h"

struct row {
    const char *head;
    int want;
};

static void expect_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct message msg;
        int got = read_request(&msg, str_of(rows[i].head));
        cr_expect_eq(got, rows[i].want, "row %zu: got %s, want %s", i, err_word(got), err_word(rows[i].want));
    }
}

Test(head, request_line_is_method_target_version_with_one_blank_each)
{
    static const struct row rows[] = {
        { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
        { "get / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
        { "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
        { "X-NEW!~ / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
        { "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { " GET / HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "GET / HTTP/1.1x\r\nHost: a\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "GET / HTTP/11.1\r\nHost: a\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "GET / http/1.1\r\nHost: a\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "GET / HTTPS/1.1\r\nHost: a\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "GET /\r\nHost: a\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "GET /\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "GET\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "GET / HTTP/1.1\r\n\r\n", ERR_BAD_HOST },
    };
    expect_rows(rows, COUNT_OF(rows));
}

Test(head, versions_other_than_1_0_and_1_1_are_refused)
{
    static const struct row rows[] = {
        { "GET / HTTP/1.0\r\n\r\n", 0 },
        { "GET / HTTP/0.9\r\nHost: a\r\n\r\n", ERR_BAD_VERSION },
        { "GET / HTTP/1.2\r\nHost: a\r\n\r\n", ERR_BAD_VERSION },
        { "GET / HTTP/2.0\r\nHost: a\r\n\r\n", ERR_BAD_VERSION },
        { "GET / HTTP/9.9\r\nHost: a\r\n\r\n", ERR_BAD_VERSION },
        { "PRI * HTTP/2.0\r\n\r\n", ERR_BAD_VERSION },
    };
    expect_rows(rows, COUNT_OF(rows));
}

Test(head, targets_have_one_of_four_forms)
{
    static const struct row rows[] = {
        { "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
        { "GET * HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_TARGET },
        { "OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_TARGET },
        { "GET a HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_TARGET },
        { "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_TARGET },
        { "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_TARGET },
        { "GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_TARGET },
        { "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", ERR_METHOD_REFUSED },
        { "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", ERR_METHOD_REFUSED },
        { "GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_TARGET },
        { "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_TARGET },
        { "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_TARGET },
        { "GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_TARGET },
        { "GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", ERR_BAD_TARGET },
    };
    expect_rows(rows, COUNT_OF(rows));
}

Test(head, field_lines_are_token_colon_value_crlf)
{
    static const struct row rows[] = {
        { "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", 0 },
        { "GET / HTTP/1.1\r\nHost: a\r\nX: \t v \t \r\n\r\n", 0 },
        { "GET / HTTP/1.1\r\nHost: a\r\nX: \xff\x80\r\n\r\n", 0 },
        { "GET / HTTP/1.1\r\nHost: a\r\nX : v\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\r\nX\t: v\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\n X: v\r\nHost: a\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\n\tX: v\r\nHost: a\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\r\nX: v\r\n w\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\r\nX: v\r\n\tw\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 5\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\r\nNa me: v\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\r\n: v\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\r\nX\x80: v\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\r\nX(: v\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\r\nX: \x0b\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\r\nX: a\nb: c\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\nHost: a\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "GET / HTTP/1.1\rHost: a\r\n\r\n", ERR_BAD_REQUEST_LINE },
        { "GET / HTTP/1.1\r\nHost: a\r\n\rX", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\r\nHost: a\r\n\n", ERR_BAD_FIELD },
    };
    expect_rows(rows, COUNT_OF(rows));
}

Test(head, a_nul_is_refused_anywhere)
{
    const struct str head = STR("GET / HTTP/1.1\r\nHost: a\r\nX: v\r\n\r\n");
    char bytes[64];
    for (size_t i = 0; i < head.len; i++) {
        struct message msg;
        memcpy(bytes, head.data, head.len);
        bytes[i] = '\0';
        cr_expect_lt(read_request(&msg, str_n(bytes, head.len)), 0, "at %zu", i);
    }
}

Test(head, views_point_at_what_was_sent)
{
    struct message msg;
    cr_assert_eq(read_request(&msg, STR("POST /a/b?c=d&e HTTP/1.1\r\nHOST: A.example:80\r\nX-Y:  v w \r\n"
                                        "content-length: 12\r\nx-y: z\r\n\r\n")),
                 0);
    assert_str(msg.method_name, "POST");
    cr_expect_eq(msg.method, METHOD_POST);
    assert_str(msg.target, "/a/b?c=d&e");
    assert_str(msg.path, "/a/b");
    assert_str(msg.query, "c=d&e");
    assert_str(msg.authority, "A.example:80");
    cr_expect_eq(msg.minor, 1);
    cr_expect_eq(msg.field_count, 4);
    assert_str(msg.fields[1].name, "X-Y");
    assert_str(msg.fields[1].value, "v w");
    cr_expect_eq(msg.framing, FRAMING_LENGTH);
    cr_expect_eq(msg.content_length, 12);
    cr_expect(msg.is_keep_alive);
}

Test(head, a_query_is_told_apart_from_none)
{
    struct message msg;
    cr_assert_eq(read_request(&msg, STR("GET /? HTTP/1.1\r\nHost: a\r\n\r\n")), 0);
    cr_expect_not_null(msg.query.data);
    cr_expect_eq(msg.query.len, 0);
    cr_assert_eq(read_request(&msg, STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n")), 0);
    cr_expect_null(msg.query.data);
}

Test(head, absolute_form_becomes_path_and_authority)
{
    struct message msg;
    cr_assert_eq(read_request(&msg, STR("GET http://B:80/x?y HTTP/1.1\r\nHost: b\r\n\r\n")), 0);
    assert_str(msg.target, "/x?y");
    assert_str(msg.path, "/x");
    assert_str(msg.authority, "B:80");
    cr_expect(msg.is_absolute_form);
    cr_expect_not(msg.is_absolute_https);
    cr_assert_eq(read_request(&msg, STR("GET HTTPS://b HTTP/1.1\r\nHost: b:443\r\n\r\n")), 0);
    assert_str(msg.target, "/");
    cr_expect(msg.is_absolute_https);
    cr_assert_eq(read_request(&msg, STR("OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n")), 0);
    assert_str(msg.target, "*");
}

Test(head, spellings_with_marks_are_flagged_not_merged)
{
    struct message msg;
    cr_assert_eq(read_request(&msg, STR("GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\nX_Y: z\r\n\r\n")),
                 0);
    cr_expect_eq(msg.framing, FRAMING_NONE);
    cr_expect(msg.fields[1].is_ambiguous);
    cr_expect_eq(msg.fields[1].id, FIELD_UNKNOWN);
    cr_expect_not(msg.fields[2].is_ambiguous);
}

Test(head, limits_hold_for_lines_fields_and_the_whole)
{
    static char head[20000];
    struct message msg;
    const struct head_limits small = { .head_bytes = 400, .line_bytes = 40, .fields = 3 };
    int len = snprintf(head, sizeof head, "GET /%026d HTTP/1.1\r\nHost: a\r\n\r\n", 0);
    cr_expect_eq(message_read_request(&msg, str_n(head, (size_t)len), &small), 0, "40 bytes are a line");
    len = snprintf(head, sizeof head, "GET /%027d HTTP/1.1\r\nHost: a\r\n\r\n", 0);
    cr_expect_eq(message_read_request(&msg, str_n(head, (size_t)len), &small), ERR_TARGET_TOO_LONG);
    len = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\nX: %038d\r\n\r\n", 0);
    cr_expect_eq(message_read_request(&msg, str_n(head, (size_t)len), &small), ERR_HEAD_TOO_LARGE);
    len = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nX: 2\r\nX: 3\r\n\r\n");
    cr_expect_eq(message_read_request(&msg, str_n(head, (size_t)len), &small), ERR_TOO_MANY_FIELDS);
}

Test(head, more_fields_than_the_arrays_hold_are_refused_whatever_the_limit)
{
    static char head[8192];
    struct message msg;
    const struct head_limits wide = { .head_bytes = 8192, .line_bytes = 8192, .fields = 100000 };
    int len = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 0; i < FIELDS_MAX; i++)
        len += snprintf(head + len, sizeof head - (size_t)len, "X: %u\r\n", i);
    len += snprintf(head + len, sizeof head - (size_t)len, "\r\n");
    cr_expect_eq(message_read_request(&msg, str_n(head, (size_t)len), &wide), ERR_TOO_MANY_FIELDS);
}

Test(head, the_end_is_found_however_the_bytes_arrive)
{
    const struct str head =
        STR("GET / HTTP/1.1\r\nHost: a\r\nX: a long enough value to fill a register\r\n\r\nrest");
    const size_t end = head.len - 4;
    for (size_t step = 1; step < head.len; step++) {
        size_t scanned = 0;
        for (size_t have = step;; have += step) {
            size_t len = have < head.len ? have : head.len;
            int got = head_find_end(str_n(head.data, len), &scanned, &limits);
            cr_assert_eq(got, len >= end ? (int)end : 0, "step %zu, %zu bytes", step, len);
            if (got)
                break;
        }
    }
}

Test(head, bytes_that_cannot_become_a_head_are_refused_at_once)
{
    static const struct {
        const char *bytes;
        int want;
    } rows[] = {
        { "GET / HTTP/1.1\n", ERR_BAD_REQUEST_LINE },
        { "GET / HTTP/1.1\r\nHost: a\n", ERR_BAD_FIELD },
        { "GET / HTTP/1.1\rX", ERR_BAD_REQUEST_LINE },
        { "\x16\x03\x01", ERR_BAD_REQUEST_LINE },
        { "\n", ERR_BAD_REQUEST_LINE },
        { "GET / HTTP/1.1\r", 0 },
        { "GET / HTTP/1.1\r\nHost: a\r\n\r", 0 },
        { "", 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t scanned = 0;
        cr_expect_eq(head_find_end(str_of(rows[i].bytes), &scanned, &limits), rows[i].want, "row %zu", i);
    }
}

Test(head, a_head_that_does_not_end_within_its_limit_is_refused)
{
    static char bytes[20000];
    const struct head_limits small = { .head_bytes = 200, .line_bytes = 100, .fields = 100 };
    memset(bytes, 'a', sizeof bytes);
    size_t scanned = 0;
    cr_expect_eq(head_find_end(str_n(bytes, 102), &scanned, &small), 0);
    cr_expect_eq(head_find_end(str_n(bytes, 103), &scanned, &small), ERR_TARGET_TOO_LONG);
    scanned = 0;
    cr_expect_eq(head_find_end(str_n(bytes, 300), &scanned, &small), ERR_TARGET_TOO_LONG, "in one read");
    memcpy(bytes + 14, "\r\n", 2);
    scanned = 0;
    cr_expect_eq(head_find_end(str_n(bytes, 199), &scanned, &small), 0);
    cr_expect_eq(head_find_end(str_n(bytes, 200), &scanned, &small), ERR_HEAD_TOO_LARGE);
    memcpy(bytes + 196, "\r\n\r\n", 4);
    scanned = 0;
    cr_expect_eq(head_find_end(str_n(bytes, 300), &scanned, &small), 200, "exactly the limit");
    scanned = 0;
    cr_expect_eq(head_find_end(str_n(bytes, 200), &scanned, &(struct head_limits){ 199, 100, 100 }),
                 ERR_HEAD_TOO_LARGE);
}

Test(head, empty_lines_before_a_request_are_the_callers_to_skip)
{
    cr_expect_eq(head_skip_blank(STR("\r\n\r\nGET")), 4);
    cr_expect_eq(head_skip_blank(STR("\r\n\r")), 2);
    cr_expect_eq(head_skip_blank(STR("\nGET")), 0);
    cr_expect_eq(head_skip_blank(STR("GET\r\n")), 0);
    cr_expect_eq(head_skip_blank(STR("")), 0);
}

Test(head, status_lines_are_version_code_reason)
{
    static const struct {
        const char *line;
        bool is_good;
    } rows[] = {
        { "HTTP/1.1 200 OK", true },
        { "HTTP/1.0 404 Not Found", true },
        { "HTTP/1.1 299 ", true },
        { "HTTP/1.1 200", true },
        { "HTTP/1.1 200 \xc3\xa4\t!", true },
        { "HTTP/1.1 20 OK", false },
        { "HTTP/1.1 2000 OK", false },
        { "HTTP/1.1 000 OK", false },
        { "HTTP/1.1 099 OK", false },
        { "HTTP/1.1 600 OK", false },
        { "HTTP/1.1 999 OK", false },
        { "HTTP/1.1 +20 OK", false },
        { "HTTP/1.1  200 OK", false },
        { "HTTP/1.2 200 OK", false },
        { "HTTP/0.9 200 OK", false },
        { "HTTP/2 200 OK", false },
        { "http/1.1 200 OK", false },
        { "ICY 200 OK", false },
        { "HTTP/1.1 200\tOK", false },
        { "HTTP/1.1 200 a\x01", false },
        { " HTTP/1.1 200 OK", false },
        { "HTTP/1.1 2a0 OK", false },
        { "", false },
        { "HTTP/1.1 200-OK", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char head[128];
        struct message msg;
        int len = snprintf(head, sizeof head, "%s\r\nContent-Length: 0\r\n\r\n", rows[i].line);
        int got = read_reply(&msg, str_n(head, (size_t)len), METHOD_GET);
        cr_expect_eq(got, rows[i].is_good ? 0 : ERR_UPSTREAM_BAD_REPLY, "%s", rows[i].line);
    }
}

Test(head, replies_are_read_as_strictly_as_requests)
{
    static const char *const bad[] = {
        "HTTP/1.1 200 OK\nX: v\n\n",
        "HTTP/1.1 200 OK\r\nX : v\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: v\r\n w\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\n X: v\r\n\r\n",
        "HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
        "<html></html>\r\n\r\n",
    };
    struct message msg;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_expect_eq(read_reply(&msg, str_of(bad[i]), METHOD_GET), ERR_UPSTREAM_BAD_REPLY, "row %zu", i);
    cr_expect_eq(read_reply(&msg, STR("HTTP/1.1 200 O\0K\r\n\r\n"), METHOD_GET), ERR_UPSTREAM_BAD_REPLY);
    cr_expect_eq(read_reply(&msg, STR("HTTP/1.1 200 OK\r\nX: \0\r\n\r\n"), METHOD_GET),
                 ERR_UPSTREAM_BAD_REPLY);
}
