/* The cross checks, by what they look at; reading_check() asks them all. Internal to the room. */
#ifndef CONFIG_CHECKS_H
#define CONFIG_CHECKS_H

#include "config/reading.h"

/* name is a field of the config: its address tells where it was said. data NULL is fine. checks.c */
void check_upstream_name(struct reading *r, const char *who, const struct str *name);
void check_version_name(struct reading *r, const char *who, const struct str *name);

/* checks_tenants.c: tenants and versions */
void check_tenants(struct reading *r);
void check_versions(struct reading *r);

/* checks_servers.c: upstreams, and what of them is most likely not meant */
void check_upstreams(struct reading *r);

/* The same address, however it is written; port 0 is another one each time. checks.c */
bool check_is_same_address(const struct addr *a, const struct addr *b);

/* checks_routes.c: routes, and that every request has an upstream to go to */
void check_routes(struct reading *r);
void check_ways(struct reading *r);

#endif
