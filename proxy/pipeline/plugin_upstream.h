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

struct weir_upstream;

struct weir_upstream *plugin_upstream_new(void); /* NULL when out of memory */
/* No world has it any more, so it has no servers. Its memory goes with the last plugin that holds it. */
void plugin_upstream_free(struct weir_upstream *face); /* NULL is fine */
/* A plugin's own hold: its last tick may still run when its world is gone. Both: NULL is fine. */
struct weir_upstream *plugin_upstream_hold(struct weir_upstream *face); /* returns face */
void plugin_upstream_drop(struct weir_upstream *face);
struct held *plugin_upstream_held(const struct weir_upstream *face);

/* A world came to life: these are its servers now. */
void plugin_upstream_set(struct weir_upstream *face, const struct upstream *upstream);

unsigned plugin_upstream_servers(struct weir_upstream *face, struct weir_server *out, unsigned max);
bool plugin_upstream_report(struct weir_upstream *face, struct str address, const struct weir_report *report);
/* What was reported as the server's position, copied to out[256]; its length, 0 if there is none. */
size_t plugin_upstream_position(struct weir_upstream *face, const struct server *server, char out[256]);
bool plugin_upstream_has_positions(const struct weir_upstream *face);

void plugin_upstream_count(struct weir_upstream *face, const char *event);
/* The n-th event's word and how often it came; NULL at the end. */
const char *plugin_upstream_event(const struct weir_upstream *face, unsigned n, uint64_t *out_count);

#endif
