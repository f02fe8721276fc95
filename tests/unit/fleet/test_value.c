/* A stored answer as bytes, and what is refused on the way back. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/check.h"
#include "fleet/digest.h"
#include "fleet/value.h"

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"

static struct value sample(void)
{
    return (struct value){
        .primary = STR("acme\0http\0example.com\0/items"),
        .selector = STR("v2\0app\0GET\0"),
        .status = 200,
        .flags = VALUE_MUST_REVALIDATE | VALUE_IS_GUESSED,
        .seq = 0xfedcba9876543210u,
        .stored_wall_ms = 1700000000123,
        .fetched_wall_ms = 1700000000100,
        .lifetime_ms = 60000,
        .initial_age_ms = 3,
        .stale_while_revalidate_ms = -1,
        .stale_if_error_ms = 3600000,
        .etag = STR("\"abc\""),
        .vary = STR("accept,accept-encoding"),
        .vary_key = STR("json\0gzip"),
        .tags = STR("items\0item-7"), /* and the literal's own NUL */
        .domain = STR("main"),
        .position = STR("0/16B3748"),
        .head = STR(HEAD),
        .body = STR("hello"),
    };
}

struct bytes {
    char *data; /* exactly as long: the sanitizer sees a read past it */
    size_t len;
};

static struct bytes write_out(const struct value *value)
{
    struct bytes out = { .len = value_bytes(value) };
    cr_assert_gt(out.len, 0);
    out.data = malloc(out.len);
    value_write(value, out.data);
    return out;
}

static bool reads_back(const struct value *value, struct value *out)
{
    static struct bytes last;
    free(last.data);
    last = write_out(value);
    return value_read(str_n(last.data, last.len), out);
}

Test(value, comes_back_as_it_was)
{
    struct value value = sample();
    struct value got;
    value.tags.len++;
    cr_assert(reads_back(&value, &got));
    cr_expect(str_eq(got.primary, value.primary));
    cr_expect(str_eq(got.selector, value.selector));
    cr_expect_eq(got.status, 200);
    cr_expect_eq(got.flags, value.flags);
    cr_expect_eq(got.seq, value.seq);
    cr_expect_eq(got.stored_wall_ms, value.stored_wall_ms);
    cr_expect_eq(got.fetched_wall_ms, value.fetched_wall_ms);
    cr_expect_eq(got.lifetime_ms, value.lifetime_ms);
    cr_expect_eq(got.initial_age_ms, value.initial_age_ms);
    cr_expect_eq(got.stale_while_revalidate_ms, -1);
    cr_expect_eq(got.stale_if_error_ms, value.stale_if_error_ms);
    cr_expect(str_eq(got.etag, value.etag));
    cr_expect_null(got.last_modified.data, "none stays none");
    cr_expect(str_eq(got.vary, value.vary));
    cr_expect(str_eq(got.vary_key, value.vary_key));
    cr_expect(str_eq(got.tags, value.tags));
    cr_expect(str_eq(got.domain, value.domain));
    cr_expect(str_eq(got.position, value.position));
    cr_expect(str_eq(got.head, value.head));
    cr_expect(str_eq(got.body, value.body));
}

Test(value, takes_the_body_in_pieces)
{
    struct value value = sample();
    struct value got;
    char a[] = "hel";
    char b[] = "lo";
    struct iovec pieces[] = { { a, 3 }, { NULL, 0 }, { b, 2 } };
    value.tags = STR("");
    value.body = STR("not this");
    value.pieces = pieces;
    value.piece_count = 3;
    cr_assert(reads_back(&value, &got));
    cr_expect(str_eq(got.body, STR("hello")));
}

Test(value, keeps_what_is_empty_apart_from_what_is_not_there)
{
    struct value value = { .status = 204, .head = STR("HTTP/1.1 204 No Content\r\n"), .etag = STR("") };
    struct value got;
    cr_assert(reads_back(&value, &got));
    cr_expect_not_null(got.etag.data);
    cr_expect_eq(got.etag.len, 0);
    cr_expect_null(got.last_modified.data);
    cr_expect_eq(got.body.len, 0);
}

Test(value, holds_a_signpost)
{
    struct value signpost = { .primary = STR("p"), .selector = STR("s"), .vary = STR("accept") };
    struct value got;
    cr_assert(reads_back(&signpost, &got));
    cr_expect_eq(got.status, 0);
    cr_expect(str_eq(got.vary, STR("accept")));
    signpost.body = STR("x");
    cr_expect_not(reads_back(&signpost, &got), "a signpost has no body");
    signpost.body = STR("");
    signpost.vary = STR("");
    cr_expect_not(reads_back(&signpost, &got), "and points somewhere");
}

static const char *const bad_heads[] = {
    "",
    "HTTP/1.1 200 OK",
    "HTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n",
    "HTTP/1.1 404 Not Found\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 200 OK\n",
    "HTTP/1.1 200 O\x01K\r\n",
    "HTTP/1.1  200 OK\r\n",
    "200 OK\r\n",
    "HTTP/1.1 200 OK\r\nA b\r\n",
    "HTTP/1.1 200 OK\r\nA : b\r\n",
    "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n",
    "HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: x\r\n",
    "HTTP/1.1 200 OK\r\nA: b\nSet-Cookie: x\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
    "HTTP/1.1 200 OK\r\nConnection: close\r\n",
    "HTTP/1.1 200 OK\r\nUpgrade: websocket\r\n",
    "HTTP/1.1 200 OK\r\nContent_Length: 5\r\n",
    "HTTP/1.1 200 OK\r\nAge: 5\r\n",
    "HTTP/1.1 200 OK\r\nWeir-Position: 5\r\n",
    "HTTP/1.1 200 OK\r\nX-Request-Id: 5\r\n",
};

Test(value, refuses_a_head_that_may_not_be_sent)
{
    for (size_t i = 0; i < COUNT_OF(bad_heads); i++) {
        struct value value = sample();
        struct value got;
        value.tags = STR("");
        value.head = str_of(bad_heads[i]);
        cr_expect_not(reads_back(&value, &got), "row %zu: %s", i, bad_heads[i]);
    }
}

Test(value, refuses_parts_that_cannot_be)
{
    struct value got;
    for (unsigned i = 0; i < 9; i++) {
        struct value value = sample();
        value.tags = STR("");
        switch (i) {
        case 0:
            value.tags = STR("not ended");
            break;
        case 1:
            value.tags = STR("a\0\0");
            value.tags.len = 3;
            break;
        case 2:
            value.etag = STR("\"a\r\nSet-Cookie: x\"");
            break;
        case 3:
            value.vary = STR("");
            break;
        case 4:
            value.status = 101;
            break;
        case 5:
            value.stored_wall_ms = -5;
            break;
        case 6:
            value.position = STR("a\nb");
            break;
        case 7:
            value.last_modified = STR("\x7f");
            break;
        case 8:
            value.status = 65535;
            break;
        }
        cr_expect_not(reads_back(&value, &got), "case %u", i);
    }
}

Test(value, bounds_its_parts_and_times)
{
    static char big[VALUE_KEY_MAX + 1];
    struct value value = sample();
    struct value got;
    value.tags = STR("");
    value.primary = str_n(big, VALUE_KEY_MAX);
    cr_assert(reads_back(&value, &got));
    value.primary.len++;
    cr_expect_eq(value_bytes(&value), 0);
    value.primary.len = 1;
    value.lifetime_ms = INT64_MAX;
    value.stale_if_error_ms = INT64_MAX;
    cr_assert(reads_back(&value, &got));
    cr_expect_gt(got.lifetime_ms, (int64_t)100000 * 365 * 86400 * 1000);
    cr_expect_lt(got.lifetime_ms, INT64_MAX / 1024, "sums of it do not overflow");
}

static uint64_t dice = 88172645463325252u;

static uint64_t roll(void)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    return dice ^= dice << 17;
}

/* What a forger would do: the checksum fits whatever the rest says. */
static void sign(struct bytes *bytes)
{
    struct str covered[] = { str_n(bytes->data, 8), str_n(bytes->data + 16, bytes->len - 16) };
    uint64_t sum = digest64_of(covered, 2);
    for (unsigned i = 0; i < 8; i++)
        bytes->data[8 + i] = (char)(sum >> (8 * i));
}

Test(value, refuses_every_flipped_bit_and_every_cut)
{
    struct value value = sample();
    struct value got;
    value.tags.len++;
    struct bytes bytes = write_out(&value);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ 1 << bit % 8);
        cr_assert_not(value_read(str_n(bytes.data, bytes.len), &got), "bit %zu", bit);
        bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ 1 << bit % 8);
    }
    for (size_t len = 0; len < bytes.len; len++) {
        struct bytes cut = { malloc(len ? len : 1), len };
        memcpy(cut.data, bytes.data, len);
        cr_assert_not(value_read(str_n(cut.data, len), &got), "cut at %zu", len);
        if (len >= 16) {
            sign(&cut);
            cr_assert_not(value_read(str_n(cut.data, len), &got), "cut at %zu and signed", len);
        }
        free(cut.data);
    }
    free(bytes.data);
}

/* Whatever a forger gets through must be a value that could have been written, byte by byte. */
static unsigned forge(struct bytes *bytes)
{
    struct value got;
    sign(bytes);
    if (!value_read(str_n(bytes->data, bytes->len), &got))
        return 0;
    cr_assert_eq(value_bytes(&got), bytes->len);
    struct bytes again = write_out(&got);
    cr_assert_eq(memcmp(again.data, bytes->data, bytes->len), 0);
    free(again.data);
    return 1;
}

Test(value, survives_forgers)
{
    struct value value = sample();
    value.tags.len++;
    struct bytes bytes = write_out(&value);
    unsigned passed = 0;
    for (unsigned round = 0; round < 200000; round++) {
        struct bytes copy = { malloc(bytes.len), bytes.len };
        memcpy(copy.data, bytes.data, bytes.len);
        for (uint64_t n = roll() % 4 + 1; n > 0; n--) {
            /* Mostly in the numbers, where the harm is. */
            size_t at = roll() % (roll() % 3 ? 130 : bytes.len);
            copy.data[at] = (char)(roll() % 2 ? roll() : (uint64_t)(copy.data[at] ^ 1 << roll() % 8));
        }
        passed += forge(&copy);
        free(copy.data);
    }
    cr_assert_gt(passed, 1000, "the test reaches the far side of the checksum");
    for (unsigned round = 0; round < 20000; round++) {
        struct bytes noise = { NULL, 128 + roll() % 200 };
        noise.data = malloc(noise.len);
        for (size_t i = 0; i < noise.len; i++)
            noise.data[i] = (char)(roll() % 3 ? 0 : roll());
        memcpy(noise.data, bytes.data, 8);
        forge(&noise);
        free(noise.data);
    }
    free(bytes.data);
}
