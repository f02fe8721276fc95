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

/* Absent, empty and given are three things. */
static struct str generate_credential(uint64_t *random, char *out)
{
    if (test_random(random) % 3 == 0)
        return (struct str){ NULL, 0 };
    return generate(random, out, false);
}

static bool is_same_credential(struct str a, struct str b)
{
    return !a.data == !b.data && str_eq(a, b);
}

Test(key, is_the_same_only_if_each_part_is)
{
    static struct test_key room[2];
    static char bytes[2][8][64];
    uint64_t random = 4711;
    unsigned same = 0;
    for (unsigned i = 0; i < 100000; i++) {
        struct key_parts parts[2];
        for (unsigned k = 0; k < 2; k++) {
            parts[k] = (struct key_parts){ .tenant = generate(&random, bytes[k][0], true),
                                           .is_https = test_random(&random) & 1,
                                           .authority = generate(&random, bytes[k][1], false),
                                           .target = generate(&random, bytes[k][2], false),
                                           .version = generate(&random, bytes[k][3], false),
                                           .upstream = generate(&random, bytes[k][4], false),
                                           .method_class = generate(&random, bytes[k][5], false),
                                           .authorization = generate_credential(&random, bytes[k][6]),
                                           .cookie = generate_credential(&random, bytes[k][7]) };
        }
        /* Mostly equal, or bytes moved from one part into its neighbour: what random ones never are. */
        struct key_parts *a = &parts[0], *b = &parts[1];
        struct str *mine[] = { &a->tenant,   &a->authority,    &a->target,        &a->version,
                               &a->upstream, &a->method_class, &a->authorization, &a->cookie };
        struct str *others[] = { &b->tenant,   &b->authority,    &b->target,        &b->version,
                                 &b->upstream, &b->method_class, &b->authorization, &b->cookie };
        unsigned at = test_random(&random) % COUNT_OF(mine);
        for (unsigned k = 0; k < COUNT_OF(mine); k++) {
            if (k != at || test_random(&random) % 2)
                *others[k] = *mine[k];
        }
        b->is_https = a->is_https;
        if (test_random(&random) % 4 == 0 && at + 1 < COUNT_OF(mine)) {
            *others[at] = *mine[at + 1];
            *others[at + 1] = *mine[at];
        }
        bool is_primary = str_eq(a->tenant, b->tenant) && str_eq(a->authority, b->authority) &&
                          str_eq(a->target, b->target);
        bool is_selector = str_eq(a->version, b->version) && str_eq(a->upstream, b->upstream) &&
                           str_eq(a->method_class, b->method_class) &&
                           is_same_credential(a->authorization, b->authorization) &&
                           is_same_credential(a->cookie, b->cookie);
        const struct key *left = test_key_of(&room[0], a);
        const struct key *right = test_key_of(&room[1], b);
        cr_assert_eq(str_eq(left->primary, right->primary), is_primary, "round %u", i);
        cr_assert_eq(str_eq(left->selector, right->selector), is_selector, "round %u", i);
        cr_assert_eq(left->hash == right->hash, is_primary, "round %u", i);
        cr_assert_eq(left->select == right->select, is_selector, "round %u", i);
        same += is_primary && is_selector;
    }
    cr_expect_gt(same, 10000);
    cr_expect_lt(same, 90000);
}

Test(key, tells_a_credential_that_is_absent_from_an_empty_one)
{
    static struct test_key rooms[9];
    static const struct str values[] = { { NULL, 0 }, STR_INIT(""), STR_INIT("=") };
    for (unsigned i = 0; i < 9; i++) {
        struct key_parts parts = test_parts("acme", "/");
        parts.authorization = values[i % 3];
        parts.cookie = values[i / 3];
        test_key_of(&rooms[i], &parts);
        for (unsigned k = 0; k < i; k++)
            cr_expect_not(str_eq(rooms[i].key.selector, rooms[k].key.selector), "rows %u and %u", i, k);
    }
}

Test(key, keeps_parts_of_an_answer_below_a_selector_of_their_own)
{
    static struct test_key rooms[2];
    struct key_parts parts = test_parts("acme", "/");
    const struct key *whole = test_key_of(&rooms[0], &parts);
    parts.method_class = STR("PART");
    const struct key *part = test_key_of(&rooms[1], &parts);
    cr_expect(str_eq(whole->primary, part->primary), "a purge takes both");
    cr_expect_not(str_eq(whole->selector, part->selector));
}
