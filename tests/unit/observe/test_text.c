#include "observe/text.h"

#include <criterion/criterion.h>
#include <jansson.h>

#include "base/check.h"
#include "seed.h"

Test(text, json_escapes_what_json_must)
{
    static const struct {
        const char *in;
        const char *want;
    } rows[] = {
        { "", "" },
        { "plain /path?x=1", "plain /path?x=1" },
        { "a\"b\\c", "a\\\"b\\\\c" },
        { "\n\r\t\x01\x1f\x7f", "\\n\\r\\t\\u0001\\u001f\\u007f" },
        { "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\x8a",
          "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\x8a" },
        { "\xff\xc3", "\\ufffd\\ufffd" },
        { "\xc0\xaf", "\\ufffd\\ufffd" },            /* overlong */
        { "\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd" }, /* a surrogate */
        { "\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd" },
        { "\xe2\x82", "\\ufffd\\ufffd" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[128];
        char *end = text_put_json(out, out + sizeof out, str_of(rows[i].in));
        cr_assert_not_null(end);
        cr_expect(str_eq(str_n(out, (size_t)(end - out)), str_of(rows[i].want)), "row %zu: %.*s", i,
                  (int)(end - out), out);
        size_t len = strlen(rows[i].want);
        cr_expect(len == 0 || !text_put_json(out, out + len - 1, str_of(rows[i].in)), "row %zu", i);
        cr_expect_not_null(text_put_json(out, out + len, str_of(rows[i].in)), "row %zu", i);
    }
}

Test(text, any_bytes_make_json_that_can_be_read)
{
    uint64_t seed = 4;
    for (int round = 0; round < 5000; round++) {
        char in[24], out[24 * 6 + 2];
        size_t len = random_below(&seed, sizeof in + 1);
        for (size_t i = 0; i < len; i++)
            in[i] =
                (char)(random_below(&seed, 2) ? random_below(&seed, 256) : 0x80 + random_below(&seed, 128));
        char *end = text_put_json(out + 1, out + 1 + TEXT_JSON_MAX(len), str_n(in, len));
        cr_assert_not_null(end);
        out[0] = *end = '"';
        json_t *value = json_loadb(out, (size_t)(end + 1 - out), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        cr_assert_not_null(value, "%.*s", (int)(end + 1 - out), out);
        json_decref(value);
    }
}
