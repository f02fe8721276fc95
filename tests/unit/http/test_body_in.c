/* Where bodies end, byte for byte, however they arrive. */
#include "http/body_in.h"
#include "read.h"

static const struct str hello = STR_INIT("5\r\nhello\r\n6;x=\"y\"\r\n world\r\n0\r\n\r\nGET");

/* Feeds bytes in steps; collects the body. Returns the last event, *used is what was taken. */
static int feed(struct body_in *body, struct str bytes, size_t step, char *out, size_t *out_len, size_t *used)
{
    int event = BODY_MORE;
    *out_len = 0;
    *used = 0;
    while (event == BODY_MORE && *used < bytes.len) {
        size_t len = bytes.len - *used < step ? bytes.len - *used : step;
        struct str in = str_n(bytes.data + *used, len);
        struct str piece;
        while ((event = body_in_next(body, &in, &piece)) == BODY_PIECE) {
            memcpy(out + *out_len, piece.data, piece.len);
            *out_len += piece.len;
        }
        *used += len - in.len;
    }
    return event;
}

static int decode(const char *text)
{
    struct body_in body;
    char out[1024];
    size_t len;
    size_t used;
    body_in_init(&body, FRAMING_CHUNKED, 0, 200);
    int event = feed(&body, str_of(text), 1000, out, &len, &used);
    body_in_fini(&body);
    return event;
}

Test(body_in, chunks_are_the_same_however_they_arrive)
{
    for (size_t step = 1; step <= hello.len; step++) {
        struct body_in body;
        char out[64];
        size_t len;
        size_t used;
        body_in_init(&body, FRAMING_CHUNKED, 0, 1024);
        cr_assert_eq(feed(&body, hello, step, out, &len, &used), BODY_END, "step %zu", step);
        assert_str(str_n(out, len), "hello world");
        cr_expect_eq(used, hello.len - 3, "step %zu: the next message stays", step);
        cr_expect_eq(body.total, 11);
        cr_expect(body_in_is_over(&body));
        body_in_fini(&body);
    }
}

Test(body_in, rfc9112_7_1_bad_chunks_are_refused)
{
    static const char *const bad[] = {
        "0x5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "-5\r\nhello\r\n",
        "\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5\t\r\nhello\r\n",
        "5\nhello\r\n",
        "5\rXhello\r\n",
        "5\r\nhelloXX",
        "5\r\nhello\n",
        "5\r\nhello\r0",
        "5\r\nhelloX\r\n",
        "5g\r\nhello\r\n",
        "g\r\n",
        ";x\r\n",
        "5;a\nb\r\nhello",
        "5;a\x01\r\nhello",
        "5;a\rb\r\nhello",
        "5;\x7f\r\n",
        "00000000000000005\r\n",
        "ffffffffffffffff\r\n",
        "8000000000000000\r\n",
        "5,5\r\nhello",
        "5 5\r\nhello",
        "0\r\n\rX",
        "0\r\n\n",
        "0\nX",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_expect_lt(decode(bad[i]), 0, "row %zu: %s", i, bad[i]);
    struct body_in body;
    struct str in = STR("5;\0\r\nhello");
    struct str piece;
    body_in_init(&body, FRAMING_CHUNKED, 0, 100);
    cr_expect_eq(body_in_next(&body, &in, &piece), ERR_BAD_CHUNK, "NUL in an extension");
    body_in_fini(&body);
}

Test(body_in, rfc9112_7_1_good_chunks_pass)
{
    static const char *const good[] = {
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n",
        "a\r\n0123456789\r\n0\r\n\r\n",
        "A;n=v;m=\"q;\"\r\n0123456789\r\n0;last\r\n\r\n",
        "5 ;x\r\nhello\r\n0\r\n\r\n",
        "0\r\nX: y\r\nZ:\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++)
        cr_expect_eq(decode(good[i]), BODY_END, "row %zu", i);
}

Test(body_in, sizes_that_add_up_past_2_63_are_refused)
{
    struct body_in body;
    struct str piece;
    struct str in = STR("1\r\na\r\n7fffffffffffffff\r\n");
    body_in_init(&body, FRAMING_CHUNKED, 0, 100);
    cr_expect_eq(body_in_next(&body, &in, &piece), BODY_PIECE);
    cr_expect_eq(body_in_next(&body, &in, &piece), ERR_BAD_CHUNK);
    cr_expect_eq(body_in_next(&body, &in, &piece), ERR_BAD_CHUNK, "and stays so");
    body_in_fini(&body);
}

Test(body_in, extensions_are_bounded_over_the_whole_body)
{
    struct body_in body;
    int event = 0;
    unsigned chunks = 0;
    body_in_init(&body, FRAMING_CHUNKED, 0, 100);
    for (; event >= 0 && chunks < 10000; chunks++) {
        struct str in = STR("1;0123456789\r\na\r\n");
        struct str piece;
        while ((event = body_in_next(&body, &in, &piece)) == BODY_PIECE)
            ;
    }
    cr_expect_eq(event, ERR_BAD_CHUNK);
    cr_expect_eq(chunks, 4096 / 11 + 1);
    body_in_fini(&body);
}

Test(body_in, rfc9110_6_5_1_forbidden_trailers_are_dropped)
{
    struct body_in body;
    struct str in = STR("0\r\nX-Sum: 1\r\nContent-Length: 5\r\nHost: b\r\nTransfer-Encoding: chunked\r\n"
                        "Authorization: x\r\nConnection: X-Sum\r\nSet-Cookie: a=b\r\nWeir-Purge: all\r\n"
                        "Content_Length: 7\r\nX-Forwarded-For: 1.1.1.1\r\nETag:  \"e\" \r\n\r\nGET");
    struct str piece;
    struct str name;
    struct str value;
    size_t at = 0;
    body_in_init(&body, FRAMING_CHUNKED, 0, 1024);
    cr_assert_eq(body_in_next(&body, &in, &piece), BODY_END);
    assert_str(in, "GET");
    cr_assert(body_in_trailer(&body, &at, &name, &value));
    assert_str(name, "X-Sum");
    assert_str(value, "1");
    cr_assert(body_in_trailer(&body, &at, &name, &value));
    assert_str(name, "ETag");
    assert_str(value, "\"e\"");
    cr_expect_not(body_in_trailer(&body, &at, &name, &value));
    cr_expect_not(body_in_trailer(&body, &at, &name, &value), "still the end");
    body_in_fini(&body);
}

Test(body_in, rfc9112_7_1_2_bad_trailers_are_refused)
{
    static const struct {
        const char *text;
        int want;
    } rows[] = {
        { "0\r\nX : y\r\n\r\n", ERR_BAD_FIELD },      { "0\r\n X: y\r\n\r\n", ERR_BAD_FIELD },
        { "0\r\nX\r\n\r\n", ERR_BAD_FIELD },          { "0\r\nX: y\n\r\n", ERR_BAD_FIELD },
        { "0\r\nX: y\r\n z\r\n\r\n", ERR_BAD_FIELD }, { "0\r\nX: \x01\r\n\r\n", ERR_BAD_FIELD },
        { "0\r\nX: y\r\n\rX", ERR_BAD_FIELD },        { "0\r\n: y\r\n\r\n", ERR_BAD_FIELD },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(decode(rows[i].text), rows[i].want, "row %zu", i);
}

Test(body_in, trailers_are_bounded)
{
    for (size_t step = 1; step < 40; step++) {
        struct body_in body;
        char out[1];
        size_t len;
        size_t used;
        body_in_init(&body, FRAMING_CHUNKED, 0, 20);
        cr_expect_eq(feed(&body, STR("0\r\nX: 0123456789012345\r\n\r\n"), step, out, &len, &used),
                     ERR_HEAD_TOO_LARGE);
        body_in_fini(&body);
        body_in_init(&body, FRAMING_CHUNKED, 0, 20);
        cr_expect_eq(feed(&body, STR("0\r\nX: 012345678901234\r\n\r\n"), step, out, &len, &used), BODY_END);
        body_in_fini(&body);
        body_in_init(&body, FRAMING_CHUNKED, 0, 0);
        cr_expect_eq(feed(&body, STR("0\r\n\r\n"), step, out, &len, &used), BODY_END, "none fit in 0 bytes");
        body_in_fini(&body);
    }
}

Test(body_in, a_length_is_counted)
{
    struct body_in body;
    struct str in = STR("helloGET");
    struct str piece;
    body_in_init(&body, FRAMING_LENGTH, 5, 0);
    cr_assert_eq(body_in_next(&body, &in, &piece), BODY_PIECE);
    assert_str(piece, "hello");
    cr_assert_eq(body_in_next(&body, &in, &piece), BODY_END);
    assert_str(in, "GET");
    cr_expect(body_in_eof(&body));
    body_in_fini(&body);
}

Test(body_in, a_close_before_the_declared_end_is_no_end)
{
    struct body_in body;
    struct str in = STR("hel");
    struct str piece;
    body_in_init(&body, FRAMING_LENGTH, 5, 0);
    cr_expect_eq(body_in_next(&body, &in, &piece), BODY_PIECE);
    cr_expect_eq(body_in_next(&body, &in, &piece), BODY_MORE);
    cr_expect_not(body_in_eof(&body));
    body_in_init(&body, FRAMING_CHUNKED, 0, 100);
    in = STR("5\r\nhello\r\n0\r\n");
    while (body_in_next(&body, &in, &piece) == BODY_PIECE)
        ;
    cr_expect_not(body_in_eof(&body), "the empty line is missing");
    body_in_fini(&body);
}

Test(body_in, close_framing_ends_with_the_connection)
{
    struct body_in body;
    struct str in = STR("anything");
    struct str piece;
    body_in_init(&body, FRAMING_CLOSE, 0, 0);
    cr_expect_eq(body_in_next(&body, &in, &piece), BODY_PIECE);
    assert_str(piece, "anything");
    cr_expect_eq(body_in_next(&body, &in, &piece), BODY_MORE);
    cr_expect_not(body_in_is_over(&body));
    cr_expect(body_in_eof(&body));
    body_in_fini(&body);
}

Test(body_in, no_body_is_over_before_it_begins)
{
    struct body_in body;
    struct str in = STR("GET");
    struct str piece;
    body_in_init(&body, FRAMING_NONE, 7, 0);
    cr_expect_eq(body_in_next(&body, &in, &piece), BODY_END);
    assert_str(in, "GET");
    body_in_init(&body, FRAMING_LENGTH, 0, 0);
    cr_expect_eq(body_in_next(&body, &in, &piece), BODY_END);
    body_in_fini(&body);
    body_in_fini(NULL);
}
