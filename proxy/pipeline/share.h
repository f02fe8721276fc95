/* Who may be handed whose answer: the one place where cache keys are made.
 *
 * It knows tenants, credentials and the `share` rule of a route, and turns them into what selects a stored
 * answer. It refuses to know requests, sockets and what is stored: everything it goes by is in struct asker,
 * so that the wall between tenants and users can be tested by itself. Two rules hold whatever comes in: two
 * tenants never get one key (unless a route says scope: all_tenants), and who shows a credential that weir
 * did not verify never gets, or gives, an answer whose only word for its freshness is weir's own (a route's
 * ttl, or a guess). Pure; any thread. */
#ifndef PIPELINE_SHARE_H
#define PIPELINE_SHARE_H

#include "base/arena.h"
#include "cache/key.h"
#include "config/config.h"
#include "http/message.h"

struct asker {
    struct str tenant;
    bool is_https;
    struct str authority; /* normalised */
    struct str target;    /* exact bytes */
    struct str path;      /* of the target */
    struct str version;
    struct str upstream;
    const struct message *msg;            /* for its Authorization and Cookie */
    const struct config_cache_rule *rule; /* NULL: the route has none */
    bool is_verified;                     /* weir checked a credential of it that names this very tenant */
};

struct shared {
    struct key key;
    bool has_credential; /* Authorization, or a cookie that counts as one */
    bool may_use_ttl;    /* gets and gives answers that a route's ttl keeps fresh */
    bool may_guess;      /* ... whose freshness was guessed from Last-Modified (RFC 9111 4.2.2) */
    bool is_apart;       /* its credentials are part of the key */
};

/* False: out of memory. The key lives in the arena. */
bool share_decide(const struct asker *asker, struct arena *arena, struct shared *out);

/* The same key for another target of that origin (an invalidation's), or for stored parts of the same one
 * ("PART" instead of "GET"). False: out of memory. */
bool share_key_for(const struct asker *asker, struct str target, bool is_part, struct arena *arena,
                   struct key *out);

#endif
