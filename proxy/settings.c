#include "settings.h"

#include <stdlib.h>

#include "fleet/redis.h"

static bool is_redis_known(const struct config *config, struct config_mistakes *mistakes)
{
    const struct config_redis *redis = &config->cache.redis;
    struct redis_url url;
    const char *why;
    if (!redis->is_given || redis_url_parse(redis->url, &url, &why))
        return true;
    config_mistake(mistakes, redis->mark, "cache.redis.url: %s", why);
    return false;
}

struct config *settings_read(const char *file, const char *text, const char *name,
                             struct config_mistakes *out_mistakes)
{
    struct config *config =
        file ? config_read_file(file, out_mistakes) : config_read_text(str_of(text), name, out_mistakes);
    if (config && !is_redis_known(config, out_mistakes))
        config = config_unref(config);
    return config;
}

struct cache_options settings_cache(const struct config *config)
{
    return (struct cache_options){
        .memory_bytes = (uint64_t)config->cache.memory_bytes,
        .object_max_bytes = (uint64_t)config->cache.object_max_bytes,
    };
}

void settings_share(struct cache *cache, const struct config *config)
{
    const struct config_tenants *tenants = &config->tenants;
    struct cache_share *rows = calloc(tenants->named_count + 1, sizeof *rows);
    if (!rows)
        return; /* nobody is kept apart then: as if all shares were the default */
    for (unsigned i = 0; i < tenants->named_count; i++)
        rows[i] = (struct cache_share){ tenants->named[i].name, tenants->named[i].cache_share };
    cache_set_shares(cache, tenants->fallback.cache_share, rows, tenants->named_count);
    free(rows);
}
