/* shard: each tenant has its shard, an upstream with servers, replicas and plugins of its own.
 *
 * It knows tenants' names and nothing else: not what shards hold, not whether they are up. A shard that is
 * down fails its own tenants only: nobody else has their data. The tenant's upstream is found by hashing
 * (ring.h), so that all weirs agree without talking, unless the config pins it somewhere else.
 *
 * assign runs on any worker, on what never changes after configure. */
#include <weir/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ring.h"
#include "settings.h"

#define PLUGIN_VERSION "1.0"

struct shard {
    const struct weir_host *host;
    struct weir_upstream *upstream; /* the one that names the plugin: events are counted there */
    struct settings settings;
    struct ring *ring;
};

static void destroy(void *arg)
{
    struct shard *self = arg;

    ring_free(self->ring);
    settings_fini(&self->settings);
    free(self);
}

static void *configure(const struct weir_host *host, const struct weir_config *config, char *error,
                       size_t error_size)
{
    struct shard *self = calloc(1, sizeof *self);

    if (!self) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    self->host = host;
    self->upstream = host->config_upstream(config);
    if (!settings_read(&self->settings, host, config, error, error_size)) {
        destroy(self);
        return NULL;
    }
    self->ring = ring_new(self->settings.shards, self->settings.shard_count);
    if (!self->ring) {
        snprintf(error, error_size, "out of memory");
        destroy(self);
        return NULL;
    }
    return self;
}

static struct weir_str assign(void *arg, struct weir_request *request)
{
    struct shard *self = arg;
    struct weir_str tenant = self->host->tenant(request);
    const char *pinned = settings_pinned(&self->settings, tenant);

    if (pinned) {
        self->host->count(self->upstream, "shard_pinned");
        return (struct weir_str){ pinned, strlen(pinned) };
    }
    self->host->count(self->upstream, "shard_hashed");
    return self->settings.shards[ring_find(self->ring, tenant)].name;
}

/* abi_minor is 1, so a weir that has no assign does not load it: nothing here needs WEIR_HAS. */
WEIR_EXPORT const struct weir_plugin weir_plugin = {
    .size = sizeof(struct weir_plugin),
    .abi_major = WEIR_PLUGIN_ABI_MAJOR,
    .abi_minor = WEIR_PLUGIN_ABI_MINOR,
    .name = "shard",
    .version = PLUGIN_VERSION,
    .configure = configure,
    .destroy = destroy,
    .assign = assign,
};
