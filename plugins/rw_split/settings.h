/* The keys that rw_split takes in the config. Read once, in configure. */
#ifndef RW_SPLIT_SETTINGS_H
#define RW_SPLIT_SETTINGS_H

#include <weir/plugin.h>

#include "token.h"

enum consistency {
    CONSISTENCY_NONE,   /* reads go to replicas, whatever their client wrote */
    CONSISTENCY_WINDOW, /* for some time after a write its client reads from the primary */
};

struct settings {
    enum consistency consistency;
    int64_t window_ms;
    struct keyring ring;
};

/* False, and one sentence in error, if a key is unknown or its value is none that it takes. */
bool settings_read(struct settings *settings, const struct weir_host *host, const struct weir_config *config,
                   char *error, size_t error_size);

#endif
