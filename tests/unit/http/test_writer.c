#include "http/writer.h"
#include "read.h"

#include <jansson.h>

Test(writer, a_head_is_written_line_by_line)
{
    char out[256];
    struct writer w;
    writer_init(&w, out, sizeof out);
    writer_status_line(&w, 200, STR(""));
    writer_field(&w, STR("A"), STR("b"));
    writer_field(&w, STR("Empty"), STR(""));
    writer_field_u64(&w, STR("Content-Length"), 18446744073709551615u);
    writer_end(&w);
    assert_str(writer_str(&w),
               "HTTP/1.1 200 OK\r\nA: b\r\nEmpty: \r\nContent-Length: 18446744073709551615\r\n\r\n");
    cr_expect_not(w.is_over);

    writer_init(&w, out, sizeof out);
    writer_request_line(&w, STR("GET"), STR("/a?b"));
    assert_str(writer_str(&w), "GET /a?b HTTP/1.1\r\n");
    writer_init(&w, out, sizeof out);
    writer_status_line(&w, 299, STR(""));
    assert_str(writer_str(&w), "HTTP/1.1 299 \r\n");
    writer_init(&w, out, sizeof out);
    writer_status_line(&w, 404, STR("Nope"));
    assert_str(writer_str(&w), "HTTP/1.1 404 Nope\r\n");
}

Test(writer, it_notices_what_does_not_fit)
{
    char out[64];
    for (size_t size = 0; size < 40; size++) {
        struct writer w;
        memset(out, '#', sizeof out);
        writer_init(&w, out, size);
        writer_status_line(&w, 200, STR("OK"));
        writer_field(&w, STR("Name"), STR("value"));
        writer_end(&w);
        cr_expect_eq(w.is_over, size < 32, "%zu", size);
        cr_expect_leq(w.len, size);
        cr_expect_eq(out[size], '#', "%zu: nothing behind the end", size);
    }
}

Test(writer, a_value_cannot_start_a_new_line)
{
    static const char *const bad[] = { "a\r\nX: y", "a\nb", "a\rb", "a\x01", "\x7f" };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char out[64];
        struct writer w;
        writer_init(&w, out, sizeof out);
        writer_field(&w, STR("N"), str_of(bad[i]));
        cr_expect(w.is_over, "row %zu", i);
        cr_expect_eq(w.len, 0);
    }
}

Test(writer, chunk_heads_are_hex_and_crlf)
{
    char out[18];
    assert_str(str_n(out, chunk_head(out, 0)), "0\r\n");
    assert_str(str_n(out, chunk_head(out, 0x1a)), "1a\r\n");
    assert_str(str_n(out, chunk_head(out, 16)), "10\r\n");
    assert_str(str_n(out, chunk_head(out, UINT64_MAX)), "ffffffffffffffff\r\n");
}

Test(writer, json_strings_are_escaped_and_utf8)
{
    static const struct {
        const char *in;
        const char *want;
    } rows[] = {
        { "plain", "plain" },
        { "a\"b\\c", "a\\\"b\\\\c" },
        { "\n\x1f\x7f", "\\u000a\\u001f\\u007f" },
        { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "\xff", "\\ufffd" },
        { "\xc3", "\\ufffd" },
        { "\xc0\xaf", "\\ufffd\\ufffd" },
        { "\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd" },
        { "\xe2\x82z", "\\ufffd\\ufffdz" },
        { "\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[128];
        struct writer w;
        writer_init(&w, out, sizeof out);
        writer_put_json(&w, str_of(rows[i].in));
        assert_str(writer_str(&w), rows[i].want);
    }
}

Test(writer, rfc9457_every_error_is_a_valid_problem)
{
    for (int row = 0; row < (int)ERR_COUNT; row++) {
        char out[1024];
        struct writer w;
        writer_init(&w, out, sizeof out);
        writer_problem(&w, -1 - row, STR("why \"so\"\n"), STR("id-1"));
        cr_assert_not(w.is_over);
        json_t *json = json_loadb(w.data, w.len, 0, NULL);
        cr_assert_not_null(json, "%.*s", (int)w.len, w.data);
        cr_expect_str_eq(json_string_value(json_object_get(json, "title")), err_text(-1 - row));
        cr_expect_str_eq(json_string_value(json_object_get(json, "reason")), err_word(-1 - row));
        cr_expect_str_eq(json_string_value(json_object_get(json, "detail")), "why \"so\"\n");
        cr_expect_str_eq(json_string_value(json_object_get(json, "request_id")), "id-1");
        cr_expect_eq(json_integer_value(json_object_get(json, "status")), err_status(-1 - row));
        cr_expect_not_null(json_string_value(json_object_get(json, "type")));
        json_decref(json);
    }
}

Test(writer, reasons_are_known_for_what_weir_answers)
{
    for (int row = 0; row < (int)ERR_COUNT; row++) {
        if (err_status(-1 - row))
            cr_expect_gt(status_reason(err_status(-1 - row)).len, 0, "%d", err_status(-1 - row));
    }
    cr_expect_eq(status_reason(799).len, 0);
}
