/* What weir offers to plugins (struct weir_host), shared by the loader and the hooks. Inside of pipeline/
 * only. */
#ifndef PIPELINE_PLUGIN_HOST_H
#define PIPELINE_PLUGIN_HOST_H

#include <pthread.h>
#include <stdatomic.h>

#include <jansson.h>

#include "base/tally.h"
#include "pipeline/plugin.h"
#include "weir/plugin.h"

/* The handle of configure: the plugin's own keys. */
struct weir_config {
    json_t *keys;
    struct weir_upstream *upstream_handle;
    const struct config *config;
    const struct config_upstream *upstream;
    const struct config_plugin *row;
};

/* An upstream in one instance's hands. */
struct weir_upstream {
    struct face *face; /* a hold of its own; NULL: nobody's */
    /* A newer world has others in its place. Its requests go on, but what it finds out about servers is heard
     * no more: it may not be able to ask them any longer, and would talk against those who can. */
    _Atomic bool is_retired;
};

struct plugin {
    _Atomic int references;
    const struct weir_plugin *abi;
    void *self;
    char *name;
    char *json;
    struct weir_upstream upstream;
    pthread_t ticker;
    bool has_ticker;
    _Atomic bool is_ending;
    _Atomic bool is_over;      /* its ticker ended it: it can be joined at once */
    struct plugin *next_ended; /* under the list's lock */
    pthread_mutex_t tick_lock;
    pthread_cond_t tick_over;
    struct plugin_calls {
        _Atomic uint64_t count;
        _Atomic uint64_t ns;
        char apart[TALLY_APART - 2 * sizeof(uint64_t)];
    } calls[TALLY_LINES];
    _Atomic int watched;     /* so many calls are still to be timed each: one was slow */
    _Atomic int64_t told_ns; /* when the log was told of something it does wrong; 0: never */
};

/* The handle of a hook: the request, and whose value get() and set() mean. */
enum plugin_hook { /* in the order of a request's way */
    HOOK_ASSIGN,
    HOOK_INSPECT,
    HOOK_CHOOSE,
    HOOK_ANSWERED,
    HOOK_SERVED,
    HOOK_FINISHED
};

struct weir_request {
    struct request *req;
    unsigned index; /* of the plugin in its supply */
    enum plugin_hook hook;
};

/* May there be a field of that name, going by its first letter? Plugins ask for several fields with each
 * request and reply, most of which are not there. *letters: 0 before the first question to a message. */
static inline bool plugin_may_find(const struct message *msg, uint32_t *letters, const char *name)
{
    if (*letters == 0) {
        *letters = 1; /* no name begins with a character that ends in five zero bits */
        for (unsigned i = 0; i < msg->field_count; i++) {
            if (msg->fields[i].name.len > 0)
                *letters |= 1u << (msg->fields[i].name.data[0] & 31);
        }
    }
    return *letters >> (name[0] & 31) & 1;
}

extern const struct weir_host plugin_host;

/* Which list a choose on this thread is asked for (NULL: none): its own wake() there must not have the very
 * request asked again that it is asked for, or it would be asked for ever. */
void plugin_host_choosing(const struct held *held);

#endif
