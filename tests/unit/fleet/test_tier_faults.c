/* Every allocation may fail: the n-th one does, for every n that there is. It costs a miss, never more. */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "fleet/tier.h"
#include "servers.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

static _Thread_local long fails_in = -1; /* -1: never. The resolver's thread has its own troubles */

static bool fails(void)
{
    return fails_in >= 0 && fails_in-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

static unsigned done;
static bool was_found;

static struct str vary_key(struct tier_get *get, struct str vary)
{
    return STR("json");
}

static void on_done(struct tier_get *get, const struct value *value, enum tier_miss miss)
{
    done++;
    was_found = value != NULL;
}

/* All that the tier does, once. True if the answer was found. */
static bool use_everything(struct loop *loop, const struct redis_url *url)
{
    struct tier_options options = { .url = url, .budget_ms = 200 };
    struct value value = { .primary = STR("t\0http\0h\0/"),
                           .selector = STR("s"),
                           .status = 200,
                           .fetched_wall_ms = 1,
                           .vary = STR("accept"),
                           .vary_key = STR("json"),
                           .head = STR("HTTP/1.1 200 OK\r\n") };
    struct tier_get get = {
        .primary = value.primary, .selector = value.selector, .vary_key = vary_key, .on_done = on_done
    };

    done = 0;
    was_found = false;
    struct tier *tier = tier_new(loop, &options);
    if (!tier)
        return false;
    int64_t end_ns = clock_mono_ns() + 5 * NS_PER_S;
    while (tier_state(tier) != TIER_UP && clock_mono_ns() < end_ns)
        loop_turn(loop, 5);
    tier_put(tier, &value, 60000);
    while (tier_count(tier, TIER_COUNT_stored) + tier_count(tier, TIER_COUNT_skipped) +
                   tier_count(tier, TIER_COUNT_errors) ==
               0 &&
           clock_mono_ns() < end_ns)
        loop_turn(loop, 5);
    if (tier_get(tier, &get) == TIER_FOUND)
        turn_until_count(loop, &done, 1);
    tier_forget(tier, STR("t\0http\0h\0/other"));
    for (unsigned i = 0; i < 3; i++)
        loop_turn(loop, 1);
    tier_free(tier);
    loop_turn(loop, 0);
    return was_found;
}

Test(tier_faults, cost_a_miss_and_nothing_else, .timeout = 120)
{
    struct server server;
    server_init(&server);
    server_start(&server, NULL);
    struct redis_url url = server_url(&server);
    struct loop *loop = loop_new();
    cr_assert(use_everything(loop, &url));
    long n = 0;
    for (; n < 500; n++) {
        server_do(&server, "FLUSHALL");
        fails_in = n;
        bool is_found = use_everything(loop, &url);
        bool has_failed = fails_in < 0;
        fails_in = -1;
        if (!has_failed) {
            cr_assert(is_found);
            break;
        }
    }
    cr_assert_gt(n, 15);
    cr_assert_lt(n, 500);
    loop_free(loop);
    server_fini(&server);
    check_leaks();
}
