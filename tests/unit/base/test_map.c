#include "base/map.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define KEYS 3000

static char keys[KEYS][16];
static int values[KEYS];

static struct str key_of(unsigned i)
{
    snprintf(keys[i], sizeof keys[i], "key-%u", i);
    return str_of(keys[i]);
}

static void count(struct str key, void *value, void *arg)
{
    unsigned *seen = arg;
    cr_assert_not_null(value);
    cr_assert_gt(key.len, 4);
    (*seen)++;
}

Test(map, what_was_put_is_found_until_it_is_removed)
{
    struct map *map = map_new();
    for (unsigned i = 0; i < KEYS; i++)
        cr_assert(map_put(map, key_of(i), &values[i]));
    cr_expect_eq(map_count(map), KEYS);
    for (unsigned i = 0; i < KEYS; i += 3)
        cr_assert_eq(map_remove(map, key_of(i)), &values[i]);
    for (unsigned i = 0; i < KEYS; i++)
        cr_assert_eq(map_get(map, key_of(i)), i % 3 ? &values[i] : NULL, "key %u", i);
    unsigned seen = 0;
    map_each(map, count, &seen);
    cr_expect_eq(seen, map_count(map));
    for (unsigned i = 0; i < KEYS; i++)
        map_remove(map, key_of(i));
    cr_expect_eq(map_count(map), 0);
    map_free(map);
    map_free(NULL);
}

Test(map, any_order_of_puts_and_removes_agrees_with_a_plain_array)
{
    struct map *map = map_new();
    static bool is_there[200];
    uint64_t random = 88172645463325252u;
    for (int turn = 0; turn < 100000; turn++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        unsigned i = (unsigned)(random % 200);
        if (random >> 32 & 1) {
            cr_assert(map_put(map, key_of(i), &values[i]));
            is_there[i] = true;
        } else {
            cr_assert_eq(map_remove(map, key_of(i)), is_there[i] ? &values[i] : NULL);
            is_there[i] = false;
        }
        unsigned other = (unsigned)(random >> 16) % 200;
        cr_assert_eq(map_get(map, key_of(other)), is_there[other] ? &values[other] : NULL);
    }
    map_free(map);
}

Test(map, a_key_has_one_value_and_may_be_any_bytes)
{
    struct map *map = map_new();
    cr_expect_null(map_get(map, STR("a")));
    cr_expect_null(map_remove(map, STR("a")));
    map_put(map, STR("a"), &values[0]);
    map_put(map, STR("a"), &values[1]);
    cr_expect_eq(map_count(map), 1);
    cr_expect_eq(map_get(map, STR("a")), &values[1]);
    map_put(map, STR(""), &values[2]);
    map_put(map, STR("\0"), &values[3]);
    cr_expect_eq(map_get(map, STR("")), &values[2]);
    cr_expect_eq(map_get(map, STR("\0")), &values[3]);
    cr_expect_null(map_get(map, STR("A")), "case matters");
    map_free(map);
}
