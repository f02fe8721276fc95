#include "upstream/pool.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "net/stream.h"
#include "upstream/exchange_int.h"
#include "upstream/server.h"

#define IDLE_MS  60000
#define SWEEP_MS 5000

static struct list *pop(struct list *list)
{
    struct list *first = list->next;
    if (first == list)
        return NULL;
    list_remove(first);
    return first;
}

static void close_idle(struct connection *connection)
{
    struct pool *pool = connection->pool;
    pool->idle_count--;
    pool->pools->idle_count--;
    list_remove(&connection->link);
    connection_close(connection);
}

/* RFC 9112 9.3: nothing was asked, so whatever arrives (the end, a 408 as a farewell, a late rest of the last
 * reply) belongs to no request of ours. */
static void on_idle_readable(void *arg)
{
    struct connection *connection = arg;
    /* TLS has words of its own (session tickets, key updates) that are not the server speaking. */
    if (stream_is_tls(connection->stream) && !stream_is_stale(connection->stream))
        return;
    close_idle(connection);
}

static const struct stream_events idle_events = { .on_readable = on_idle_readable };

static void on_sweep(void *arg)
{
    struct pools *pools = arg;
    pools_sweep(pools, loop_now_ns(pools->loop));
    if (pools->idle_count > 0)
        timer_set(pools->loop, &pools->sweep, SWEEP_MS);
}

void pools_sweep(struct pools *pools, int64_t now_ns)
{
    list_for_each (at, &pools->all) {
        struct pool *pool = LIST_ENTRY(at, struct pool, link);
        while (pool->idle_count > 0) {
            struct connection *oldest = LIST_ENTRY(pool->idle.prev, struct connection, link);
            if (now_ns - oldest->idle_since_ns < IDLE_MS * NS_PER_MS)
                break;
            close_idle(oldest);
        }
    }
}

struct pools *pools_new(struct loop *loop, size_t read_bytes, unsigned idle_max_per_server)
{
    struct pools *pools = calloc(1, sizeof *pools);
    if (!pools)
        return NULL;
    pools->loop = loop;
    pools->idle_max = idle_max_per_server;
    list_init(&pools->all);
    list_init(&pools->spare_connections);
    list_init(&pools->spare_exchanges);
    timer_init(&pools->sweep, on_sweep, pools);
    /* A head that arrives in parts is put together in here, and must leave room to read more. */
    pools->scratch_bytes = read_bytes > 2 * REPLY_HEAD_MAX ? read_bytes : 2 * REPLY_HEAD_MAX;
    pools->scratch = malloc(pools->scratch_bytes);
    pools->by_server = map_new();
    if (!pools->scratch || !pools->by_server) {
        pools_free(pools);
        return NULL;
    }
    return pools;
}

static struct str key_of(struct server *const *server)
{
    return str_n((const char *)server, sizeof *server);
}

static void pool_free(struct pool *pool)
{
    list_remove(&pool->link);
    server_unref(pool->server);
    free(pool);
}

static void pool_forget(struct pool *pool)
{
    struct pools *pools = pool->pools;
    pool->is_forgotten = true;
    map_remove(pools->by_server, key_of(&pool->server));
    if (pools->last == pool)
        pools->last = NULL;
    while (pool->idle_count > 0)
        close_idle(LIST_ENTRY(pool->idle.next, struct connection, link));
    if (pool->users == 0)
        pool_free(pool);
}

void pools_free(struct pools *pools)
{
    if (!pools)
        return;
    /* An exchange would outlive its connection; ending them is their owners' business. */
    CHECK(pools->exchange_count == 0);
    timer_cancel(&pools->sweep);
    while (!list_is_empty(&pools->all))
        pool_forget(LIST_ENTRY(pools->all.next, struct pool, link));
    struct list *spare;
    while ((spare = pop(&pools->spare_connections)))
        free(LIST_ENTRY(spare, struct connection, link));
    while ((spare = pop(&pools->spare_exchanges)))
        exchange_free(LIST_ENTRY(spare, struct exchange, link));
    map_free(pools->by_server);
    free(pools->scratch);
    free(pools);
}

void pools_forget(struct pools *pools, bool (*is_known)(const struct server *server, void *arg), void *arg)
{
    list_for_each_safe (at, &pools->all) {
        struct pool *pool = LIST_ENTRY(at, struct pool, link);
        if (!pool->is_forgotten && !is_known(pool->server, arg))
            pool_forget(pool);
    }
}

unsigned pools_idle(const struct pools *pools)
{
    return pools->idle_count;
}

static struct pool *pool_new(struct pools *pools, struct server *server)
{
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pool->pools = pools;
    pool->server = server;
    list_init(&pool->idle);
    if (!map_put(pools->by_server, key_of(&pool->server), pool)) {
        free(pool);
        return NULL;
    }
    server_ref(server);
    list_push_back(&pools->all, &pool->link);
    return pool;
}

struct pool *pool_enter(struct pools *pools, struct server *server)
{
    struct pool *pool = pools->last;
    if (!pool || pool->server != server) {
        pool = map_get(pools->by_server, key_of(&server));
        if (!pool)
            pool = pool_new(pools, server);
        if (!pool)
            return NULL;
        pools->last = pool;
    }
    pool->users++;
    return pool;
}

void pool_leave(struct pool *pool)
{
    CHECK(pool->users > 0);
    pool->users--;
    if (pool->is_forgotten && pool->users == 0)
        pool_free(pool);
}

struct connection *pool_take(struct pool *pool, bool is_checked)
{
    while (pool->idle_count > 0) {
        struct connection *newest = LIST_ENTRY(pool->idle.next, struct connection, link);
        if ((is_checked || newest->is_suspect) && stream_is_stale(newest->stream)) {
            close_idle(newest);
            continue;
        }
        list_remove(&newest->link);
        pool->idle_count--;
        pool->pools->idle_count--;
        stream_set_urgent(newest->stream, false);
        return newest;
    }
    return NULL;
}

struct connection *connection_new(struct pool *pool, struct stream *stream)
{
    struct list *spare = pop(&pool->pools->spare_connections);
    struct connection *connection =
        spare ? LIST_ENTRY(spare, struct connection, link) : malloc(sizeof *connection);
    if (!connection) {
        stream_close(stream);
        return NULL;
    }
    pool->pools->spare_connection_count -= spare != NULL;
    list_init(&connection->link);
    connection->stream = stream;
    connection->pool = pool;
    return connection;
}

void connection_park(struct connection *connection)
{
    struct pool *pool = connection->pool;
    struct pools *pools = pool->pools;
    if (pool->is_forgotten || pools->idle_max == 0) {
        connection_close(connection);
        return;
    }
    if (pool->idle_count == pools->idle_max)
        close_idle(LIST_ENTRY(pool->idle.prev, struct connection, link));

    stream_set_owner(connection->stream, &idle_events, connection);
    stream_set_urgent(connection->stream, true);
    stream_want_read(connection->stream, true);
    connection->idle_since_ns = loop_now_ns(pools->loop);
    list_push_front(&pool->idle, &connection->link);
    pool->idle_count++;
    pools->idle_count++;
    if (!timer_is_set(&pools->sweep))
        timer_set(pools->loop, &pools->sweep, SWEEP_MS);
}

struct stream *connection_release(struct connection *connection)
{
    struct stream *stream = connection->stream;
    struct pools *pools = connection->pool->pools;
    connection->stream = NULL;
    connection->pool = NULL;
    if (pools->spare_connection_count == SPARE_MAX) {
        loop_free_later(pools->loop, connection);
    } else {
        list_push_front(&pools->spare_connections, &connection->link);
        pools->spare_connection_count++;
    }
    return stream;
}

void connection_close(struct connection *connection)
{
    stream_close(connection_release(connection));
}

void connection_reset(struct connection *connection)
{
    stream_reset(connection_release(connection));
}
