/* A host for plugins under test: a config, a clock and requests that the test makes up. One world for each
 * test, since Criterion runs every test in a process of its own. */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

#include <weir/plugin.h>

#define FAKE_KEYS_MAX    8
#define FAKE_ITEMS_MAX   16
#define FAKE_SERVERS_MAX 20
#define FAKE_EVENTS_MAX  32

struct fake_key {
    const char *name;
    const char *text;                  /* a scalar, as in the file */
    const char *items[FAKE_ITEMS_MAX]; /* a list, if text is NULL; ends with NULL */
    bool is_map;                       /* items are key, value, key, value */
};

struct weir_config {
    struct fake_key keys[FAKE_KEYS_MAX]; /* ends with a name of NULL */
};

struct weir_request {
    const char *method;
    const char *tenant;
    const char *domain;
    const char *header; /* Weir-Position; NULL: absent */
    const char *second_header;
    const char *cookie; /* weir_position */
    const char *path;
    const char *target;
    const char *kind;                                       /* Weir-Kind */
    const char *override_name, *override, *second_override; /* a field that says another method */
    const char *content_type;
    const char *content_encoding;
    const char *body;
    const char *consistency; /* the route's */
    bool is_trusted;
    void *kept;
    bool is_out_of_memory;
    char memory[8192];
    size_t used;
};

struct fake_event {
    const char *name;
    unsigned count;
};

/* What a plugin reported of a server. */
struct fake_server {
    struct weir_server server;
    int64_t lag_ms;
    char position[64];
};

extern int64_t fake_wall_ms;
extern unsigned fake_warnings;
extern unsigned fake_hmacs;
extern unsigned fake_config_warnings;
extern unsigned fake_wakes;
extern bool fake_is_in_fleet;
extern struct fake_event fake_events[FAKE_EVENTS_MAX];
extern struct fake_server fake_servers[FAKE_SERVERS_MAX];
extern unsigned fake_server_count;
extern const struct weir_host fake_host;

/* How often the plugin counted that. */
unsigned fake_counted(const char *event);
void fake_add_server(const char *address, enum weir_role role);

/* The symbol of the plugin at PLUGIN_PATH; ends the test if there is none. */
const struct weir_plugin *fake_load(const char *path);

#endif
