/* Between explain.c and explain_rules.c only. */
#ifndef EXPLAIN_INSIDE_H
#define EXPLAIN_INSIDE_H

#include <stdio.h>

#include "config/config.h"
#include "http/message.h"
#include "policy/tenant.h"
#include "policy/version.h"

/* What is known of the request so far, in the order the corridor finds it out. */
struct explanation {
    const struct config *config;
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
};

/* One line: what it is about, padded, and the words. */
void explain_say(const struct explanation *e, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void explain_cache(const struct explanation *e);
void explain_times(const struct explanation *e);
void explain_limits(const struct explanation *e);

#endif
