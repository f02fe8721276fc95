#include "policy/tenant.h"

#include "ask.h"

static struct config_source host_source = { .kind = SOURCE_HOST,
                                            .before = STR_INIT(""),
                                            .after = STR_INIT(".api.example.com") };
static struct config_source header_source = { .kind = SOURCE_HEADER,
                                              .name = STR_INIT("X-Tenant"),
                                              .is_trusted_only = true };
static struct config_source path_source = {
    .kind = SOURCE_PATH, .before = STR_INIT("/t/"), .after = STR_INIT("/"), .is_stripped = true
};

static int claim(const struct config_source *sources, unsigned count, bool is_default, bool is_trusted,
                 const char *host, const char *target, const char *lines, struct tenant_claim *out)
{
    static struct message request;
    struct config_source from[4];
    struct config_tenants config = {
        .is_given = true, .from = from, .from_count = count, .is_unknown_default = is_default
    };
    memcpy(from, sources, count * sizeof *sources);
    ask(&request, host, target, lines);
    return tenant_claim_read(&config, &request, is_trusted, out);
}

Test(tenant, without_tenants_everybody_is_default)
{
    struct config_tenants config = { 0 };
    struct message request;
    struct tenant_claim out;
    ask(&request, "a", "/", "X-Tenant: acme\r\n");
    cr_assert_eq(tenant_claim_read(&config, &request, true, &out), 0);
    cr_expect_str_eq(out.name, "default");
    cr_expect_eq(out.name_len, 7);
    cr_expect_eq(out.prefix_bytes, 0);
}

Test(tenant, a_host_names_it_by_one_label)
{
    static const struct {
        const char *host;
        const char *want; /* NULL: none */
    } rows[] = {
        { "acme.api.example.com", "acme" },    { "ACME.Api.Example.com:8080", "acme" },
        { "acme.api.example.com.", "acme" },   { "a.b.api.example.com", NULL },
        { "api.example.com", NULL },           { "x-api.example.com", NULL },
        { "acme.api.example.com.evil", NULL }, { "acme.api.example.org", NULL },
        { "a~b.api.example.com", NULL },       { "[::1]:80", NULL },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tenant_claim out;
        int err = claim(&host_source, 1, false, false, rows[i].host, "/", "", &out);
        cr_expect_eq(err, rows[i].want ? 0 : ERR_NO_TENANT, "row %zu: %d", i, err);
        if (err == 0 && rows[i].want)
            cr_expect_str_eq(out.name, rows[i].want, "row %zu", i);
    }
}

Test(tenant, a_header_counts_from_trusted_peers_only)
{
    struct tenant_claim out;
    cr_expect_eq(claim(&header_source, 1, false, false, "a", "/", "X-Tenant: acme\r\n", &out), ERR_NO_TENANT);
    cr_expect_eq(claim(&header_source, 1, false, false, "a", "/", "X-Tenant: a/b\r\n", &out), ERR_NO_TENANT);
    cr_assert_eq(claim(&header_source, 1, false, true, "a", "/", "x-tenant: ACME_1\r\n", &out), 0);
    cr_expect_str_eq(out.name, "acme_1");

    struct config_source any = header_source;
    any.is_trusted_only = false;
    cr_assert_eq(claim(&any, 1, false, false, "a", "/", "X-Tenant: acme\r\n", &out), 0);
}

Test(tenant, a_header_that_is_no_name_is_an_error)
{
    static const struct {
        const char *lines;
        int want;
    } rows[] = {
        { "", ERR_NO_TENANT },
        { "X-Tenant:\r\n", ERR_NO_TENANT }, /* names nobody */
        { "X-Tenant: a b\r\n", ERR_BAD_TENANT },
        { "X-Tenant: acme, globex\r\n", ERR_BAD_TENANT },
        { "X-Tenant: acme\r\nX-Tenant: globex\r\n", ERR_BAD_TENANT },
        { "X-Tenant: acme\r\nx-tenant: acme\r\n", 0 },
        { "X-Tenant:\r\nX-Tenant: acme\r\n", ERR_BAD_TENANT },
        { "X-Tenant: 012345678901234567890123456789012345678901234567890123456789012\r\n", 0 },
        { "X-Tenant: 0123456789012345678901234567890123456789012345678901234567890123\r\n", ERR_BAD_TENANT },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tenant_claim out;
        cr_expect_eq(claim(&header_source, 1, false, true, "a", "/", rows[i].lines, &out), rows[i].want,
                     "row %zu", i);
    }
}

Test(tenant, a_path_names_it_and_gives_its_prefix)
{
    static const struct {
        const char *target;
        const char *want;
        const char *rest;
    } rows[] = {
        { "/t/acme/items?q=1", "acme", "/items" },
        { "/t/ACME/", "acme", "/" },
        { "/t/acme", "acme", "" },
        { "/t/acme?x=/t/other/", "acme", "" },
        { "/t//items", NULL, "" },
        { "/t/", NULL, "" },
        { "/items/t/acme/", NULL, "" },
        { "/t/%61cme/", NULL, "" },
        { "/T/acme/", NULL, "" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tenant_claim out;
        struct message request;
        int err = claim(&path_source, 1, false, false, "a", rows[i].target, "", &out);
        cr_expect_eq(err, rows[i].want ? 0 : ERR_NO_TENANT, "row %zu", i);
        if (err || !rows[i].want)
            continue;
        cr_expect_str_eq(out.name, rows[i].want, "row %zu", i);
        cr_expect(out.is_prefix_stripped);
        ask(&request, "a", rows[i].target, "");
        cr_expect(str_eq(str_from(request.path, out.prefix_bytes), str_of(rows[i].rest)), "row %zu", i);
    }
}

Test(tenant, the_first_source_that_names_one_wins)
{
    const struct config_source sources[] = { host_source, header_source, path_source };
    const char *both = "X-Tenant: by_header\r\n";
    struct tenant_claim out;
    cr_assert_eq(claim(sources, 3, false, true, "by-host.api.example.com", "/t/by-path/", both, &out), 0);
    cr_expect_str_eq(out.name, "by-host");
    cr_expect_eq(out.prefix_bytes, 0, "only the source that named it takes its prefix");
    cr_assert_eq(claim(sources, 3, false, true, "x", "/t/by-path/", both, &out), 0);
    cr_expect_str_eq(out.name, "by_header");
    cr_assert_eq(claim(sources, 3, false, false, "x", "/t/by-path/", both, &out), 0);
    cr_expect_str_eq(out.name, "by-path");
    cr_expect_eq(claim(sources, 3, false, false, "x", "/", "", &out), ERR_NO_TENANT);
    cr_assert_eq(claim(sources, 3, true, false, "x", "/", "", &out), 0);
    cr_expect_str_eq(out.name, "default");
}
