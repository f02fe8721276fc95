/* The keys that rw_split takes in the config. Read once, in configure; immutable after that. */
#ifndef RW_SPLIT_SETTINGS_H
#define RW_SPLIT_SETTINGS_H

#include <weir/plugin.h>

#include "patterns.h"
#include "token.h"

enum consistency {
    CONSISTENCY_NONE,     /* reads go to replicas, whatever their client wrote */
    CONSISTENCY_WINDOW,   /* for some time after a write its client reads from the primary */
    CONSISTENCY_POSITION, /* a client reads where his own write is, and never falls behind what he has seen */
    CONSISTENCY_STRICT,   /* and behind no write of his tenant */
};

/* A server and its database. */
struct target {
    char *address;
    char *dsn;
};

struct settings {
    enum consistency consistency;
    int64_t window_ms;
    int64_t wait_ms;
    int64_t lag_max_ms; /* -1: unlimited */
    double primary_read_share;
    int64_t write_hold_ms;
    bool holds_writes; /* while there is no primary */
    int64_t replay_body_max;
    struct patterns read, write;
    char *kind_header;
    struct patterns graphql;
    struct weir_str *graphql_reads; /* ids of persisted queries */
    unsigned graphql_read_count;
    int read_only_status; /* 0: none */
    char *read_only_header;
    char *position_field; /* NULL: none */
    struct target *targets;
    unsigned target_count;
    int64_t probe_interval_ms;
    struct keyring ring;
};

/* False, and one sentence in error, if a key is unknown or its value is none that it takes: then too
 * settings_fini() is due. */
bool settings_read(struct settings *settings, const struct weir_host *host, const struct weir_config *config,
                   char *error, size_t error_size);
void settings_fini(struct settings *settings);

/* False: no such word. */
bool consistency_parse(struct weir_str word, enum consistency *out);

#endif
