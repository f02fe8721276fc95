/* The live world: what a config became. Upstreams with their servers, lines and plugins, the route table, the
 * tenants' rules, TLS contexts.
 *
 * Built by the control thread from a config and the world before it, whose living parts (servers, health,
 * lines, tenants, cache, labels, plugins whose keys did not change, ticket keys) are adopted by name. Then it
 * is immutable but for atomics, shared by all workers, and dies with its last reference: each worker holds
 * one while it has requests that began in it. */
#ifndef PIPELINE_WORLD_H
#define PIPELINE_WORLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cache/cache.h"
#include "config/config.h"
#include "net/tls.h"
#include "observe/series.h"
#include "policy/address.h"
#include "policy/line.h"
#include "policy/route.h"
#include "policy/tenant.h"
#include "policy/version.h"
#include "upstream/upstream.h"

#define PLUGINS_MAX 8 /* of one upstream */

struct loop;
struct plugin;
struct world;

/* What outlives every world: made once by main. */
struct city {
    struct cache *cache;
    struct tenants *tenants;
    struct labels *labels;
    struct address_table *addresses;
    _Atomic(bool) is_draining;
    _Atomic(uint64_t) generation;
    _Atomic(int64_t) connections;
    int64_t started_wall_ms;
    _Atomic(int64_t) connections_max;
    /* What several weirs share (fleet/); NULL without Redis. */
    struct bus *bus;           /* the control thread's, but for what its header says of any thread */
    struct loop *control_loop; /* to which others post what is the control thread's */
};

/* What the supplies of one name have in common over reloads. */
struct shared_supply {
    _Atomic int references;
    struct line *line; /* NULL until a limit was configured */
    struct face *face; /* as plugins hold it: those who wait for their wake() */
};

/* One upstream as the corridor sees it. */
struct supply {
    struct upstream *upstream;
    struct shared_supply *shared;
    struct line *line; /* shared->line; NULL: unlimited */
    struct held *held; /* shared->face's */
    struct plugin *plugins[PLUGINS_MAX];
    unsigned plugin_count;
    struct health *health; /* the control thread's */
    unsigned index;
};

struct canary { /* replaced as a whole by the admin address */
    struct config_canary config;
    struct supply *supply; /* NULL: none */
    bool is_override;      /* by the admin address, not by the file */
    struct canary *older;  /* kept until the world dies: a worker may be reading it */
};

struct edition {                         /* a version as the corridor sees it */
    const struct config_version *config; /* NULL: the only one of a config without `versions` */
    struct str name;                     /* "" for that one */
    struct supply *supply;               /* NULL: the only upstream */
    _Atomic(struct canary *) canary;
    unsigned label;
    struct str fields; /* Deprecation, Sunset, Link lines, ready to be written; may be empty */
};

/* What the leak sentinel found out about a route: as long as its cache rule stays the same, over reloads.
 * Written by the lane that found it, read by all. */
struct watch {
    _Atomic int references;
    _Atomic(bool) is_quarantined; /* nothing of it is shared that the app did not itself declare shared */
    _Atomic(int64_t) since_wall_ms;
    _Atomic(uint64_t) stored_digest;
    _Atomic(uint64_t) fetched_digest;
};

struct way {                           /* a route as the corridor sees it */
    const struct config_route *config; /* NULL: no route named the request */
    struct supply *supply;             /* NULL: the version's */
    struct watch *watch;
    unsigned label;
};

struct gate { /* a listen entry */
    const struct config_listen *config;
    struct tls_server *tls; /* NULL: plain */
};

struct world {
    _Atomic int references;
    struct city *city;
    struct config *config;
    uint64_t generation;
    int64_t loaded_wall_ms;
    struct supply *supplies;
    unsigned supply_count;
    struct edition *editions; /* at least one */
    unsigned edition_count;
    struct way *ways; /* one per route, then one for "no route" */
    struct versions *versions;
    struct routes *routes;
    struct tenant_rules *rules;
    struct gate *gates; /* one per listen entry */
};

/* old may be NULL. NULL and mistakes (with their marks) when a certificate, a plugin or an upstream does not
 * come to life; then nothing of old was changed. plugin_dir: the build's own folder, searched last. */
struct world *world_new(struct city *city, struct config *config, struct world *old, const char *plugin_dir,
                        struct config_mistakes *mistakes);
struct world *world_ref(struct world *world);
struct world *world_unref(struct world *world); /* any thread; NULL is fine; returns NULL */

/* Active checks of its upstreams on that loop, and off again. The control thread's. */
void world_start_health(struct world *world, struct loop *loop);
void world_stop_health(struct world *world);

/* The routes that the leak sentinel quarantined, for the admin address. is_quarantined false lifts it; false
 * when there is no such route. "" is what no route names. */
struct quarantine {
    struct str route;
    int64_t since_wall_ms;
    uint64_t stored_digest;
    uint64_t fetched_digest;
};
unsigned world_quarantines(const struct world *world, struct quarantine *out, unsigned max);
bool world_lift_quarantine(struct world *world, struct str route);

struct supply *world_supply(const struct world *world, struct str name);

/* The admin address changes a canary; an upstream with data NULL means the one it had. False: no such version
 * or upstream, or no memory. Any one thread at a time. */
bool world_set_canary(struct world *world, struct str version, double percent, struct str upstream);

/* Not draining, and some upstream has a usable server; what readyz asks. A dead canary is no reason to take
 * every weir out. */
bool world_is_ready(const struct world *world, int64_t now_ns);

bool world_trusts(const struct world *world, const struct sockaddr *peer);

#endif
