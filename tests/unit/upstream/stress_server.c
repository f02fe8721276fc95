/* What workers share, from several threads at once, for ThreadSanitizer (Criterion cannot run under it):
 * picks, beginnings and ends, the retry budget, a reload that adopts, an admin who drains. Ends with 0 if the
 * counters add up. */
#include <pthread.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "upstream/server.h"

#define THREADS 4
#define ROUNDS  20000

static struct upstream *upstream;

static void *work(void *arg)
{
    uint64_t random = (uint64_t)(uintptr_t)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        random = mix64(random + i);
        int64_t now_ns = clock_mono_ns();
        struct server *server =
            upstream_pick(upstream, ROLES_PRIMARY | ROLES_REPLICA, 0, random, random, now_ns);
        CHECK(server != NULL);
        server_began(server_ref(server));
        upstream_earn_retry(upstream, now_ns);
        bool is_failure = random % 8 == 0;
        if (is_failure)
            upstream_spend_retry(upstream, now_ns);
        server_ended(upstream, server, is_failure ? -1 : (int64_t)(random % 1000000), is_failure, now_ns);
        server_unref(server);
    }
    return NULL;
}

int main(void)
{
    struct addr addrs[4];
    char error[256];
    for (unsigned i = 0; i < 4; i++) {
        char text[16];
        snprintf(text, sizeof text, "127.0.0.1:%u", i + 1);
        CHECK(addr_parse(str_of(text), &addrs[i]));
    }
    const struct config_upstream config = { .name = STR("app"),
                                            .primaries = addrs,
                                            .primary_count = 2,
                                            .replicas = addrs + 2,
                                            .replica_count = 2,
                                            .retry_budget = 0.2 };
    upstream = upstream_new(&config, NULL, error, sizeof error);
    CHECK(upstream != NULL);

    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0);
    for (unsigned i = 0; i < 50; i++) {
        struct upstream *fresh = upstream_new(&config, upstream, error, sizeof error);
        CHECK(fresh != NULL);
        fresh->servers[i % 2]->admin = i % 4 < 2 ? SERVER_ADMIN_DRAIN : SERVER_ADMIN_UP;
        upstream_free(fresh);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);

    uint64_t requests = 0;
    for (unsigned i = 0; i < upstream->server_count; i++) {
        CHECK(upstream->servers[i]->inflight == 0);
        CHECK(upstream->servers[i]->references == 1);
        requests += upstream->servers[i]->requests;
    }
    CHECK(requests == (uint64_t)THREADS * ROUNDS);
    upstream_free(upstream);
    return 0;
}
