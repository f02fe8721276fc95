/* Between explain.c, explain_plugins.c and explain_rules.c only. */
#ifndef EXPLAIN_INSIDE_H
#define EXPLAIN_INSIDE_H

#include <stdio.h>

#include "config/config.h"
#include "http/message.h"
#include "policy/tenant.h"
#include "policy/version.h"

#define SERVED     0
#define REFUSED    1
#define NO_REQUEST 2

/* What is known of the request so far, in the order the corridor finds it out. */
struct explanation {
    const struct config *config;
    const char *plugin_dir; /* the build's own; may be NULL */
    FILE *out;
    bool is_https;
    bool is_trusted;
    struct message msg;
    char authority[300];
    struct str host;
    struct tenant_claim claim;
    struct str tenant;
    const struct config_tenant *limits;
    struct str path; /* after tenant and version prefixes */
    struct version_choice choice;
    const struct config_route *route;
    const struct config_upstream *upstream;
    bool is_write; /* a plugin of the upstream says so */
    bool bypasses_cache;
};

/* One line: what it is about, padded, and the words. */
void explain_say(const struct explanation *e, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Its last line. Returns REFUSED. */
int explain_refuse(const struct explanation *e, int err);

bool explain_has_body(const struct message *msg);

void explain_servers(const struct explanation *e);
/* Asks the plugins of e->upstream, which may name another one, and says whose servers it gets. SERVED or
 * REFUSED. */
int explain_plugins(struct explanation *e);
void explain_cache(const struct explanation *e);
void explain_times(const struct explanation *e);
void explain_limits(const struct explanation *e);

#endif
