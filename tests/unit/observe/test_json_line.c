#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/check.h"
#include "observe/access_log.h"
#include "seed.h"

Test(json_line, a_line_is_one_object_and_a_line_feed)
{
    char out[512];
    struct json_line line;
    json_line_start(&line, out, sizeof out);
    json_line_str(&line, "path", STR("/a\"b"));
    json_line_u64(&line, "bytes", UINT64_MAX);
    json_line_i64(&line, "left", INT64_MIN);
    json_line_i64(&line, "right", 7);
    json_line_open(&line, "stages");
    json_line_seconds(&line, "head", 1234567);
    json_line_seconds(&line, "none", 0);
    json_line_close(&line);
    json_line_open(&line, "empty");
    json_line_close(&line);
    json_line_bool(&line, "hit", true);
    json_line_bool(&line, "gone", false);
    uint32_t len = json_line_finish(&line);
    struct str want =
        STR("{\"path\":\"/a\\\"b\",\"bytes\":18446744073709551615,\"left\":-9223372036854775808,\"right\":7,"
            "\"stages\":{\"head\":0.001235,\"none\":0.000000},\"empty\":{},\"hit\":true,\"gone\":false}\n");
    cr_expect(str_eq(str_n(out, len), want), "%.*s", (int)len, out);
}

Test(json_line, seconds_have_six_digits_and_are_rounded)
{
    static const struct {
        int64_t ns;
        const char *want;
    } rows[] = {
        { 499, "{\"s\":0.000000}\n" },          { 500, "{\"s\":0.000001}\n" },
        { 999999500, "{\"s\":1.000000}\n" },    { 12345678901234, "{\"s\":12345.678901}\n" },
        { -1500000000, "{\"s\":-1.500000}\n" }, { -100, "{\"s\":0.000000}\n" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[64];
        struct json_line line;
        json_line_start(&line, out, sizeof out);
        json_line_seconds(&line, "s", rows[i].ns);
        uint32_t len = json_line_finish(&line);
        cr_expect(str_eq(str_n(out, len), str_of(rows[i].want)), "row %zu: %.*s", i, (int)len, out);
    }
}

/* Writes the same members into less and less room. */
Test(json_line, what_does_not_fit_is_left_out_and_the_line_stays_json)
{
    uint64_t seed = 8;
    for (int round = 0; round < 3000; round++) {
        uint32_t size = 3 + random_below(&seed, 200);
        char *out = malloc(size);
        struct json_line line;
        unsigned depth = 0;
        json_line_start(&line, out, size);
        for (int i = 0; i < 20; i++) {
            char key[] = { 'k', (char)('a' + i), 0 };
            switch (random_below(&seed, 6)) {
            case 0:
                json_line_open(&line, key);
                depth++;
                break;
            case 1:
                if (depth > 0) {
                    json_line_close(&line);
                    depth--;
                }
                break;
            case 2:
                json_line_u64(&line, key, random_next(&seed) >> 1);
                break;
            case 3:
                json_line_seconds(&line, key, (int64_t)random_next(&seed));
                break;
            case 4:
                json_line_bool(&line, key, true);
                break;
            default:
                json_line_str(&line, key, str_n("\"\x01long and short\"", random_below(&seed, 18)));
                break;
            }
        }
        for (; depth > 0; depth--)
            json_line_close(&line);
        uint32_t len = json_line_finish(&line);
        cr_assert_leq(len, size);
        json_error_t error;
        json_t *root = json_loadb(out, len, JSON_REJECT_DUPLICATES, &error);
        cr_assert_not_null(root, "%s: %.*s", error.text, (int)len, out);
        json_decref(root);
        free(out);
    }
}
