/* What a choice costs: at 16 replicas less than a microsecond. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fake_host.h"
#include "split.h"

#define SERVERS 17
#define ROUNDS  20000

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SLOWED true
#else
#define IS_SLOWED false
#endif

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static char addresses[SERVERS][32];
static struct weir_candidate candidates[SERVERS];

static struct rw_split *make(const char *consistency)
{
    struct weir_config config = { { { .name = "consistency", .text = consistency } } };
    char error[400];
    struct rw_split *self = weir_plugin.configure(&fake_host, &config, error, sizeof error);

    cr_assert(self);
    for (unsigned i = 0; i < SERVERS; i++) {
        snprintf(addresses[i], sizeof addresses[i], "192.168.100.%u:3000", i);
        candidates[i] = (struct weir_candidate){ .size = sizeof candidates[i],
                                                 .role = i ? WEIR_REPLICA : WEIR_PRIMARY,
                                                 .is_usable = true,
                                                 .inflight = i % 3,
                                                 .mean_us = 900,
                                                 .address = { addresses[i], strlen(addresses[i]) },
                                                 .lag_ms = -1 };
        servers_sample(self->servers, candidates[i].address, fake_wall_ms - 20, fake_wall_ms - 19,
                       (struct position){ .is_known = true, .value = 1000 - i % 2 });
    }
    servers_measure(self->servers);
    return self;
}

/* The best of some batches: what else runs on the machine is not the plugin's cost. */
static double cost_ns(struct rw_split *self, struct seen seen, enum weir_choice_kind want)
{
    struct weir_request request = { .method = "GET", .tenant = "acme", .domain = "main" };
    struct visit room, *visit = visit_of(self, &request, &room);
    double best = 1e9;

    visit->seen = seen;
    for (unsigned batch = 0; batch < 10; batch++) {
        int64_t began_ns = now_ns();
        double took;

        for (unsigned i = 0; i < ROUNDS; i++) {
            struct weir_choice choice = { .size = sizeof choice };

            weir_plugin.choose(self, &request, candidates, SERVERS, false, &choice);
            cr_assert_eq(choice.kind, want);
        }
        took = (double)(now_ns() - began_ns) / ROUNDS;
        if (took < best)
            best = took;
    }
    return best;
}

Test(rw_split_cost, a_choice_among_16_replicas_is_below_a_microsecond)
{
    struct rw_split *window = make("window");
    struct rw_split *position = make("position");
    struct seen all = { .at = { .is_known = true, .value = 900 } };
    struct seen half = { .at = { .is_known = true, .value = 1000 } };
    double by_window = cost_ns(window, (struct seen){ 0 }, WEIR_ROLES);
    double without = cost_ns(position, (struct seen){ 0 }, WEIR_ROLES);
    double among_all = cost_ns(position, all, WEIR_PICK);
    double among_half = cost_ns(position, half, WEIR_PICK);

    fprintf(stderr, "a choice takes: window %.0f ns, no token %.0f ns, token %.0f ns, half behind %.0f ns\n",
            by_window, without, among_all, among_half);
    if (!IS_SLOWED) {
        cr_expect_lt(by_window, 1000);
        cr_expect_lt(without, 1000);
        cr_expect_lt(among_all, 1000);
        cr_expect_lt(among_half, 1000);
    }
    weir_plugin.destroy(window);
    weir_plugin.destroy(position);
}
