/* What weir offers to plugins (struct weir_host), shared by the loader and the hooks. Inside of pipeline/
 * only. */
#ifndef PIPELINE_PLUGIN_HOST_H
#define PIPELINE_PLUGIN_HOST_H

#include <pthread.h>
#include <stdatomic.h>

#include <jansson.h>

#include "pipeline/plugin.h"
#include "weir/plugin.h"

/* The handle of configure: the plugin's own keys. */
struct weir_config {
    json_t *keys;
    struct weir_upstream *face;
    const struct config *config;
    const struct config_upstream *upstream;
    const struct config_plugin *row;
};

struct plugin {
    _Atomic int references;
    void *library; /* dlopen's */
    const struct weir_plugin *abi;
    void *self;
    char *name;
    char *json;
    struct weir_upstream *face;
    pthread_t ticker;
    bool has_ticker;
    _Atomic bool is_ending;
    _Atomic bool is_over;      /* its ticker ended it: it can be joined at once */
    struct plugin *next_ended; /* under the list's lock */
    pthread_mutex_t tick_lock;
    pthread_cond_t tick_over;
    _Atomic uint64_t calls;
    _Atomic uint64_t ns;
};

/* The handle of a hook: the request, and whose value get() and set() mean. */
struct weir_request {
    struct request *req;
    unsigned index; /* of the plugin in its supply */
};

extern const struct weir_host plugin_host;

#endif
