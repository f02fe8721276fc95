/* A host for plugins under test: a config, a clock and requests that the test makes up. One world for each
 * test, since Criterion runs every test in a process of its own. */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

#include <weir/plugin.h>

#define FAKE_KEYS_MAX  8
#define FAKE_ITEMS_MAX 16

struct fake_key {
    const char *name;
    const char *text;                  /* a scalar, as in the file */
    const char *items[FAKE_ITEMS_MAX]; /* a list, if text is NULL; ends with NULL */
};

struct weir_config {
    struct fake_key keys[FAKE_KEYS_MAX]; /* ends with a name of NULL */
};

struct weir_request {
    const char *method;
    const char *tenant;
    const char *domain;
    const char *header; /* Weir-Position; NULL: absent */
    const char *cookie; /* weir_position */
    void *kept;
    bool is_out_of_memory;
    char memory[4096];
    size_t used;
};

extern int64_t fake_wall_ms;
extern unsigned fake_warnings;
extern unsigned fake_hmacs;
extern const struct weir_host fake_host;

/* The symbol of the plugin at PLUGIN_PATH; ends the test if there is none. */
const struct weir_plugin *fake_load(const char *path);

#endif
