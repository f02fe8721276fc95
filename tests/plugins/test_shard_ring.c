/* Which shard a tenant belongs to: numbers that must never change, and what moves when shards do. */
#include "ring.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define TENANTS    20000
#define SHARDS_MAX 40

static struct weir_str str_of(const char *text)
{
    return (struct weir_str){ text, strlen(text) };
}

/* Shards s1 to s<count>, all of weight 1. */
static struct ring *ring_of(unsigned count, struct ring_shard *shards)
{
    static char names[SHARDS_MAX][16];

    for (unsigned i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "s%u", i + 1);
        shards[i] = (struct ring_shard){ str_of(names[i]), 1 };
    }
    return ring_new(shards, count);
}

static unsigned find(const struct ring *ring, unsigned tenant)
{
    char name[24];

    return ring_find(ring,
                     (struct weir_str){ name, (size_t)snprintf(name, sizeof name, "tenant-%u", tenant) });
}

/* Other programs compute these too: plugins/README.md has them. They must never change. */
Test(shard_ring, gives_the_numbers_that_are_written_down)
{
    static const struct {
        const char *name;
        uint64_t hash;
    } rows[] = {
        { "", UINT64_C(0xf52a15e9a9b5e89b) },        { "a", UINT64_C(0x02c0bdbf481420f8) },
        { "acme", UINT64_C(0x130a76222d4427ef) },    { "s1", UINT64_C(0x4c594168be82e9fe) },
        { "default", UINT64_C(0xf109ada1b3dd278e) },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_eq(ring_hash(str_of(rows[i].name)), rows[i].hash, "row %zu", i);
}

Test(shard_ring, puts_tenants_where_it_is_written_down)
{
    static const struct {
        const char *tenant;
        unsigned of_three, of_one_and_two, of_four;
    } rows[] = {
        { "acme", 3, 2, 4 },  { "globex", 3, 2, 4 },  { "initech", 1, 1, 1 },   { "umbrella", 1, 1, 1 },
        { "hooli", 3, 2, 3 }, { "default", 1, 1, 1 }, { "tenant-42", 3, 2, 3 },
    };
    struct ring_shard shards[SHARDS_MAX];
    struct ring *three = ring_of(3, shards);
    struct ring *four = ring_of(4, shards);
    struct ring *weighted;

    shards[1].weight = 2;
    weighted = ring_new(shards, 2);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_str tenant = str_of(rows[i].tenant);

        cr_expect_eq(ring_find(three, tenant) + 1, rows[i].of_three, "%s", rows[i].tenant);
        cr_expect_eq(ring_find(weighted, tenant) + 1, rows[i].of_one_and_two, "%s", rows[i].tenant);
        cr_expect_eq(ring_find(four, tenant) + 1, rows[i].of_four, "%s", rows[i].tenant);
    }
    ring_free(three);
    ring_free(four);
    ring_free(weighted);
}

Test(shard_ring, a_new_shard_takes_its_part_and_nobody_moves_between_the_old_ones)
{
    struct ring_shard shards[SHARDS_MAX];

    for (unsigned count = 1; count < SHARDS_MAX; count++) {
        struct ring *before = ring_of(count, shards);
        struct ring *after = ring_of(count + 1, shards);
        double fair = (double)TENANTS / (count + 1);
        unsigned moved = 0;

        for (unsigned tenant = 0; tenant < TENANTS; tenant++) {
            unsigned now = find(after, tenant);

            if (now == find(before, tenant))
                continue;
            moved++;
            cr_assert_eq(now, count, "tenant-%u moved between the old ones", tenant);
        }
        /* five standard deviations of a fair coin */
        cr_expect_lt((moved - fair) * (moved - fair), 25 * fair, "%u of %.0f moved to shard %u", moved, fair,
                     count + 1);
        ring_free(before);
        ring_free(after);
    }
}

Test(shard_ring, a_shard_that_goes_leaves_all_others_as_they_are)
{
    struct ring_shard shards[SHARDS_MAX];
    struct ring *before = ring_of(7, shards);
    struct ring *after;

    shards[3] = shards[6]; /* s4 goes; s7 has its place now */
    after = ring_new(shards, 6);
    for (unsigned tenant = 0; tenant < TENANTS; tenant++) {
        unsigned was = find(before, tenant);
        unsigned is = find(after, tenant);

        if (was != 3)
            cr_assert_eq(is, was == 6 ? 3 : was, "tenant-%u", tenant);
    }
    ring_free(before);
    ring_free(after);
}

Test(shard_ring, the_order_of_the_config_does_not_matter)
{
    struct ring_shard shards[SHARDS_MAX];
    struct ring_shard turned[SHARDS_MAX];
    struct ring *ring = ring_of(9, shards);
    struct ring *other;

    for (unsigned i = 0; i < 9; i++)
        turned[i] = shards[8 - i];
    other = ring_new(turned, 9);
    for (unsigned tenant = 0; tenant < TENANTS; tenant++)
        cr_assert_eq(find(ring, tenant), 8 - find(other, tenant));
    ring_free(ring);
    ring_free(other);
}

Test(shard_ring, weights_are_shares_and_a_heavier_shard_only_takes)
{
    struct ring_shard shards[SHARDS_MAX];
    struct ring *ring = ring_of(4, shards);
    unsigned counts[4] = { 0 };
    struct ring *heavier;

    shards[2].weight = 5; /* of 8 */
    heavier = ring_new(shards, 4);
    for (unsigned tenant = 0; tenant < TENANTS; tenant++) {
        unsigned is = find(heavier, tenant);

        counts[is]++;
        if (is != 2)
            cr_assert_eq(is, find(ring, tenant), "tenant-%u moved between the others", tenant);
    }
    cr_expect_gt(counts[2], TENANTS * 5 / 8 - 400);
    cr_expect_lt(counts[2], TENANTS * 5 / 8 + 400);
    for (unsigned i = 0; i < 4; i++)
        cr_expect(i == 2 || (counts[i] > TENANTS / 8 - 300 && counts[i] < TENANTS / 8 + 300), "%u",
                  counts[i]);
    ring_free(ring);
    ring_free(heavier);
}

/* Names that differ in one letter or only in their number are what tenants are called. */
Test(shard_ring, names_that_look_alike_are_spread)
{
    static const char *const forms[] = { "%u", "t%u", "customer-%06u",
                                         "%u-eu-west-1-production-tenant-of-the-shop" };
    struct ring_shard shards[SHARDS_MAX];
    struct ring *ring = ring_of(8, shards);

    for (size_t form = 0; form < sizeof forms / sizeof forms[0]; form++) {
        unsigned counts[8] = { 0 };

        for (unsigned tenant = 0; tenant < 8000; tenant++) {
            char name[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            int len = snprintf(name, sizeof name, forms[form], tenant);
#pragma GCC diagnostic pop
            counts[ring_find(ring, (struct weir_str){ name, (size_t)len })]++;
        }
        for (unsigned i = 0; i < 8; i++)
            cr_expect(counts[i] > 840 && counts[i] < 1160, "%s: %u", forms[form], counts[i]);
    }
    ring_free(ring);
}

Test(shard_ring, one_shard_has_all)
{
    struct ring_shard shards[SHARDS_MAX];
    struct ring *ring = ring_of(1, shards);

    for (unsigned tenant = 0; tenant < 100; tenant++)
        cr_assert_eq(find(ring, tenant), 0);
    cr_assert_eq(ring_find(ring, str_of("")), 0);
    ring_free(ring);
}
