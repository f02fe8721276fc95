/* Loads plugins and calls their hooks: the host's side of weir/plugin.h.
 *
 * Plugins are found by bare name in the configured folders only (DIR/NAME/NAME.so or DIR/NAME.so), which
 * others may not write to. An instance belongs to one upstream; a reload keeps it if its keys did not change.
 * Calls are counted, and timed now and then. */
#ifndef PIPELINE_PLUGIN_H
#define PIPELINE_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "cache/object.h"
#include "config/config.h"
#include "http/message.h"

struct fetch;
struct held;
struct plugin;
struct request;
struct server;
struct supply;
struct face;

/* Finds, loads and configures one for an upstream. face: what it holds of it, as long as it lives; may be
 * NULL. NULL and one sentence in error (at least 512 bytes, else it is cut). One reference. */
struct plugin *plugin_new(const struct config *config, const struct config_upstream *upstream,
                          const struct config_plugin *row, const char *build_dir, struct face *face,
                          char *error, size_t error_size);
struct plugin *plugin_ref(struct plugin *plugin);
/* Any thread, and none waits: what ticks ends on its own thread, after its last tick. */
struct plugin *plugin_unref(struct plugin *plugin);
/* No world that lives from now on has it: see struct weir_upstream. */
void plugin_retire(struct plugin *plugin);
/* The process is about to end: waits for those that were let go. After it no thread of theirs is left. */
void plugins_join_ended(void);
/* For commands that only look: no plugin that is loaded from now on ticks, so none does I/O. Before any
 * thread. */
void plugins_keep_still(void);
/* The same name and keys: a reload keeps the instance, and what it knows. */
bool plugin_is_same(const struct plugin *plugin, const struct config_plugin *row);
struct str plugin_name(const struct plugin *plugin);

/* The hooks, for all plugins of the request's upstream in the config's order. */
void plugins_inspect(struct request *req);

enum plugin_said {
    PLUGIN_PASSES,  /* roles and falls_back are set: balance among these */
    PLUGIN_PICKED,  /* fetch->server is set */
    PLUGIN_REFUSED, /* fetch->err and the request's retry_after_s are set */
    PLUGIN_HOLDS,   /* *out_hold_ms */
};
enum plugin_said plugins_choose(struct fetch *fetch, unsigned *out_roles, bool *out_falls_back,
                                int64_t *out_hold_ms);

struct plugin_verdict {
    bool forbids_store;
    bool invalidates;
    bool replays;
    struct str position;
    int64_t as_of_ms; /* wall clock: what the reply knows of; 0: all there was when it was asked for */
};
/* reply NULL: an error of weir's own. */
void plugins_answered(struct fetch *fetch, const struct message *reply, int status,
                      struct plugin_verdict *out);
void plugins_finished(struct request *req);
/* The name of the upstream that takes the request; data NULL: no plugin says another. */
struct str plugins_assign(struct request *req, const struct supply *supply);
/* A stored reply answers. */
void plugins_served(struct request *req, const struct object_meta *meta);
/* A health check's reply. The control thread. */
void plugins_checked(const struct supply *supply, const struct server *server, const struct message *reply,
                     struct str body, int64_t sent_wall_ms);
/* Several weirs share a Redis, from now on. */
void plugins_join_fleet(void);
/* May a stored reply from a server at that position be used for the request? */
bool plugins_position_covers(const struct request *req, struct str stored);

/* Fetches that a plugin told to hold until wake(): one list per upstream, any thread wakes. */
struct held *held_new(void);
void held_free(struct held *held);
/* How many wakes there were: read it before the plugin is asked. */
uint64_t held_wakes(struct held *held);
/* False: somebody was woken since, the fetch is not held: ask again. */
bool held_add(struct held *held, struct fetch *fetch, uint64_t wakes);
/* False: it was woken already, its post is on the way. */
bool held_remove(struct held *held, struct fetch *fetch);
/* Any thread. is_own: told by a choose that is asked for one of them: that one is not asked again for it. */
void held_wake(struct held *held, bool is_own);
/* How many of the wakes were this thread's own. */
uint64_t held_own_wakes(void);

struct plugin_stats {
    uint64_t calls;
    uint64_t ns;
};
void plugin_stats_read(const struct plugin *plugin, struct plugin_stats *out);

#endif
