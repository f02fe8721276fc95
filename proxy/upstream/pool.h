/* Connections between two requests, as the exchange sees them. One worker's thread.
 *
 * struct pools is a worker's; it has one struct pool per server, made at the first use and dropped when the
 * world forgets the server and the last connection of it is gone. Idle connections lie newest first (the
 * newest is the least likely to have been closed at the other end), stay watched, and go when they become
 * readable, when the server's list is full (the oldest), or after IDLE_MS by a coarse sweep. */
#ifndef UPSTREAM_POOL_H
#define UPSTREAM_POOL_H

#include "base/list.h"
#include "net/loop.h"
#include "upstream/exchange.h"

struct map;
struct pool;

#define SPARE_MAX 256 /* connections and exchanges a worker keeps the memory of */

struct connection {
    struct list link; /* in pool->idle or pools->spare_connections */
    struct stream *stream;
    struct pool *pool;
    int64_t idle_since_ns;
    bool is_suspect; /* its last reply had no body by rule (HEAD, 204, 304): a server that sent one is a liar
                        to look out for */
};

struct pool {
    struct list link; /* in pools->all */
    struct pools *pools;
    struct server *server; /* a reference; its address is the key in pools->by_server */
    struct list idle;      /* of struct connection, newest first */
    unsigned idle_count;
    unsigned users; /* exchanges; each holds the pool */
    bool is_forgotten;
};

struct pools {
    struct loop *loop;
    char *scratch; /* what a read brings lies here until its batch is over */
    size_t scratch_bytes;
    unsigned idle_max;
    unsigned idle_count;
    struct map *by_server;
    struct pool *last; /* the one asked for last: most workers have few servers */
    struct list all;
    struct timer sweep;
    struct list spare_connections;
    unsigned spare_connection_count;
    struct list spare_exchanges;
    unsigned spare_exchange_count;
    unsigned exchange_count; /* alive */
};

/* The server's pool, for one more user. NULL when out of memory. */
struct pool *pool_enter(struct pools *pools, struct server *server);
void pool_leave(struct pool *pool);

/* The newest idle connection, or NULL. is_checked: one that the peer closed meanwhile is not handed out, at
 * the price of a system call. The caller sets the stream's owner at once. */
struct connection *pool_take(struct pool *pool, bool is_checked);

/* Makes a connection of a stream; NULL when out of memory (then the stream is closed). */
struct connection *connection_new(struct pool *pool, struct stream *stream);
/* Its exchange is over and both sides agree: keeps it for the next one, or closes it if it may not be kept.
 */
void connection_park(struct connection *connection);
void connection_close(struct connection *connection);
void connection_reset(struct connection *connection);
/* The stream goes its own way, the connection is no more. */
struct stream *connection_release(struct connection *connection);

/* Closes what has been idle for too long at now_ns. The timer's work; tests call it with a later now. */
void pools_sweep(struct pools *pools, int64_t now_ns);

#endif
