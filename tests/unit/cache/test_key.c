#include <criterion/criterion.h>

#include "base/hash.h"
#include "fixture.h"

static char arena_bytes[1 << 16];

static bool make(struct key *key, const struct key_parts *parts)
{
    static struct arena arena;
    arena_init(&arena, arena_bytes, sizeof arena_bytes, 1 << 20);
    return key_make(key, parts, &arena);
}

Test(key, holds_its_parts_in_order)
{
    struct key_parts parts = test_parts("acme", "/items?b=2&a=1");
    parts.is_https = true;
    parts.cookie = STR("session=1");
    struct key key;
    cr_assert(make(&key, &parts));
    cr_assert(str_eq(key.primary, STR("acme\0https\0api.example.com\0/items?b=2&a=1")));
    cr_assert(str_eq(key.selector, STR("v2\0app\0GET\0\0=session=1\0")));
    cr_assert(str_eq(key_tenant(&key), STR("acme")));
    cr_assert_eq(key.hash, hash_bytes(key.primary.data, key.primary.len));
}

Test(key, tells_every_part_apart)
{
    static struct test_key a, b;
    struct key_parts plain = test_parts("acme", "/items");
    struct key_parts other[] = { plain, plain, plain, plain, plain, plain, plain, plain, plain, plain };
    other[0].tenant = STR("acm");
    other[1].is_https = true;
    other[2].authority = STR("api.example.org");
    other[3].target = STR("/items/");
    other[4].version = STR("v1");
    other[5].upstream = STR("app_next");
    other[6].method_class = STR("POST");
    other[7].authorization = STR("");
    other[8].cookie = STR("");
    other[9].tenant = STR("");
    const struct key *key = test_key_of(&a, &plain);
    for (size_t i = 0; i < COUNT_OF(other); i++) {
        const struct key *differs = test_key_of(&b, &other[i]);
        bool is_same = str_eq(key->primary, differs->primary) && str_eq(key->selector, differs->selector);
        cr_expect_not(is_same, "row %zu", i);
    }
}

Test(key, refuses_a_nul_in_any_part)
{
    struct key_parts plain = test_parts("acme", "/items");
    struct str *parts[] = { &plain.tenant,   &plain.authority,    &plain.target,        &plain.version,
                            &plain.upstream, &plain.method_class, &plain.authorization, &plain.cookie };
    struct key key;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        struct str kept = *parts[i];
        *parts[i] = STR("a\0b");
        cr_expect_not(make(&key, &plain), "part %zu", i);
        *parts[i] = kept;
    }
    cr_expect(make(&key, &plain));
}

Test(key, refuses_what_is_longer_than_an_object_keeps)
{
    static char bytes[1 << 17];
    memset(bytes, 'a', sizeof bytes);
    struct key key;
    struct key_parts parts = test_parts("acme", "/items");
    parts.target = str_n(bytes, 1 << 16);
    cr_expect_not(make(&key, &parts));
    parts.target = STR("/");
    parts.authorization = str_n(bytes, 1 << 16);
    cr_expect_not(make(&key, &parts));
}

Test(key, fails_when_the_arena_is_spent)
{
    struct arena arena;
    struct key key;
    struct key_parts parts = test_parts("acme", "/items");
    arena_init(&arena, NULL, 0, 0);
    cr_expect_not(key_make(&key, &parts, &arena));
    cr_assert(make(&key, &parts));
    struct key copy;
    cr_expect_not(key_copy(&copy, &key, &arena));
}

Test(key, copies_live_by_themselves)
{
    static struct test_key room;
    const struct key *key = test_key(&room, "acme", "/items");
    struct arena arena;
    struct key copy;
    arena_init(&arena, NULL, 0, 4096);
    cr_assert(key_copy(&copy, key, &arena));
    cr_expect(str_eq(copy.primary, key->primary));
    cr_expect(str_eq(copy.selector, key->selector));
    cr_expect_neq(copy.primary.data, key->primary.data);
    cr_expect_eq(copy.hash, key->hash);
    arena_fini(&arena);
}

/* Parts are made of what a tenant might try: separators' neighbours, other tenants' names, pieces of keys. */
static struct str generate(uint64_t *random, char *out, bool is_name)
{
    static const char *const pieces[] = { "acme", "acm",  "e",   "https", "http", "api.example.com",
                                          "/",    "\x01", "%00", "=",     "" };
    struct str part = { out, 0 };
    for (unsigned n = test_random(random) % 4; n > 0; n--) {
        const char *piece = pieces[test_random(random) % (is_name ? 3 : COUNT_OF(pieces))];
        memcpy(out + part.len, piece, strlen(piece));
        part.len += strlen(piece);
    }
    return part;
}

Test(key, two_tenants_never_get_one_key)
{
    static struct test_key room[2];
    static char bytes[2][8][64];
    uint64_t random = 42;
    unsigned compared = 0;
    for (unsigned i = 0; i < 50000; i++) {
        struct key_parts parts[2];
        for (unsigned k = 0; k < 2; k++) {
            parts[k] = (struct key_parts){ .tenant = generate(&random, bytes[k][0], true),
                                           .is_https = test_random(&random) & 1,
                                           .authority = generate(&random, bytes[k][1], false),
                                           .target = generate(&random, bytes[k][2], false),
                                           .version = generate(&random, bytes[k][3], false),
                                           .upstream = generate(&random, bytes[k][4], false),
                                           .method_class = generate(&random, bytes[k][5], false) };
        }
        if (str_eq(parts[0].tenant, parts[1].tenant))
            continue;
        compared++;
        const struct key *a = test_key_of(&room[0], &parts[0]);
        const struct key *b = test_key_of(&room[1], &parts[1]);
        cr_assert_not(str_eq(a->primary, b->primary), "round %u", i);
        cr_assert(str_eq(key_tenant(a), parts[0].tenant));
    }
    cr_assert_gt(compared, 10000);
}
