/* Active checks against scripted servers. */
#include <criterion/criterion.h>
#include <unistd.h>

#include "base/err.h"
#include "peer.h"

static struct world world;
static struct health *health;
static struct peer *peer = &world.peers[0];
static struct server *server;

static void set_up(void)
{
    world_open(&world, 1);
    world.config.health.is_given = true;
    server = world.upstream->servers[0];
}

static void tear_down(void)
{
    health_free(health);
    world_close(&world);
}

static void check(const char *reply)
{
    peer_accept(peer);
    peer_expect(peer, "GET /healthz HTTP/1.1\r\n");
    peer_send(peer, reply);
    peer_close(peer);
    world_turn(&world, 5);
}

#define GOOD  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define MOVED "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"
#define BAD   "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
#define CUT   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"

WorldTest(health, counts_fall_and_rise_in_a_row)
{
    static const struct {
        const char *reply;
        bool is_healthy;
    } steps[] = { { BAD, true },  { BAD, true },   { GOOD, true }, { BAD, true },
                  { CUT, true },  { "", false },   { BAD, false }, { GOOD, false },
                  { BAD, false }, { GOOD, false }, { MOVED, true } };
    health = health_new(world.loop, world.upstream, NULL, NULL);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        check(steps[i].reply);
        cr_expect_eq(server->is_healthy, steps[i].is_healthy, "step %zu", i);
    }
    cr_assert_eq(peer->accepted, COUNT_OF(steps), "each on a connection of its own");
}

static void on_done(void *flag)
{
    *(bool *)flag = true;
}

WorldTest(health, that_takes_too_long_has_failed)
{
    world.config.health.timeout_ms = 30;
    world.config.health.fall = 1;
    health = health_new(world.loop, world.upstream, NULL, NULL);
    peer_accept(peer);
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok");
    struct timer timer;
    bool is_late = false;
    timer_init(&timer, on_done, &is_late);
    timer_set(world.loop, &timer, 60);
    world_wait(&world, &is_late);
    cr_assert_not(server->is_healthy);
}

WorldTest(health, without_checks_forgets_what_checks_said)
{
    world.config.health.is_given = false;
    server->is_healthy = false;
    health = health_new(world.loop, world.upstream, NULL, NULL);
    cr_assert(server->is_healthy);
}

WorldTest(health, may_be_freed_in_the_middle_of_a_check)
{
    health = health_new(world.loop, world.upstream, NULL, NULL);
    peer_accept(peer);
    peer_expect(peer, "\r\n\r\n");
    health_free(health);
    health = NULL;
    cr_assert_eq(peer_wait_end(peer), 0);
}

WorldTest(health, remembers_why_a_check_failed)
{
    static const struct {
        const char *reply;
        int why;
    } steps[] = {
        { BAD, 500 }, { CUT, ERR_UPSTREAM_CUT }, { "", ERR_UPSTREAM_CLOSED }, { GOOD, ERR_UPSTREAM_CLOSED }
    };
    health = health_new(world.loop, world.upstream, NULL, NULL);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        check(steps[i].reply);
        cr_expect_eq(server->why_unhealthy, steps[i].why, "step %zu: %d", i, server->why_unhealthy);
    }
}

WorldTest(health, a_server_that_is_back_has_no_failures_of_traffic)
{
    world.config.health.rise = 1;
    server->failures = 7;
    health = health_new(world.loop, world.upstream, NULL, NULL);
    check(GOOD);
    cr_assert_eq(server->failures, 7, "it was not out by its checks");
    server->is_healthy = false;
    check(GOOD);
    cr_assert(server->is_healthy);
    cr_assert_eq(server->failures, 0);
}
