#include "policy/pattern.h"

#include "ask.h"

static struct config_source pattern(const char *before, const char *after)
{
    return (struct config_source){ .before = str_of(before), .after = str_of(after) };
}

Test(pattern, a_path_pattern_ends_where_a_segment_ends)
{
    static const struct {
        const char *before;
        const char *after;
        const char *path;
        const char *word; /* NULL: no match */
        size_t bytes;
    } rows[] = {
        { "/", "/", "/v1/items", "v1", 3 },
        { "/", "/", "/v1", "v1", 3 },
        { "/", "/", "/", NULL, 0 },
        { "/", "/", "*", NULL, 0 },
        { "/", "/", "", NULL, 0 },
        { "/", "", "/v1/items", "v1", 3 },
        { "/api-", "/", "/api-v1/x", "v1", 7 },
        { "/api-", "/", "/api-/x", NULL, 0 },
        { "/", "-api/", "/v1-api/x", "v1", 7 },
        { "/", "-api/", "/-api/x", NULL, 0 },
        { "/", "-api/", "/v1-apix/x", NULL, 0 },
        { "/o/", "/api/", "/o/acme/api/x", "acme", 11 },
        { "/o/", "/api/", "/o/acme/api", "acme", 11 },
        { "/o/", "/api/", "/o/acme/apix", NULL, 0 },
        { "/o/", "/api", "/o/acme/apix", NULL, 0 },
        { "/o/", "/api", "/o/acme/api/x", "acme", 11 },
        { "/o/", "/api/", "/o/acme", NULL, 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct config_source source = pattern(rows[i].before, rows[i].after);
        struct str word = { 0 };
        size_t bytes = 0;
        bool is_match = pattern_path(&source, str_of(rows[i].path), &word, &bytes);
        cr_expect_eq(is_match, rows[i].word != NULL, "row %zu", i);
        if (is_match && rows[i].word) {
            cr_expect(str_eq(word, str_of(rows[i].word)), "row %zu: %.*s", i, STR_FMT(word));
            cr_expect_eq(bytes, rows[i].bytes, "row %zu: %zu", i, bytes);
        }
    }
}

Test(pattern, a_star_in_a_media_type_is_one_byte_or_more)
{
    static const struct {
        const char *before;
        const char *after;
        const char *type;
        bool want;
    } rows[] = {
        { "application/vnd.*.", "+json", "application/vnd.acme.v2+json", true },
        { "application/vnd.*.", "+json", "Application/VND.acme.api.v2+JSON", true },
        { "application/vnd.*.", "+json", "application/vnd.v2+json", false },
        { "application/vnd.*.", "+json", "application/vnd..v2+json", false },
        { "application/vnd.*.", "+json", "application/vnd.acme.+json", false },
        { "application/vnd.*.", "+json", "application/vnd.acme.v2+xml", false },
        { "application/", "", "application/v2", true },
        { "application/", "", "application/", false },
        { "*/", "", "a/b", true },
        { "", "", "", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct config_source source = pattern(rows[i].before, rows[i].after);
        cr_expect_eq(pattern_media(&source, str_of(rows[i].type)), rows[i].want, "row %zu", i);
    }
    char longer[300];
    memset(longer, 'a', sizeof longer);
    struct config_source source = pattern("a", "");
    cr_expect(pattern_media(&source, str_n(longer, 255)));
    cr_expect_not(pattern_media(&source, str_n(longer, 256)));
}
