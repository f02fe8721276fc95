/* The keys that shard takes in the config. Read once, in configure; immutable after that. */
#ifndef SHARD_SETTINGS_H
#define SHARD_SETTINGS_H

#include <weir/plugin.h>

#include "ring.h"

struct pin {
    char *tenant;
    char *upstream;
};

struct settings {
    struct ring_shard *shards; /* their names are owned here */
    unsigned shard_count;
    struct pin *pins; /* sorted by tenant */
    unsigned pin_count;
};

/* False, and one sentence in error, if a key is unknown or its value is none that it takes. settings_fini()
 * is due in either case. */
bool settings_read(struct settings *settings, const struct weir_host *host, const struct weir_config *config,
                   char *error, size_t error_size);
void settings_fini(struct settings *settings);

/* The upstream that this tenant is pinned to; NULL: none. */
const char *settings_pinned(const struct settings *settings, struct weir_str tenant);

#endif
