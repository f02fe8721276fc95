/* A host for the shard plugin: keys that the test makes up, upstreams that there are, and a tenant who asks.
 */
#ifndef SHARD_KIT_H
#define SHARD_KIT_H

#include <weir/plugin.h>

#define KIT_KEYS_MAX 4
#define KIT_ROWS_MAX 300

struct kit_key {
    const char *name;
    enum {
        KIT_LIST,
        KIT_MAP, /* rows are "key: value" */
        KIT_TEXT,
    } kind;
    const char *rows[KIT_ROWS_MAX]; /* ends with NULL */
};

struct weir_config {
    struct kit_key keys[KIT_KEYS_MAX]; /* ends with a name of NULL */
};

struct weir_request {
    struct weir_str tenant;
};

extern const struct weir_host kit_host;
extern const char *kit_upstreams[KIT_ROWS_MAX]; /* ends with NULL; s1 to s4 at first */
extern unsigned kit_pinned, kit_hashed;         /* events that were counted */

const struct weir_plugin *kit_load(void);
/* An instance with these keys; ends the test if it refuses. */
void *kit_new(const struct weir_config *config);
/* What it says when it refuses; ends the test if it does not. Lives until the next call. */
const char *kit_refusal(const struct weir_config *config);
/* The upstream of that tenant. Lives as long as the instance. */
const char *kit_assigned(void *self, const char *tenant);

#endif
