/* What workers share in policy/, under as many threads as a small machine has: a line that never lets too
 * many in, loses no waiter and no place; a bucket that never gives too much; the registry of tenants; the
 * table of addresses. For ThreadSanitizer; a plain program that ends by itself after about two seconds. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "policy/address.h"
#include "policy/line.h"
#include "policy/tenant.h"

#define THREADS 4
#define PART_NS (400 * NS_PER_MS)

static int64_t end_ns;

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1du >> 32;
}

static void run(void *(*fn)(void *arg))
{
    pthread_t threads[THREADS];
    end_ns = clock_mono_ns() + PART_NS;
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, fn, (void *)(i + 1)) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* --- line --- */

#define GUESTS    8
#define LIMIT_MAX 6
#define QUEUE     20

enum {
    HOME,
    WAITING,
    TOLD_IN,
    TOLD_OUT
};

struct guest {
    struct line_waiter waiter;
    _Atomic int state;
};

static struct line *line;
static _Atomic int64_t inside_now, entered, left, waited, pushed_out;
static bool is_limit_fixed;

static void on_turn(struct line_waiter *waiter)
{
    struct guest *guest = CONTAINER_OF(waiter, struct guest, waiter);
    CHECK(atomic_exchange(&guest->state, TOLD_IN) == WAITING);
}

static void on_refused(struct line_waiter *waiter)
{
    struct guest *guest = CONTAINER_OF(waiter, struct guest, waiter);
    CHECK(atomic_exchange(&guest->state, TOLD_OUT) == WAITING);
}

/* A place is used: never more at a time than the limit allows. */
static void use_place(uint64_t *seed)
{
    int64_t now = atomic_fetch_add(&inside_now, 1) + 1;
    CHECK(now <= LIMIT_MAX);
    atomic_fetch_add(&entered, 1);
    if (random_next(seed) % 8 == 0)
        sched_yield();
    atomic_fetch_sub(&inside_now, 1);
    atomic_fetch_add(&left, 1);
    line_leave(line);
}

static void enter(struct guest *guest, uint64_t *seed)
{
    static const struct str flows[] = { STR_INIT("a"), STR_INIT("b"), STR_INIT("c") };
    uint64_t dice = random_next(seed);
    guest->waiter.on_turn = on_turn;
    guest->waiter.on_refused = on_refused;
    guest->waiter.priority = (uint8_t)(dice / 16 % 3);
    atomic_store(&guest->state, WAITING);
    enum line_answer answer = line_enter(line, flows[dice % 3], 1 + dice / 64 % 5, &guest->waiter);
    if (answer == LINE_WAITING) {
        atomic_fetch_add(&waited, 1);
        return;
    }
    CHECK(atomic_exchange(&guest->state, HOME) == WAITING);
    if (answer == LINE_ENTERED)
        use_place(seed);
}

/* True once the guest is at home again. */
static bool look_after(struct guest *guest, uint64_t *seed, bool may_quit)
{
    int state = atomic_load(&guest->state);
    if (state == WAITING && may_quit && random_next(seed) % 16 == 0 && line_quit(line, &guest->waiter)) {
        state = atomic_exchange(&guest->state, HOME);
        CHECK(state == WAITING || state == TOLD_OUT);
        return true;
    }
    if (state == TOLD_IN) {
        atomic_store(&guest->state, HOME);
        use_place(seed);
    } else if (state == TOLD_OUT) {
        atomic_fetch_add(&pushed_out, 1);
        atomic_store(&guest->state, HOME);
    }
    return atomic_load(&guest->state) == HOME;
}

static void *use_line(void *arg)
{
    struct guest guests[GUESTS] = { 0 };
    uint64_t seed = (uintptr_t)arg;
    while (clock_mono_ns() < end_ns) {
        for (unsigned i = 0; i < GUESTS; i++) {
            if (look_after(&guests[i], &seed, true))
                enter(&guests[i], &seed);
        }
        if (!is_limit_fixed && random_next(&seed) % 64 == 0)
            line_set(line, 1 + (int64_t)(random_next(&seed) % LIMIT_MAX), QUEUE);
        sched_yield(); /* or one thread only comes and goes while the others sleep inside */
    }
    /* Whoever waits gets its turn from those who leave: a lost wakeup would hang here. */
    bool is_done;
    do {
        is_done = true;
        for (unsigned i = 0; i < GUESTS; i++)
            is_done = look_after(&guests[i], &seed, false) && is_done;
        sched_yield();
    } while (!is_done);
    return NULL;
}

static void stress_line(void)
{
    for (int part = 0; part < 2; part++) {
        is_limit_fixed = part == 0;
        line = line_new(is_limit_fixed ? 2 : LIMIT_MAX, QUEUE);
        run(use_line);
        CHECK(line_inside(line) == 0);
        CHECK(line_waiting(line) == 0);
        CHECK(atomic_load(&entered) == atomic_load(&left));
        line_free(line);
    }
    printf("line: %ld entered, %ld waited, %ld pushed out\n", (long)entered, (long)waited, (long)pushed_out);
}

/* --- bucket --- */

static struct bucket bucket;
static _Atomic int64_t taken;

static void *use_bucket(void *arg)
{
    while (clock_mono_ns() < end_ns) {
        for (int i = 0; i < 100; i++)
            atomic_fetch_add(&taken, bucket_take(&bucket, 20000, 500, clock_mono_ns()).is_taken);
    }
    return NULL;
}

static void stress_bucket(void)
{
    int64_t start_ns = clock_mono_ns();
    bucket_init(&bucket, start_ns);
    run(use_bucket);
    double may = 500 + 20000.0 * (double)(clock_mono_ns() - start_ns) / (double)NS_PER_S;
    printf("bucket: %ld taken of %.0f\n", (long)taken, may);
    CHECK((double)taken <= may);
    CHECK((double)taken > may / 2);
}

/* --- tenants --- */

static struct tenants *tenants;

static void sum_up(struct tenant *tenant, void *arg)
{
    *(int64_t *)arg += atomic_load(&tenant->references);
}

static void *use_tenants(void *arg)
{
    struct tenant *held[8] = { 0 };
    uint64_t seed = (uintptr_t)arg;
    while (clock_mono_ns() < end_ns) {
        unsigned at = (unsigned)(random_next(&seed) % COUNT_OF(held));
        char name[16];
        int len = snprintf(name, sizeof name, "t%u", (unsigned)(random_next(&seed) % 64));
        held[at] = tenant_unref(held[at]);
        held[at] = tenants_get(tenants, str_n(name, (size_t)len), clock_mono_ns());
        CHECK(!held[at] || str_eq(tenant_name(held[at]), str_n(name, (size_t)len)));
        if (held[at])
            atomic_fetch_add(&held[at]->concurrency, 1);
        CHECK(tenants_count(tenants) <= 40);
    }
    for (unsigned i = 0; i < COUNT_OF(held); i++)
        tenant_unref(held[i]);
    return NULL;
}

static void stress_tenants(void)
{
    int64_t references = 0;
    tenants = tenants_new(40);
    run(use_tenants);
    tenants_each(tenants, sum_up, &references);
    CHECK(references == 0);
    printf("tenants: %u known\n", tenants_count(tenants));
    tenants_free(tenants);
}

/* --- addresses --- */

static struct address_table *addresses;

static void *use_addresses(void *arg)
{
    uint64_t seed = (uintptr_t)arg;
    uint8_t open[32][ADDRESS_KEY_BYTES] = { 0 };
    bool is_open[32] = { 0 };
    while (clock_mono_ns() < end_ns) {
        unsigned at = (unsigned)(random_next(&seed) % COUNT_OF(open));
        if (is_open[at])
            address_leave(addresses, open[at]);
        open[at][15] = (uint8_t)random_next(&seed);
        is_open[at] = address_enter(addresses, open[at], 4);
        address_take(addresses, open[at], 100, 10, clock_mono_ns());
    }
    for (unsigned i = 0; i < COUNT_OF(open); i++) {
        if (is_open[i])
            address_leave(addresses, open[i]);
    }
    return NULL;
}

static void stress_addresses(void)
{
    addresses = address_table_new(150);
    run(use_addresses);
    for (unsigned i = 0; i < 256; i++) {
        uint8_t key[ADDRESS_KEY_BYTES] = { 0 };
        key[15] = (uint8_t)i;
        CHECK(address_connections(addresses, key) == 0);
    }
    printf("addresses: %u known\n", address_count(addresses));
    address_table_free(addresses);
}

int main(void)
{
    stress_line();
    stress_bucket();
    stress_tenants();
    stress_addresses();
    return 0;
}
