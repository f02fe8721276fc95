/* One server's life, as the rest of the room sees it. Reference counted: worlds (struct upstream) and the
 * workers' pools hold it, on any thread. */
#ifndef UPSTREAM_SERVER_H
#define UPSTREAM_SERVER_H

#include "upstream/upstream.h"

/* One reference. NULL when out of memory. */
struct server *server_new(const struct addr *addr, enum server_role role);
struct server *server_ref(struct server *server);
struct server *server_unref(struct server *server); /* NULL is fine; returns NULL */

/* In, as far as the admin and active checks say: traffic's judgement left aside. */
bool server_is_wanted(const struct server *server);

/* Failures in a row by traffic after which a server is taken out, where there is another one. */
int server_fall(const struct upstream *upstream);

/* The mean of the time to a reply's head as it counts now: an old measurement fades, so that a server which
 * was slow once is tried again. 0: never measured. */
double server_mean_ns(const struct server *server, int64_t now_ns);

/* Spreads the bits of x (splitmix64's last step): jitter, and points of a hash. */
static inline uint64_t mix64(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

#endif
