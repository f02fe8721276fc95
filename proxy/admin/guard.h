/* Who may ask: the checks that stand before every handler. Pure; only for this room.
 *
 * A browser of an operator is the attacker's way in: a foreign page may send requests to a loopback address,
 * and a name of its own may come to mean that address (DNS rebinding). So Host must be something no stranger
 * controls, and what changes weir must be JSON, which a foreign page cannot send without being asked for its
 * origin first. */
#ifndef ADMIN_GUARD_H
#define ADMIN_GUARD_H

#include <stdbool.h>

#include "base/str.h"

/* A literal address, localhost, or `name` (data NULL: none), with any port. */
bool guard_is_our_host(struct str authority, struct str name);

/* Origin names the very host and port that Host does. */
bool guard_is_own_origin(struct str origin, struct str authority);

/* application/json, with whatever parameters. */
bool guard_is_json(struct str content_type);

/* "Bearer TOKEN", and it is that one. */
bool guard_is_right_bearer(struct str authorization, struct str token);

/* Takes as long as `given` is, whatever it has in common with the secret. */
bool guard_is_same_secret(struct str given, struct str secret);

#endif
