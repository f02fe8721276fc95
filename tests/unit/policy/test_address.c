#include "policy/address.h"

#include "ask.h"

static const uint8_t *key(unsigned number)
{
    static uint8_t keys[8][ADDRESS_KEY_BYTES];
    static unsigned turn;
    uint8_t *out = keys[turn++ % 8];
    memset(out, 0, ADDRESS_KEY_BYTES);
    memcpy(out + 4, &number, sizeof number);
    return out;
}

Test(address, connections_are_counted_up_to_the_cap)
{
    struct address_table *table = address_table_new(10);
    for (int i = 0; i < 3; i++)
        cr_expect(address_enter(table, key(1), 3));
    cr_expect_not(address_enter(table, key(1), 3));
    cr_expect(address_enter(table, key(2), 3), "another address has a cap of its own");
    address_leave(table, key(1));
    cr_expect_eq(address_connections(table, key(1)), 2);
    cr_expect(address_enter(table, key(1), 3));
    cr_expect(address_enter(table, key(1), -1), "a negative cap is none");
    cr_expect_not(address_enter(table, key(3), 0));
    cr_expect_eq(address_connections(table, key(3)), 0);
    address_table_free(table);
    address_table_free(NULL);
}

Test(address, each_has_a_bucket_of_its_own)
{
    struct address_table *table = address_table_new(10);
    cr_expect(address_take(table, key(1), 1, 2, 0).is_taken);
    cr_expect(address_take(table, key(1), 1, 2, 0).is_taken);
    struct bucket_answer answer = address_take(table, key(1), 1, 2, 0);
    cr_expect_not(answer.is_taken);
    cr_expect_eq(answer.wait_ns, NS_PER_S);
    cr_expect(address_take(table, key(2), 1, 2, 0).is_taken);
    cr_expect(address_take(table, key(1), 1, 2, NS_PER_S).is_taken);
    address_table_free(table);
}

Test(address, a_bucket_outlives_the_connections)
{
    struct address_table *table = address_table_new(10);
    cr_assert(address_enter(table, key(1), 9));
    cr_expect(address_take(table, key(1), 1, 1, 0).is_taken);
    address_leave(table, key(1));
    cr_assert(address_enter(table, key(1), 9));
    cr_expect_not(address_take(table, key(1), 1, 1, 0).is_taken);
    address_table_free(table);
}

Test(address, full_buckets_without_connections_make_room_first)
{
    struct address_table *table = address_table_new(3);
    cr_assert(address_enter(table, key(1), 9));
    address_take(table, key(2), 0.1, 1, 0); /* full again after 10 s */
    address_take(table, key(3), 1, 1, 0);   /* after 1 s */
    address_take(table, key(4), 1, 1, 2 * NS_PER_S);
    cr_expect_eq(address_count(table), 3);
    cr_expect_not(address_take(table, key(2), 0.1, 1, 2 * NS_PER_S).is_taken, "2 is still known");
    address_take(table, key(5), 1, 1, 2 * NS_PER_S);
    cr_expect_eq(address_connections(table, key(1)), 1, "who has connections is never forgotten");
    cr_expect_eq(address_count(table), 3);
    address_table_free(table);
}

Test(address, a_table_full_of_connections_refuses_new_addresses)
{
    struct address_table *table = address_table_new(3);
    for (unsigned i = 0; i < 3; i++)
        cr_assert(address_enter(table, key(i), 9));
    cr_expect_not(address_enter(table, key(9), 9));
    cr_expect(address_take(table, key(9), 1, 1, 0).is_taken, "a rate alone refuses nobody it does not know");
    cr_expect(address_enter(table, key(1), 9));
    address_leave(table, key(0));
    cr_expect(address_enter(table, key(9), 9));
    cr_expect_not(address_enter(table, key(0), 9));
    address_table_free(table);
}

Test(address, all_connections_that_may_be_open_find_a_place)
{
    enum {
        MAX = 20000
    };
    struct address_table *table = address_table_new(MAX);
    unsigned refused = 0;
    for (unsigned i = 0; i < MAX; i++)
        refused += !address_enter(table, key(i), 1);
    cr_expect_eq(refused, 0, "%u", refused);
    for (unsigned i = 0; i < MAX; i++)
        address_leave(table, key(i));
    cr_expect_leq(address_count(table), MAX);
    address_table_free(table);
}

Test(address, random_comings_and_goings_agree_with_plain_counts)
{
    enum {
        ADDRESSES = 300,
        ENTRIES = 200
    };
    static unsigned counts[ADDRESSES];
    struct address_table *table = address_table_new(ENTRIES);
    uint64_t seed = 3;
    unsigned known = 0;
    for (int step = 0; step < 100000; step++) {
        unsigned at = random_below(&seed, ADDRESSES);
        if (random_below(&seed, 2) && counts[at] > 0) {
            address_leave(table, key(at));
            known -= --counts[at] == 0;
        } else if (address_enter(table, key(at), 3)) {
            known += counts[at]++ == 0;
        } else {
            cr_assert(counts[at] == 3 || known == ENTRIES);
        }
        cr_assert_leq(counts[at], 3);
        cr_assert_eq(address_connections(table, key(at)), counts[at]);
        address_take(table, key(random_below(&seed, ADDRESSES)), 5, 2, step * NS_PER_MS);
    }
    cr_expect_leq(address_count(table), ENTRIES);
    address_table_free(table);
}
