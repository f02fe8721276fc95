/* The limits that hold for a tenant, by name. */
#include <stdlib.h>

#include "base/map.h"
#include "policy/tenant.h"

struct tenant_rules {
    const struct config_tenants *config;
    struct map *by_name; /* to struct config_tenant */
};

struct tenant_rules *tenant_rules_new(const struct config_tenants *config)
{
    struct tenant_rules *rules = calloc(1, sizeof *rules);
    if (!rules)
        return NULL;
    rules->config = config;
    rules->by_name = map_new();
    if (!rules->by_name)
        goto fail;
    for (unsigned i = 0; i < config->named_count; i++) {
        if (!map_put(rules->by_name, config->named[i].name, &config->named[i]))
            goto fail;
    }
    return rules;

fail:
    tenant_rules_free(rules);
    return NULL;
}

void tenant_rules_free(struct tenant_rules *rules)
{
    if (!rules)
        return;
    map_free(rules->by_name);
    free(rules);
}

const struct config_tenant *tenant_rules_find(const struct tenant_rules *rules, struct str name)
{
    const struct config_tenants *config = rules->config;
    const struct config_tenant *row = config->named_count > 0 ? map_get(rules->by_name, name) : NULL;
    if (row)
        return row;
    if (!config->is_given || !config->is_unlisted_refused)
        return &config->fallback;
    /* `unknown: default` sends the nameless to this tenant: listed or not, it exists. */
    return config->is_unknown_default && str_eq(name, STR("default")) ? &config->fallback : NULL;
}
