#include "policy/tenant.h"

#include "ask.h"

static struct config_tenant named[] = { { .name = STR_INIT("acme"), .rate_per_s = 500 },
                                        { .name = STR_INIT("tiny"), .rate_per_s = 5 } };

static double rate_of(const struct config_tenants *config, const char *name)
{
    struct tenant_rules *rules = tenant_rules_new(config);
    const struct config_tenant *row = tenant_rules_find(rules, str_of(name));
    double rate = row ? row->rate_per_s : 0;
    tenant_rules_free(rules);
    return rate;
}

Test(tenant_rules, a_named_tenant_has_its_own_row_others_the_default)
{
    struct config_tenants config = {
        .is_given = true, .fallback = { .rate_per_s = 1 }, .named = named, .named_count = 2
    };
    cr_expect_eq(rate_of(&config, "acme"), 500);
    cr_expect_eq(rate_of(&config, "tiny"), 5);
    cr_expect_eq(rate_of(&config, "globex"), 1);
    cr_expect_eq(rate_of(&config, "default"), 1);
}

Test(tenant_rules, the_unlisted_may_be_refused)
{
    struct config_tenants config = { .is_given = true,
                                     .is_unlisted_refused = true,
                                     .fallback = { .rate_per_s = 1 },
                                     .named = named,
                                     .named_count = 2 };
    cr_expect_eq(rate_of(&config, "acme"), 500);
    cr_expect_eq(rate_of(&config, "globex"), 0);
    cr_expect_eq(rate_of(&config, "default"), 0);
    config.is_unknown_default = true;
    cr_expect_eq(rate_of(&config, "default"), 1, "where the nameless go is there, listed or not");
    cr_expect_eq(rate_of(&config, "globex"), 0);
}

Test(tenant_rules, without_tenants_the_default_holds)
{
    struct config_tenants config = { .is_unlisted_refused = true, .fallback = { .rate_per_s = NEVER } };
    cr_expect_eq(rate_of(&config, "default"), NEVER);
}
