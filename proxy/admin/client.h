/* The other end: a small blocking client of the admin address, for weir's own commands. Knows nothing of the
 * process it runs in, and says itself on stderr what went wrong. */
#ifndef ADMIN_CLIENT_H
#define ADMIN_CLIENT_H

#include <jansson.h>

#include "base/addr.h"

/* As exit codes (A1). */
#define CLIENT_DONE          0
#define CLIENT_REFUSED       1
#define CLIENT_NOT_CONNECTED 3

struct client_peer {
    struct addr addr;
    const char *token; /* NULL: none */
};

/* body: POST, taken over; NULL: GET. CLIENT_DONE and the reply's JSON in *out, which is the caller's; or
 * another CLIENT_*, and NULL. */
int client_ask(const struct client_peer *peer, const char *target, json_t *body, json_t **out);

#endif
