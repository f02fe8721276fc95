/* http-parser reads behind us: it must neither refuse what we accept, nor be asked where we said no. */
#include "read.h"

Test(parser, unknown_methods_pass)
{
    static const char *const methods[] = { "PROPFIND", "REPORT", "M-SEARCH", "FOO",  "X",
                                           "GETT",     "PO",     "QUERY",    "PURGE" };
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        char head[128];
        struct message msg;
        int len =
            snprintf(head, sizeof head, "%s /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", methods[i]);
        cr_expect_eq(read_request(&msg, str_n(head, (size_t)len)), 0, "%s", methods[i]);
        assert_str(msg.method_name, methods[i]);
        cr_expect_eq(msg.content_length, 3);
    }
}

Test(parser, every_known_method_passes)
{
    static const char *const methods[] = {
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"
    };
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        char head[128];
        struct message msg;
        int len = snprintf(head, sizeof head, "%s /a HTTP/1.1\r\nHost: a\r\n\r\n", methods[i]);
        cr_expect_eq(read_request(&msg, str_n(head, (size_t)len)), 0, "%s", methods[i]);
    }
}

Test(parser, values_of_any_length_pass)
{
    for (size_t len = 0; len < 200; len++) {
        char value[256];
        char lines[1024];
        struct message msg;
        memset(value, 'v', len);
        value[len] = '\0';
        snprintf(lines, sizeof lines, "X-A: %s\r\nUser-Agent: %s  \r\nX-B:%s\r\n", value, value, value);
        get_with(&msg, lines);
        cr_expect_eq(msg.field_count, 4);
        cr_expect_eq(msg.fields[2].value.len, len);
    }
}

Test(parser, long_values_of_fields_it_interprets_pass)
{
    struct message msg;
    get_with(&msg, "Connection: a-long-option-name, another-long-option-name, keep-alive\r\n"
                   "Proxy-Connection: close, this-is-read-as-connection-by-http-parser\r\n"
                   "Content-Length: 0000000000000000000000000000000000000000005\r\n");
    cr_expect(msg.is_keep_alive);
    cr_expect_eq(msg.content_length, 5);
}

Test(parser, odd_but_valid_targets_pass)
{
    static const char *const targets[] = { "/",      "/?",  "/a?b?c", "/%zz",         "/\"<>\\^`{|}",
                                           "/a:b@c", "//a", "/*",     "/a?http://x/y" };
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        char head[128];
        struct message msg;
        int len = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", targets[i]);
        cr_expect_eq(read_request(&msg, str_n(head, (size_t)len)), 0, "%s", targets[i]);
    }
}

Test(parser, heads_over_its_own_limit_of_80_kib_pass_when_ours_allows_them)
{
    static char head[200000];
    struct message msg;
    const struct head_limits wide = { .head_bytes = sizeof head, .line_bytes = sizeof head, .fields = 100 };
    int len = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\nX: %0150000d\r\n\r\n", 0);
    cr_expect_eq(message_read_request(&msg, str_n(head, (size_t)len), &wide), 0);
}
