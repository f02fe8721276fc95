#include <criterion/criterion.h>

#include "cache/witness.h"
#include "fixture.h"

Test(witness, equal_heads_of_one_tenant_are_one)
{
    static struct test_key rooms[3];
    const struct key *acme = test_key(&rooms[0], "acme", "/1");
    const struct key *other = test_key(&rooms[1], "acme", "/2");
    const struct key *bolt = test_key(&rooms[2], "bolt", "/1");
    struct cache *cache = test_cache(8 * MIB, 0);
    struct witness *first = witness_new(cache, acme, STR("GET\r\n"));
    struct witness *same = witness_new(cache, other, STR("GET\r\n"));
    struct witness *longer = witness_new(cache, acme, STR("GET\r\nA: b\r\n"));
    struct witness *theirs = witness_new(cache, bolt, STR("GET\r\n"));
    cr_expect_eq(first, same);
    cr_expect_neq(first, longer);
    cr_expect_neq(first, theirs);
    cr_expect(str_eq(witness_head(longer), STR("GET\r\nA: b\r\n")));
    witness_unref(first);
    witness_unref(longer);
    witness_unref(theirs);
    cr_expect(str_eq(witness_head(same), STR("GET\r\n")));
    witness_unref(same);
    cr_expect_null(witness_unref(NULL));
    cache_free(cache);
}

Test(witness, costs_its_bytes_once_and_goes_with_its_last_object)
{
    enum {
        OBJECTS = 50
    };
    static char head[4096];
    memset(head, 'x', sizeof head);
    struct object *objects[OBJECTS];
    static struct test_key room;
    struct cache *cache = test_cache(8 * MIB, 0);
    struct object *plain = test_object(cache, test_key(&room, "acme", "/0"), 10);
    uint64_t before = test_bytes(cache);
    for (unsigned i = 0; i < OBJECTS; i++) {
        const struct key *key = test_key(&room, "acme", "/1");
        struct witness *witness = witness_new(cache, key, str_n(head, sizeof head));
        objects[i] = test_object(cache, key, 10);
        cr_expect_null(object_witness(objects[i]));
        object_set_witness(objects[i], witness);
        witness_unref(witness);
    }
    cr_expect_eq(object_witness(objects[0]), object_witness(objects[OBJECTS - 1]));
    cr_expect_gt(test_bytes(cache), before + sizeof head);
    cr_expect_lt(test_bytes(cache), before + 2 * sizeof head + OBJECTS * 500);

    struct object_meta meta = test_meta(10);
    struct object *renewed = object_renew(objects[0], &meta);
    cr_expect_eq(object_witness(renewed), object_witness(objects[0]), "until another one is set");
    object_set_witness(renewed, NULL);
    cr_expect_null(object_witness(renewed));
    object_unref(renewed);
    for (unsigned i = 0; i < OBJECTS; i++)
        object_unref(objects[i]);
    struct witness *again = witness_new(cache, test_key(&room, "acme", "/1"), STR("x"));
    witness_unref(again);
    object_unref(plain);
    cr_expect_lt(test_bytes(cache), before, "nothing is left of it");
    cache_free(cache);
}

Test(witness, outlives_the_door)
{
    static struct test_key room;
    struct cache *cache = test_cache(8 * MIB, 0);
    struct witness *witness = witness_new(cache, test_key(&room, "acme", "/"), STR("GET\r\n"));
    cache_free(cache);
    cr_expect(str_eq(witness_head(witness), STR("GET\r\n")));
    witness_unref(witness);
}
