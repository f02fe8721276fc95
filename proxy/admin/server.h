/* A small HTTP/1.1 server for few and patient callers: whole requests in, whole replies out, on one loop.
 *
 * Bounded: CALLERS_MAX connections (a new one takes the place of an idle one), heads of 16 KiB, bodies of 64
 * KiB, every wait DEADLINE_MS, but for a reply that its handler has to wait for (reply_ready()): LATER_MS.
 * Only for this room. Owner and thread: control. */
#ifndef ADMIN_SERVER_H
#define ADMIN_SERVER_H

#include <stdbool.h>

#include "admin/reply.h"
#include "base/addr.h"
#include "http/message.h"

#define CALLERS_MAX 64
#define BODY_MAX    (64 * 1024)
#define DEADLINE_MS 5000
#define LATER_MS    30000

struct loop;
struct admin_server;

/* A whole request. Views live for the call. */
struct ask {
    const struct message *msg;
    struct str body;
    bool is_unix; /* it came through a unix socket */
};

/* Fills in the reply, at once or later; called once for each request. */
typedef void ask_fn(const struct ask *ask, struct reply *reply, void *arg);

/* NULL and an errno in *out_errno. bound: what a port 0 became. */
struct admin_server *admin_server_new(struct loop *loop, const struct addr *addr, ask_fn *on_ask, void *arg,
                                      struct addr *out_bound, int *out_errno);
void admin_server_free(struct admin_server *server); /* not from on_ask; NULL is fine */

#endif
