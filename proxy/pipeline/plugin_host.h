/* What weir offers to plugins (struct weir_host), shared by the loader and the hooks. Inside of pipeline/
 * only. */
#ifndef PIPELINE_PLUGIN_HOST_H
#define PIPELINE_PLUGIN_HOST_H

#include <pthread.h>
#include <stdatomic.h>

#include <jansson.h>

#include "pipeline/plugin.h"
#include "weir/plugin.h"

struct held;

/* The handle of configure: the plugin's own keys. */
struct weir_config {
    json_t *keys;
    struct held *held;
};

struct plugin {
    _Atomic int references;
    void *library; /* dlopen's */
    const struct weir_plugin *abi;
    void *self;
    char *name;
    char *json;
    struct held *held;
    pthread_t ticker;
    bool has_ticker;
    _Atomic bool is_ending;
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
