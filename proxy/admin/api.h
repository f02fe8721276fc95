/* The room's inside: what handlers share, and the table that finds them. Only for this room and its tests;
 * control thread. */
#ifndef ADMIN_API_H
#define ADMIN_API_H

#include <jansson.h>

#include "admin/admin.h"
#include "admin/reply.h"
#include "admin/server.h"
#include "admin/sessions.h"

#define PARTS_MAX 2

struct admin {
    struct loop *loop;
    struct admin_hooks hooks;
    struct admin_server *server; /* NULL in tests */
    struct addr bound;
    char *name;  /* the host that the config names; NULL: a literal address, or a socket */
    char *token; /* the last one in force; NULL: none */
    struct sessions sessions;
};

/* A request that passed the guard, on its way to a handler. */
struct call {
    const struct ask *ask;
    struct str parts[PARTS_MAX]; /* what stood at {} in the path, decoded */
    json_t *body;                /* POST: an object with no key but those of the table */
};

typedef void api_fn(struct admin *admin, const struct call *call, struct reply *reply);

/* Guards, finds the handler, calls it: the server's on_ask. arg is the admin. */
void api_ask(const struct ask *ask, struct reply *reply, void *arg);

/* Takes percent signs off; a broken one stands for itself. malloc'd, a view of it in *out; NULL when out of
 * memory. */
char *api_decode(struct str text, struct str *out);

/* True if every key of object is one of the words in allowed; else the reply says which is not. */
bool api_keys_are_known(json_t *object, const char *allowed, struct reply *reply);

/* A member that is a string; data NULL when it is absent. False, and a reply, if it is something else. */
bool api_string(json_t *object, const char *key, struct str *out, struct reply *reply);
/* The same for true and false; absent is false. */
bool api_flag(json_t *object, const char *key, bool *out, struct reply *reply);

/* The present world; a reload changes it. */
static inline struct world *admin_world(const struct admin *admin)
{
    return admin->hooks.world(admin->hooks.arg);
}

/* status.c, tenants.c */
api_fn get_livez, get_readyz, get_status, get_latency, get_hot, get_tenant;
/* metrics.c */
api_fn get_metrics;
/* purge.c */
api_fn post_purge;
/* changes.c */
api_fn post_reload, post_server, post_version, post_route, post_drain;
/* dashboard.c */
api_fn get_dashboard, post_session;

/* What /metrics and the dashboard say; false when out of memory. */
bool metrics_write(struct admin *admin, struct buf *out);

/* The body of the sign-in page: the dashboard itself, which then asks for the token. */
void dashboard_put(struct reply *reply, int status);
/* The session cookie's name: by port, which cookies do not tell apart. */
void dashboard_cookie_name(const struct admin *admin, char out[40]);

#endif
