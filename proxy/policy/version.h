/* API versions: which one a request asks for, what its age means, who gets the canary. Pure; built
 * from a config that must outlive it. */
#ifndef POLICY_VERSION_H
#define POLICY_VERSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "config/config.h"
#include "http/message.h"

struct versions;

struct versions *versions_new(const struct config_versions *config);
void versions_free(struct versions *versions); /* NULL is fine */

struct version_choice {
    const struct config_version *version; /* NULL only without `versions` in the config */
    unsigned index;                       /* row in the config; 0 without `versions` */
    /* Of the path that was given, taken by a path source: "/v1" of "/v1/items", and of "/v1": what is left
     * may be empty and then means "/". */
    uint16_t prefix_bytes;
    bool is_prefix_stripped;
};

/* path is the request's path after the tenant's prefix was taken off. preferred is the tenant's own
 * version (data NULL: none), used when no source names one, before `default`. 0 or ERR_UNKNOWN_VERSION: an
 * unknown version in header, media type or query; a path segment that is no known version is just a path. */
int versions_choose(const struct versions *versions, const struct message *request, struct str path,
                    struct str preferred, struct version_choice *out);

/* True if the version's sunset has passed and it says after_sunset: gone. */
bool version_is_gone(const struct config_version *version, int64_t now_s);

/* Sticky by tenant: the same tenants for as long as the percentage does not shrink, in every weir (an
 * unkeyed hash of version and tenant). tenants always in it are named in the list. */
bool version_is_canary(const struct config_version *version, const struct config_canary *canary,
                       struct str tenant);

#endif
