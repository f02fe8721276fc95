/* Who may ask for what, and how much: this is the door of policy/.
 *
 * The room knows tenants, API versions, routes, buckets and waiting lines: it decides who a request
 * belongs to, which rules it gets, whether it may pass now. It refuses to know sockets, servers, caches
 * and clocks: heads, config and `now` come in, decisions go out. Everything a client can make grow here
 * is bounded. What is shared by workers says so; the rest is immutable after it was built.
 *
 * tenant.h: identity by the ordered sources, and the tenants' own state. */
#ifndef POLICY_TENANT_H
#define POLICY_TENANT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "config/config.h"
#include "http/message.h"
#include "policy/bucket.h"

#define TENANT_NAME_MAX 63

/* What a request says about its tenant. */
struct tenant_claim {
    char name[TENANT_NAME_MAX + 1]; /* lower case, NUL-terminated */
    uint8_t name_len;
    /* Of the path, taken by a path source: "/t/acme" of "/t/acme/items", and of "/t/acme": what is left may
     * be empty and then means "/". */
    uint16_t prefix_bytes;
    bool is_prefix_stripped; /* the app must not see it */
};

/* Asks the sources in order. 0; ERR_NO_TENANT (none named one and unknown is refused), or ERR_BAD_TENANT (a
 * header names something that is no tenant name). Without `tenants` in the config: "default". A host or path
 * that does not fit its pattern, or whose label is no tenant name, passes to the next source. */
int tenant_claim_read(const struct config_tenants *config, const struct message *request,
                      bool is_peer_trusted, struct tenant_claim *out);

/* True for [a-z0-9_-]{1,63} in any case. */
bool tenant_name_is_valid(struct str name);

/* One tenant's own state, shared by all workers; lives across reloads as long as somebody knows it. */
struct tenant {
    char name[TENANT_NAME_MAX + 1];
    uint8_t name_len;
    bool is_listed; /* under `named` in the config that made it */
    _Atomic int references;
    uint64_t hash;               /* of the name, keyed */
    struct bucket bucket;        /* its rate */
    _Atomic int64_t concurrency; /* requests holding a permit now */
    _Atomic int64_t seen_ns;     /* last used; for the reaper */
    _Atomic uint64_t requests;   /* a rough rank for bounded labels, counted by workers in batches */
};

static inline struct str tenant_name(const struct tenant *tenant)
{
    return str_n(tenant->name, tenant->name_len);
}

/* All tenants seen lately. Shared, guarded by its own mutex: workers keep what they found in a table of
 * their own and come here once per tenant. Bounded: when full, tenants nobody holds and that
 * were idle longest make room. */
struct tenants;

struct tenants *tenants_new(unsigned tenants_max);
void tenants_free(struct tenants *tenants); /* NULL is fine */

/* Finds or makes it and returns a reference. NULL when the table is full of tenants in use. */
struct tenant *tenants_get(struct tenants *tenants, struct str name, int64_t now_ns);
struct tenant *tenant_unref(struct tenant *tenant); /* any thread; NULL is fine; returns NULL */
unsigned tenants_count(struct tenants *tenants);
/* Calls fn for each under the mutex; for the admin address. */
void tenants_each(struct tenants *tenants, void (*fn)(struct tenant *tenant, void *arg), void *arg);

/* The limits that hold for a tenant: its row under `named`, else `default`. NULL when it is unlisted and
 * the config refuses those. By hash, whatever the number of rows. */
struct tenant_rules;
struct tenant_rules *tenant_rules_new(const struct config_tenants *config); /* config must outlive it */
void tenant_rules_free(struct tenant_rules *rules);
const struct config_tenant *tenant_rules_find(const struct tenant_rules *rules, struct str name);

#endif
