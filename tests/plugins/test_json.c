/* rw_split's reader of JSON: what is JSON, its values, its texts. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "json.h"

#define STR(literal) ((struct weir_str){ literal, sizeof literal - 1 })

static struct weir_str str_of(const char *text)
{
    return (struct weir_str){ text, strlen(text) };
}

/* In memory of just its size, so that a sanitizer sees a byte read beyond it. */
static bool is_valid(struct weir_str text)
{
    char *copy = malloc(text.len + 1);
    bool said;

    memcpy(copy + 1, text.data, text.len);
    said = json_is_valid((struct weir_str){ copy + 1, text.len });
    free(copy);
    return said;
}

Test(json, what_is_json_and_what_is_not)
{
    static const char *const good[] = {
        "0",
        "-0",
        "-1.5e+10",
        "1E5",
        "true",
        "false",
        "null",
        "\"\"",
        " [ ] ",
        "{}",
        "[1,2 , 3]",
        "\t{\r\n\"a\" : 1}",
        "{\"a\":[{\"b\":{}},[[]],\"c\"],\"d\":null}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00Ff\"",
        "\"\xc3\xbc\xf0\x9f\x98\x80\"",
        "\"\\ud800\"",
        "[\"\x7f\"]",
    };
    static const char *const bad[] = {
        "",
        " ",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1e",
        "1e+",
        "0x1",
        "tru",
        "True",
        "NaN",
        "nul",
        "'a'",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u123",
        "\"\n\"",
        "\"\t\"",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "[1}",
        "{\"a\":1]",
        "1 2",
        "[]]",
        "// x\n1",
        "[1]/**/",
        "\xef\xbb\xbf{}",
        "\"\xff\"",
        "\"\xc0\xa2\"",
        "\"\xed\xa0\x80\"",
        "\"\xc3\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xe0\x80\xaf\"",
        "\xc2\xa0[]",
        "\v[]",
    };

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_assert(is_valid(str_of(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_not(is_valid(str_of(bad[i])), "%s", bad[i]);
    cr_assert_not(is_valid(STR("\"a\0\"")));
    cr_assert_not(is_valid(STR("1\0")));
    cr_assert_not(is_valid(STR("\"\\\0\"")));
    cr_assert_not(json_is_valid((struct weir_str){ 0 }));
}

Test(json, it_is_as_deep_as_is_said)
{
    char text[2 * (JSON_DEPTH_MAX + 1)];

    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    cr_assert(is_valid((struct weir_str){ text, 2 * JSON_DEPTH_MAX }));
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    cr_assert_not(is_valid((struct weir_str){ text, 2 * (JSON_DEPTH_MAX + 1) }));
}

Test(json, members_are_walked_in_their_order)
{
    static const char text[] =
        " { \"a\" : [1, {\"x\":\"]}\"}] ,\"q\\\"\":\"v, \\\"w\" , \"\" :null,\"a\":-1 } ";
    static const char *const want[][2] = {
        { "a", "[1, {\"x\":\"]}\"}]" },
        { "q\\\"", "\"v, \\\"w\"" },
        { "", "null" },
        { "a", "-1" },
    };
    struct json_walk walk = json_walk(STR(text));
    size_t i = 0;

    for (; json_next(&walk); i++) {
        cr_assert_lt(i, 4);
        cr_assert_eq(walk.name.len, strlen(want[i][0]), "%zu", i);
        cr_assert_eq(memcmp(walk.name.data, want[i][0], walk.name.len), 0);
        cr_assert_eq(walk.value.len, strlen(want[i][1]), "%zu: %.*s", i, (int)walk.value.len,
                     walk.value.data);
        cr_assert_eq(memcmp(walk.value.data, want[i][1], walk.value.len), 0);
    }
    cr_assert_eq(i, 4);
    walk = json_walk(STR("[]"));
    cr_assert_not(json_next(&walk));
    walk = json_walk(STR("12"));
    cr_assert_not(json_next(&walk));
}

Test(json, a_texts_escapes_are_characters)
{
    static const struct {
        const char *value, *text;
    } rows[] = {
        { "\"\"", "" },
        { " \"a\\n\\t\\\"\\\\\\/\\b\\f\\r\" ", "a\n\t\"\\/\b\f\r" },
        { "\"\\u0041\\u00fc\\u20AC\\uD83D\\ude00\"", "A\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "\"\\uffff\"", "\xef\xbf\xbf" },
        { "\"\\ud800\"", NULL },
        { "\"\\ud800x\"", NULL },
        { "\"\\ud800\\n\"", NULL },
        { "\"\\ud800\\u0041\"", NULL },
        { "\"\\udc00\"", NULL },
        { "12", NULL },
        { "null", NULL },
        { "[\"a\"]", NULL },
    };
    char text[64];
    size_t len;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert(json_is_valid(str_of(rows[i].value)), "row %zu", i);
        cr_assert_eq(json_text(str_of(rows[i].value), text, &len), rows[i].text != NULL, "row %zu", i);
        if (rows[i].text) {
            cr_assert_eq(len, strlen(rows[i].text), "row %zu", i);
            cr_assert_eq(memcmp(text, rows[i].text, len), 0, "row %zu", i);
        }
    }
    cr_assert(json_text(STR("\"\\u0000\""), text, &len));
    cr_assert_eq(len, 1);
}

static bool finds(const char *text, const char *path, const char *want)
{
    struct weir_str found = json_find(str_of(text), path);

    if (!found.data || !want)
        return !found.data && !want;
    return found.len == strlen(want) && memcmp(found.data, want, found.len) == 0;
}

Test(json, a_path_leads_to_a_value)
{
    cr_assert(
        finds("{\"replication\": {\"lag\": 1, \"position\" : \"0/1\" }}", "replication.position", "\"0/1\""));
    cr_assert(finds("{\"a\":1,\"a\":2}", "a", "2"));
    cr_assert(finds("{\"a\":{\"b\":1},\"a\":{}}", "a.b", NULL));
    cr_assert(finds("{\"a\":[{\"b\":1}]}", "a.b", NULL));
    cr_assert(finds("{\"ab\":1}", "a", NULL));
    cr_assert(finds("{\"a\":1}", "a.b", NULL));
    cr_assert(finds("{\"a\":1", "a", NULL));
    cr_assert(finds("", "a", NULL));
}

/* Seeds with bytes changed, cut and doubled: what passes is walked and read to its end, within its bounds. */
Test(json, noise_is_survived)
{
    static const char *const seeds[] = {
        "{\"query\":\"{a}\",\"variables\":{\"x\":[1,2,{\"y\":null}]},\"operationName\":\"A\\u00e4\"}",
        "[[[\"\\ud83d\\ude00\"],-1.5e3],{\"a\":{\"b\":[]}}]",
    };
    static const char bytes[] = "{}[]\",:\\u0019eE-+. \n\0\xc3\xa4";
    uint32_t state = 1;
    unsigned valid = 0;

    for (unsigned round = 0; round < 100000; round++) {
        const char *seed = seeds[round % 2];
        size_t len = strlen(seed);
        char *text = malloc(len), *out = malloc(len);
        struct json_walk walk;

        memcpy(text, seed, len);
        for (unsigned i = 0; i < 1 + round % 3; i++) {
            state = state * 1664525 + 1013904223;
            text[(state >> 8) % len] = bytes[(state >> 24) % sizeof bytes];
        }
        len -= round % 7 == 0 ? (state >> 16) % len : 0;
        walk = json_walk((struct weir_str){ text, len });
        if (json_is_valid((struct weir_str){ text, len })) {
            valid++;
            while (json_next(&walk)) {
                struct json_walk inner = json_walk(walk.value);
                size_t out_len = 0;

                json_text(walk.value, out, &out_len);
                cr_assert_leq(out_len, walk.value.len);
                cr_assert(json_is_valid(walk.value));
                while (json_next(&inner))
                    cr_assert(json_is_valid(inner.value));
            }
        }
        free(text);
        free(out);
    }
    cr_assert_gt(valid, 100);
}
