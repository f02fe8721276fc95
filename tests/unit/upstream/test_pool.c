/* Connections between two requests. */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "peer.h"
#include "upstream/pool.h"

static struct world world;
static struct owner owners[3];
static struct peer *peer = &world.peers[0];

static void set_up(void)
{
    world_open(&world, 2);
    for (unsigned i = 0; i < COUNT_OF(owners); i++)
        owner_init(&owners[i], &world);
}

static void tear_down(void)
{
    for (unsigned i = 0; i < COUNT_OF(owners); i++)
        owner_fini(&owners[i]);
    world_close(&world);
}

/* count exchanges at the same time, so that as many connections come back. */
static void keep(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        owner_fini(&owners[i]);
        owner_get(&owners[i]);
        peer_accept(peer);
    }
    for (unsigned i = 0; i < count; i++) {
        int fd = i + 1 < count ? peer->older[peer->older_count - count + 1 + i] : peer->fd;
        struct peer one = { .loop = peer->loop, .fd = fd };
        peer_send(&one, OK_REPLY);
        world_wait(&world, &owners[i].is_over);
    }
}

WorldTest(pool, keeps_no_more_than_its_bound_and_drops_the_oldest)
{
    keep(3);
    cr_assert_eq(pools_idle(world.pools), 2);
    int oldest_fd = peer->older[0];
    struct peer oldest = { .loop = peer->loop, .fd = oldest_fd };
    cr_assert_eq(peer_wait_end(&oldest), 0);
}

WorldTest(pool, hands_out_the_newest)
{
    keep(2);
    owner_fini(&owners[0]);
    owner_get(&owners[0]);
    peer_expect(peer, "\r\n\r\n"); /* peer->fd is the one accepted and kept last */
}

static const char *const noises[] = { "HTTP/1.1 408 Request Timeout\r\n\r\n", "x" };

WorldTest(pool, closes_an_idle_connection_that_becomes_readable)
{
    for (size_t i = 0; i < COUNT_OF(noises); i++) {
        keep(1);
        cr_assert_eq(pools_idle(world.pools), 1);
        peer_send(peer, noises[i]);
        world_turn(&world, 3);
        cr_assert_eq(pools_idle(world.pools), 0);
    }
    keep(1);
    peer_close(peer);
    world_turn(&world, 3);
    cr_assert_eq(pools_idle(world.pools), 0);
}

WorldTest(pool, sweeps_what_was_idle_for_a_minute)
{
    keep(2);
    int64_t now_ns = loop_now_ns(world.loop);
    pools_sweep(world.pools, now_ns + 59 * NS_PER_S);
    cr_assert_eq(pools_idle(world.pools), 2);
    pools_sweep(world.pools, now_ns + 61 * NS_PER_S);
    cr_assert_eq(pools_idle(world.pools), 0);
    cr_assert_eq(peer_wait_end(peer), 0);
}

static bool is_known(const struct server *server, void *arg)
{
    return server != arg;
}

WorldTest(pool, forgets_servers_the_world_does_not_know)
{
    struct server *server = world.upstream->servers[0];
    keep(1);
    pools_forget(world.pools, is_known, world.upstream->servers[1]);
    cr_assert_eq(pools_idle(world.pools), 1, "it is another one that is gone");
    cr_assert_eq(server->references, 2, "the upstream's and the pool's");
    pools_forget(world.pools, is_known, server);
    cr_assert_eq(pools_idle(world.pools), 0);
    cr_assert_eq(server->references, 1);
}

WorldTest(pool, lets_an_exchange_finish_with_a_server_that_was_forgotten)
{
    struct server *server = world.upstream->servers[0];
    owner_get(&owners[0]);
    peer_accept(peer);
    peer_expect(peer, "\r\n\r\n");
    pools_forget(world.pools, is_known, server);
    cr_assert_eq(server->references, 2, "as long as the exchange runs");
    peer_send(peer, OK_REPLY);
    world_wait(&world, &owners[0].is_over);
    cr_assert_eq(owners[0].err, 0);
    cr_assert_eq(pools_idle(world.pools), 0, "nothing of it is kept");
    cr_assert_eq(server->references, 1);
}

WorldTest(pool, keeps_the_memory_of_some_exchanges_only)
{
    enum {
        MANY = SPARE_MAX + 20
    };
    static struct owner many[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        owner_init(&many[i], &world);
        owner_get(&many[i]);
    }
    cr_assert_eq(world.pools->exchange_count, MANY);
    for (unsigned i = 0; i < MANY; i++)
        owner_fini(&many[i]);
    cr_assert_eq(world.pools->exchange_count, 0);
    cr_assert_eq(world.pools->spare_exchange_count, SPARE_MAX);
    world_turn(&world, 2);
    owner_get(&owners[0]);
    cr_assert_eq(world.pools->spare_exchange_count, SPARE_MAX - 1);
}

WorldTest(pool, keeps_servers_apart)
{
    keep(1);
    struct pool *pool = pool_enter(world.pools, world.upstream->servers[1]);
    cr_assert_null(pool_take(pool, false));
    pool_leave(pool);
}
