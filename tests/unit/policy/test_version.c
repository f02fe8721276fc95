#include "policy/version.h"

#include "ask.h"

static struct config_source path = { .kind = SOURCE_PATH, .before = STR_INIT("/"), .after = STR_INIT("/") };
static struct config_source header = { .kind = SOURCE_HEADER, .name = STR_INIT("API-Version") };
static struct config_source accept_ = { .kind = SOURCE_ACCEPT,
                                        .before = STR_INIT("application/vnd.*."),
                                        .after = STR_INIT("+json") };
static struct config_source query = { .kind = SOURCE_QUERY, .name = STR_INIT("api-version") };

static struct config_version known[] = { { .name = STR_INIT("v1") },
                                         { .name = STR_INIT("v2") },
                                         { .name = STR_INIT("2.1") } };

static struct config_versions config_of(struct config_source *from, unsigned count)
{
    return (struct config_versions){ .is_given = true,
                                     .from = from,
                                     .from_count = count,
                                     .fallback = STR("v2"),
                                     .known = known,
                                     .known_count = 3 };
}

/* The name that is chosen, or the error's word. */
static struct str choose(struct config_source *from, unsigned count, const char *target, const char *lines,
                         const char *preferred, struct version_choice *out)
{
    struct config_versions config = config_of(from, count);
    struct versions *versions = versions_new(&config);
    static struct message request;
    ask(&request, "a", target, lines);
    int err = versions_choose(versions, &request, request.path, str_of(preferred), out);
    versions_free(versions);
    return err ? str_of(err_word(err)) : out->version->name;
}

static void expect_choice(struct str got, const char *want, size_t row)
{
    cr_expect(str_eq(got, str_of(want)), "row %zu: %.*s, want %s", row, STR_FMT(got), want);
}

Test(version, a_path_segment_that_is_no_version_is_just_a_path)
{
    static const struct {
        const char *target;
        const char *want;
        unsigned bytes;
    } rows[] = {
        { "/v1/items", "v1", 3 }, { "/v1", "v1", 3 },     { "/v1/", "v1", 3 }, { "/v9/items", "v2", 0 },
        { "/V1/items", "v2", 0 }, { "/2.1/x", "2.1", 4 }, { "/", "v2", 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct version_choice out;
        expect_choice(choose(&path, 1, rows[i].target, "", NULL, &out), rows[i].want, i);
        cr_expect_eq(out.prefix_bytes, rows[i].bytes, "row %zu", i);
    }
}

Test(version, an_unknown_one_in_header_media_type_or_query_is_an_error)
{
    struct config_source all[] = { header, accept_, query };
    static const struct {
        const char *target;
        const char *lines;
        const char *want;
    } rows[] = {
        { "/", "API-Version: v1\r\n", "v1" },
        { "/", "api-version: v3\r\n", "unknown-version" },
        { "/", "API-Version:\r\n", "v2" },
        { "/", "API-Version: v1\r\nAPI-Version: v2\r\n", "unknown-version" },
        { "/", "API-Version: v1\r\nAPI-Version: v1\r\n", "v1" },
        { "/?api-version=v1", "", "v1" },
        { "/?x=1&api-version=v3", "", "unknown-version" },
        { "/?api-version=", "", "v2" },
        { "/?api-version=v3", "API-Version: v1\r\n", "v1" },
        { "/", "Accept: text/html, */*\r\n", "v2" },
        { "/", "Accept: application/vnd.acme.v1+json\r\n", "v1" },
        { "/", "Accept: application/vnd.acme.api.v1+json; q=0.5\r\n", "v1" },
        { "/", "Accept: application/vnd.acme.2.1+json\r\n", "2.1" },
        { "/", "Accept: application/vnd.acme.v3+json\r\n", "unknown-version" },
        { "/", "Accept: application/vnd.acme.version1+json\r\n", "unknown-version" },
        { "/", "Accept: application/vnd.acme.v3+json, application/vnd.acme.v1+json;q=0.1\r\n", "v1" },
        { "/", "Accept: application/vnd.a.v1+json;q=0.3,application/vnd.a.v2+json;q=0.31\r\n", "v2" },
        { "/", "Accept: application/vnd.a.v1+json;q=1.0, application/vnd.a.v2+json\r\n", "v1" },
        { "/", "Accept: application/vnd.a.v1+json;q=0\r\n", "unknown-version" },
        { "/", "Accept: text/html\r\nAccept: application/vnd.a.v1+json\r\n", "v1" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct version_choice out;
        expect_choice(choose(all, 3, rows[i].target, rows[i].lines, NULL, &out), rows[i].want, i);
    }
}

Test(version, the_tenants_own_version_stands_between_the_request_and_the_default)
{
    struct config_source all[] = { path, header };
    struct version_choice out;
    expect_choice(choose(all, 2, "/v2/x", "", "v1", &out), "v2", 0);
    expect_choice(choose(all, 2, "/x", "API-Version: v2\r\n", "v1", &out), "v2", 1);
    expect_choice(choose(all, 2, "/x", "", "v1", &out), "v1", 2);
    cr_expect_eq(out.index, 0);
    expect_choice(choose(all, 2, "/x", "", NULL, &out), "v2", 3);
    cr_expect_eq(out.index, 1);
}

Test(version, without_versions_there_is_none_to_choose)
{
    struct config_versions config = { 0 };
    struct versions *versions = versions_new(&config);
    struct message request;
    struct version_choice out;
    ask(&request, "a", "/v1/", "");
    cr_assert_eq(versions_choose(versions, &request, request.path, str_n(NULL, 0), &out), 0);
    cr_expect_null(out.version);
    cr_expect_eq(out.index, 0);
    versions_free(versions);
}

Test(version, gone_is_what_says_so_and_is_past_its_sunset)
{
    static const struct {
        struct config_version version;
        int64_t now_s;
        bool want;
    } rows[] = {
        { { .sunset_s = 100, .is_gone_after_sunset = true }, 99, false },
        { { .sunset_s = 100, .is_gone_after_sunset = true }, 100, true },
        { { .sunset_s = 100 }, 1000, false },
        { { .is_gone_after_sunset = true }, 1000, false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(version_is_gone(&rows[i].version, rows[i].now_s), rows[i].want, "row %zu", i);
}

static bool in_canary(double percent, unsigned tenant)
{
    struct config_canary canary = { .upstream = STR("next"), .percent = percent };
    char name[20];
    snprintf(name, sizeof name, "tenant%u", tenant);
    return version_is_canary(&known[1], &canary, str_of(name));
}

Test(version, a_canary_is_a_share_of_tenants_that_only_grows_with_the_percentage)
{
    static const double percents[] = { 0, 1, 5, 20, 50, 99, 100 };
    enum {
        TENANTS = 10000
    };
    for (size_t i = 0; i < COUNT_OF(percents); i++) {
        unsigned count = 0;
        for (unsigned tenant = 0; tenant < TENANTS; tenant++) {
            bool is_in = in_canary(percents[i], tenant);
            count += is_in;
            cr_assert(!is_in || i + 1 == COUNT_OF(percents) || in_canary(percents[i + 1], tenant));
        }
        double share = 100.0 * count / TENANTS;
        cr_expect(share > percents[i] - 1.5 && share < percents[i] + 1.5, "%g %%: %g", percents[i], share);
        cr_expect(percents[i] != 0 || count == 0);
        cr_expect(percents[i] != 100 || count == TENANTS);
    }
}

Test(version, named_tenants_are_always_in_the_canary_and_nobody_without_one)
{
    struct str names[] = { STR("acme") };
    struct config_canary canary = { .upstream = STR("next"), .tenants = names, .tenant_count = 1 };
    cr_expect(version_is_canary(&known[1], &canary, STR("acme")));
    cr_expect_not(version_is_canary(&known[1], &canary, STR("globex")));
    canary.upstream = str_n(NULL, 0);
    canary.percent = 100;
    cr_expect_not(version_is_canary(&known[1], &canary, STR("acme")));
}
