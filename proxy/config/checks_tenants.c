#include "base/check.h"
#include "config/checks.h"
#include "config/guess.h"

static const struct config_tenant *find_tenant(const struct config *config, struct str name)
{
    for (unsigned i = 0; i < config->tenants.named_count; i++) {
        const struct config_tenant *tenant = &config->tenants.named[i];
        if (tenant->name.data && str_eq(tenant->name, name))
            return tenant;
    }
    return NULL;
}

static bool is_same_source(const struct config_source *a, const struct config_source *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == SOURCE_HEADER)
        return a->name.data && str_ieq(a->name, b->name);
    if (a->kind == SOURCE_QUERY)
        return a->name.data && str_eq(a->name, b->name);
    return a->before.data && str_eq(a->before, b->before) && str_eq(a->after, b->after);
}

static void check_sources(struct reading *r, const struct config_source *from, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < i; j++) {
            if (is_same_source(&from[i], &from[j]))
                config_mistake(r->mistakes, reading_mark(r, &from[i]),
                               "this source is here twice; the first is on line %d",
                               reading_mark(r, &from[j]).line);
        }
    }
}

/* No rate, no bucket. With a rate from `default` a burst of one's own is fine. */
static void check_burst(struct reading *r, const struct config_tenant *tenant)
{
    if (reading_has(r, &tenant->burst) && tenant->rate_per_s == NEVER && tenant->burst != NEVER)
        config_mistake(r->mistakes, reading_mark(r, &tenant->burst), "burst needs a rate, such as 100/s");
}

void check_tenants(struct reading *r)
{
    const struct config *config = r->config;
    const struct config_tenants *tenants = &config->tenants;
    check_sources(r, tenants->from, tenants->from_count);
    check_burst(r, &tenants->fallback);
    if (tenants->is_given && tenants->from_count == 0 && !tenants->is_unknown_default &&
        !reading_has(r, &tenants->from))
        config_mistake(
            r->mistakes, reading_mark(r, &tenants->is_unknown_default),
            "unknown: refuse without `from` would refuse every request; add a source, or say default");
    for (unsigned i = 0; i < tenants->named_count; i++) {
        const struct config_tenant *tenant = &tenants->named[i];
        check_burst(r, tenant);
        check_version_name(r, "version", &tenant->version);
        const struct config_tenant *first = tenant->name.data ? find_tenant(config, tenant->name) : tenant;
        if (first != tenant) /* YAML's own twins are caught before: these differ in case */
            config_mistake(r->mistakes, reading_mark(r, tenant),
                           "tenant \"%.*s\" is here twice (names are lower-cased); the first is on line %d",
                           STR_FMT(tenant->name), reading_mark(r, first).line);
    }
}

static void check_canary_tenants(struct reading *r, const struct config_canary *canary)
{
    const struct config *config = r->config;
    for (unsigned i = 0; i < canary->tenant_count; i++) {
        const struct str *name = &canary->tenants[i];
        if (!name->data || !config->tenants.is_given || !config->tenants.is_unlisted_refused)
            continue;
        if (find_tenant(config, *name))
            continue;
        struct guess guess;
        char meant[128];
        guess_init(&guess, *name);
        for (unsigned j = 0; j < config->tenants.named_count; j++)
            guess_offer(&guess, config->tenants.named[j].name);
        config_mistake(r->mistakes, reading_mark(r, name),
                       "tenants: there is no tenant \"%.*s\", and unlisted ones are refused; allowed: a name "
                       "under tenants.named%s",
                       STR_FMT(*name), guess_text(&guess, meant, sizeof meant));
    }
}

static void check_version(struct reading *r, const struct config_version *version)
{
    check_upstream_name(r, "upstream", &version->upstream);
    check_upstream_name(r, "canary", &version->canary.upstream);
    check_canary_tenants(r, &version->canary);
    if (version->sunset_s != 0 && version->deprecated_s != 0 && version->sunset_s < version->deprecated_s)
        config_mistake(r->mistakes, reading_mark(r, &version->sunset_s),
                       "sunset is before deprecated; allowed: the same day or later");
    if (version->is_gone_after_sunset && !reading_has(r, &version->sunset_s))
        config_mistake(r->mistakes, reading_mark(r, &version->is_gone_after_sunset),
                       "after_sunset needs a sunset");
}

void check_versions(struct reading *r)
{
    const struct config_versions *versions = &r->config->versions;
    check_sources(r, versions->from, versions->from_count);
    if (versions->known_count > 0)
        check_version_name(r, "default", &versions->fallback);
    for (unsigned i = 0; i < versions->known_count; i++)
        check_version(r, &versions->known[i]);
}
