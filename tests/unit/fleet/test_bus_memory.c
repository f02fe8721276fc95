/* Memory that ends at each allocation in turn: a purge is then refused or kept, never half done. */
#include <criterion/criterion.h>

#include <signal.h>
#include <stdlib.h>

#include "fleet/bus.h"
#include "servers.h"

#define LEASE_MS 100

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static long left = -1; /* until one fails; -1: none does */

static bool fails(void)
{
    return left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

static struct loop *loop;
static unsigned applied;
static unsigned told;

static void on_apply(void *arg, const struct bus_purge *purge)
{
    applied++;
}

static void on_done(void *arg, enum bus_end end, unsigned nodes)
{
    told++;
}

static const struct bus_events events = { .apply = on_apply };
static const struct bus_purge everything = { .kind = BUS_ALL };

static void setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    loop = loop_new();
}

static void teardown(void)
{
    left = -1;
    loop_free(loop);
}

TestSuite(bus_memory, .init = setup, .fini = teardown, .timeout = 120);

Test(bus_memory, opening_fails_whole)
{
    struct redis_url url = url_of("redis://127.0.0.1:1");
    struct bus_options options = { .url = &url };
    struct bus *bus = NULL;
    long at = 0;
    for (; !bus; at++) {
        left = at;
        bus = bus_new(loop, &options, &events, NULL);
        left = -1;
        loop_turn(loop, 0);
    }
    cr_assert_gt(at, 3);
    bus_free(bus);
}

Test(bus_memory, a_refused_purge_is_never_told_of)
{
    struct redis_url url = url_of("redis://127.0.0.1:1");
    struct bus_options options = { .url = &url };
    struct bus *bus = bus_new(loop, &options, &events, NULL);
    bool is_taken = false;
    unsigned tries = 0;
    for (; !is_taken; tries++) {
        left = tries;
        is_taken = bus_purge(bus, &everything, on_done, NULL);
        left = -1;
        cr_assert_eq(applied, tries + 1, "here it is applied");
        loop_turn(loop, 0);
        cr_assert_eq(told, is_taken ? 1 : 0);
    }
    cr_assert_gt(tries, 2);
    struct bus_state state;
    bus_state_read(bus, &state);
    cr_assert_eq(state.pending, 1);
    left = 0;
    bus_invalidate(bus, STR("x"));
    left = -1;
    bus_state_read(bus, &state);
    cr_assert_eq(state.dropped, 1);
    bus_free(bus);
}

/* On a real one every purge ends, and the bus recovers, wherever memory was out. */
Test(bus_memory, whatever_fails_on_the_way_every_purge_ends)
{
    struct server server;
    struct bus_state state;
    server_init(&server);
    server_start(&server, NULL);
    struct redis_url url = server_url(&server);
    struct bus_options options = { .url = &url, .lease_ms = LEASE_MS, .patience_ms = 2 * LEASE_MS };
    struct bus *bus = bus_new(loop, &options, &events, NULL);
    for (long at = 0; at < 60; at++) {
        do {
            loop_turn(loop, 1);
            bus_state_read(bus, &state);
        } while (!state.connected);
        told = 0;
        left = at;
        bool is_taken = bus_purge(bus, &everything, on_done, NULL);
        while (told < is_taken)
            loop_turn(loop, 1);
        left = -1;
        cr_assert_eq(told, is_taken);
    }
    do {
        loop_turn(loop, 1);
        bus_state_read(bus, &state);
    } while (!state.connected || state.pending > 0);
    bus_free(bus);
    loop_turn(loop, 0);
    server_fini(&server);
}
