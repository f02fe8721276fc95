/* An upstream as plugins hold it: longer than worlds and their structs, by name. Where wake() goes, which
 * servers there are now, what a plugin reported of them, and the events it counts.
 *
 * Made by the control thread with the upstream's first world; any thread reads and reports. */
#ifndef PIPELINE_PLUGIN_UPSTREAM_H
#define PIPELINE_PLUGIN_UPSTREAM_H

#include "pipeline/plugin.h"
#include "upstream/upstream.h"
#include "weir/plugin.h"

#define PLUGIN_EVENTS_MAX 32

struct face;

struct face *plugin_upstream_new(void); /* NULL when out of memory */
/* No world has it any more, so it has no servers. Its memory goes with the last plugin that holds it. */
void plugin_upstream_free(struct face *face); /* NULL is fine */
/* A plugin's own hold: its last tick may still run when its world is gone. Both: NULL is fine. */
struct face *plugin_upstream_hold(struct face *face); /* returns face */
void plugin_upstream_drop(struct face *face);
struct held *plugin_upstream_held(const struct face *face);

/* A world came to life: these are its servers now. */
void plugin_upstream_set(struct face *face, const struct upstream *upstream);

unsigned plugin_upstream_servers(struct face *face, struct weir_server *out, unsigned max);
bool plugin_upstream_report(struct face *face, struct str address, const struct weir_report *report);

void plugin_upstream_count(struct face *face, const char *event);
/* The n-th event's word and how often it came; NULL at the end. */
const char *plugin_upstream_event(const struct face *face, unsigned n, uint64_t *out_count);

#endif
