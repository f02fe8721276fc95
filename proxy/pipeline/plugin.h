/* Loads plugins and calls their hooks: the host's side of weir/plugin.h.
 *
 * Plugins are found by bare name in the configured folders only (DIR/NAME/NAME.so or DIR/NAME.so), which
 * others may not write to. An instance belongs to one upstream; a reload keeps it if its keys did not change.
 * Calls are timed and counted. */
#ifndef PIPELINE_PLUGIN_H
#define PIPELINE_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "config/config.h"
#include "http/message.h"

struct fetch;
struct held;
struct plugin;
struct request;
struct supply;

/* Finds, loads and configures one. held: where its wake() goes; must outlive it. NULL and one sentence in
 * error (at least 512 bytes). One reference. */
struct plugin *plugin_new(const struct config *config, const struct config_plugin *row, const char *build_dir,
                          struct held *held, char *error, size_t error_size);
struct plugin *plugin_ref(struct plugin *plugin);
struct plugin *plugin_unref(struct plugin *plugin);
/* The same name and keys: a reload keeps the instance, and what it knows. */
bool plugin_is_same(const struct plugin *plugin, const struct config_plugin *row);
struct str plugin_name(const struct plugin *plugin);

/* Loads and configures every plugin of a config and lets it go again: what `weir check` asks. */
void plugins_check(const struct config *config, const char *build_dir, struct config_mistakes *mistakes);

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
};
/* reply NULL: an error of weir's own. */
void plugins_answered(struct fetch *fetch, const struct message *reply, int status,
                      struct plugin_verdict *out);
void plugins_finished(struct request *req);
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
void held_wake(struct held *held); /* any thread */

struct plugin_stats {
    uint64_t calls;
    uint64_t ns;
};
void plugin_stats_read(const struct plugin *plugin, struct plugin_stats *out);

#endif
