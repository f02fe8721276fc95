#include <criterion/criterion.h>

#include "fixture.h"
#include "http/caching.h"

static struct test_key room;

static const struct message *asking(struct message *request, const char *name, const char *value)
{
    *request = (struct message){ .method = METHOD_GET };
    CHECK(message_add(request, str_of(name), str_of(value)));
    return request;
}

/* Stores a variant for who asks with that language. */
static const struct object *store_variant(struct cache *cache, const struct key *key, const char *language,
                                          int64_t stored_wall_ms)
{
    static struct message request;
    char vary[200];
    int len =
        vary_key(STR("accept-language"), asking(&request, "Accept-Language", language), vary, sizeof vary);
    struct object_meta meta = test_meta(0);
    meta.vary = STR("accept-language");
    meta.vary_key = str_n(vary, (size_t)len);
    meta.stored_wall_ms = stored_wall_ms;
    struct object *object = test_object_with(cache, key, &meta, 0);
    bool is_in = cache_insert(cache, key, object, 1);
    object_unref(object);
    return is_in ? object : NULL;
}

static const struct object *find_variant(struct cache *cache, const struct key *key, const char *language,
                                         bool *has_variants)
{
    static struct message request;
    struct cache_found found;
    cache_find(cache, key, asking(&request, "Accept-Language", language), 0, &found);
    *has_variants = found.has_variants;
    object_unref(found.object);
    return found.object;
}

Test(cache, finds_what_was_stored_by_its_whole_key)
{
    struct cache *cache = test_cache(MIB, 4);
    const struct key *key = test_key(&room, "acme", "/items");
    const struct object *stored = test_store(cache, key, 100, 1);
    static struct test_key others[6];
    struct key_parts parts[6];
    for (unsigned i = 0; i < 6; i++)
        parts[i] = test_parts("acme", "/items");
    parts[0].tenant = STR("tiny");
    parts[1].target = STR("/items?");
    parts[2].is_https = true;
    parts[3].version = STR("v1");
    parts[4].upstream = STR("app_next");
    parts[5].cookie = STR("a=1");
    cr_expect_eq(test_find(cache, key), stored);
    for (unsigned i = 0; i < 6; i++) {
        struct cache_found found;
        cache_find(cache, test_key_of(&others[i], &parts[i]), NULL, 0, &found);
        cr_expect_null(found.object, "row %u", i);
        cr_expect_eq(found.has_variants, i >= 3, "row %u", i);
    }
    cache_free(cache);
}

Test(cache, picks_the_variant_the_request_selects)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    const struct object *german = store_variant(cache, key, "de", 1);
    const struct object *english = store_variant(cache, key, "en", 2);
    bool has_variants;
    cr_expect_eq(find_variant(cache, key, "de", &has_variants), german);
    cr_expect_not(has_variants);
    cr_expect_eq(find_variant(cache, key, "en", &has_variants), english);
    cr_expect_null(find_variant(cache, key, "fr", &has_variants));
    cr_expect(has_variants);
    const struct object *again = store_variant(cache, key, "de", 3);
    cr_expect_eq(find_variant(cache, key, "de", &has_variants), again, "it replaces what selects the same");
    cr_expect_eq(test_objects(cache), 2);
    cache_free(cache);
}

Test(cache, of_several_that_match_the_newest_is_found)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    bool has_variants;
    store_variant(cache, key, "de", 5);
    struct object_meta meta = test_meta(0);
    for (int64_t when = 4; when <= 6; when += 2) {
        meta.stored_wall_ms = when;
        struct object *plain = test_object_with(cache, key, &meta, 0);
        cr_assert(cache_insert(cache, key, plain, 1));
        bool is_plain = find_variant(cache, key, "de", &has_variants) == plain;
        cr_expect_eq(is_plain, when == 6);
        object_unref(plain);
    }
    cache_free(cache);
}

Test(cache, variants_of_a_key_are_bounded_and_the_oldest_goes)
{
    struct cache *cache = test_cache(10 * MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    bool has_variants;
    for (int i = 0; i < 3 * VARIANTS_MAX; i++) {
        char language[16];
        snprintf(language, sizeof language, "x-%d", i);
        cr_assert_not_null(store_variant(cache, key, language, i));
        cr_assert_leq(test_objects(cache), VARIANTS_MAX);
    }
    cr_expect_null(find_variant(cache, key, "x-0", &has_variants));
    cr_expect_null(find_variant(cache, key, "x-63", &has_variants));
    cr_expect_not_null(find_variant(cache, key, "x-64", &has_variants));
    cr_expect_not_null(find_variant(cache, key, "x-95", &has_variants));
    cache_free(cache);
}

Test(cache, renewing_one_of_a_full_set_of_variants_drops_none)
{
    struct cache *cache = test_cache(10 * MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    struct message request;
    for (int i = 0; i < VARIANTS_MAX; i++) {
        char language[16];
        snprintf(language, sizeof language, "x-%d", i);
        cr_assert_not_null(store_variant(cache, key, language, i));
    }
    for (int i = 0; i < 3; i++) {
        struct cache_found found;
        cache_find(cache, key, asking(&request, "Accept-Language", "x-5"), 0, &found);
        cr_assert_not_null(found.object);
        struct object_meta meta = *object_meta(found.object);
        meta.stored_wall_ms = 100 + i;
        struct object *fresh = object_renew(found.object, &meta);
        cr_expect(cache_renew(cache, key, found.object, fresh, 1));
        object_unref(fresh);
        object_unref(found.object);
    }
    cr_expect_eq(test_objects(cache), VARIANTS_MAX);
    cache_free(cache);
}

Test(cache, a_changed_vary_leaves_each_answer_to_who_selects_it)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    struct message request;
    char vary[200];
    bool has_variants;
    const struct object *german = store_variant(cache, key, "de", 1);
    int len = vary_key(STR("accept"), asking(&request, "Accept", "text/plain"), vary, sizeof vary);
    struct object_meta meta = test_meta(0);
    meta.vary = STR("accept");
    meta.vary_key = str_n(vary, (size_t)len);
    meta.stored_wall_ms = 2;
    struct object *plain = test_object_with(cache, key, &meta, 0);
    cr_assert(cache_insert(cache, key, plain, 1));
    cr_expect_eq(find_variant(cache, key, "de", &has_variants), german);
    struct cache_found found;
    cache_find(cache, key, asking(&request, "Accept", "text/plain"), 0, &found);
    cr_expect_eq(found.object, plain);
    object_unref(found.object);
    cr_assert(message_add(&request, STR("Accept-Language"), STR("de")));
    cache_find(cache, key, &request, 0, &found);
    cr_expect_eq(found.object, plain, "RFC 9111 4.1: both match, the newer one is it");
    object_unref(found.object);
    object_unref(plain);
    cache_free(cache);
}

Test(cache, says_what_is_hot)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    struct cache_found found;
    cache_find(cache, key, NULL, 0, &found);
    cr_expect_not(found.is_hot);
    test_store(cache, key, 10, 1);
    for (unsigned i = 0; i < 6; i++) {
        cache_find(cache, key, NULL, 0, &found);
        cr_expect_eq(found.is_hot, i >= 3, "look %u", i);
        object_unref(found.object);
    }
    cache_free(cache);
}

Test(cache, refresh_replaces_only_what_is_still_there)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    struct object_meta meta = test_meta(10);
    struct object *old = test_object(cache, key, 10);
    cr_assert(cache_insert(cache, key, old, 1));
    struct object *fresh = object_renew(old, &meta);
    cr_expect(cache_renew(cache, key, old, fresh, INT64_MAX));
    cr_expect_eq(test_find(cache, key), fresh);
    cr_expect_eq(test_objects(cache), 1);
    struct object *late = object_renew(old, &meta);
    cr_expect_not(cache_renew(cache, key, old, late, INT64_MAX), "old is not stored any more");
    cache_invalidate(cache, key, 5);
    cr_expect_not(cache_renew(cache, key, fresh, late, INT64_MAX));
    object_unref(old);
    object_unref(fresh);
    object_unref(late);
    cache_free(cache);
}

Test(cache, refreshed_after_a_purge_stays_dead)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    struct object_meta meta = test_meta(10);
    struct object *old = test_object(cache, key, 10);
    cr_assert(cache_insert(cache, key, old, 1));
    struct object *fresh = object_renew(old, &meta);
    cache_purge_tenant(cache, STR("acme"), 5);
    cr_expect_not(cache_renew(cache, key, old, fresh, INT64_MAX));
    cr_expect_null(test_find(cache, key));
    object_unref(old);
    object_unref(fresh);
    cache_free(cache);
}

Test(cache, grows_in_the_index_and_may_be_removed)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    struct object_meta meta = test_meta(-1);
    struct object *object = object_new(cache, key, &meta);
    cr_assert(cache_insert(cache, key, object, 1));
    cr_expect_eq(test_find(cache, key), object);
    cr_assert(object_append(object, STR("some")));
    cache_remove(cache, object);
    cr_expect_null(test_find(cache, key));
    cache_remove(cache, object);
    object_unref(object);
    cr_expect_eq(test_objects(cache), 0);
    cache_free(cache);
}

Test(cache, refuses_what_is_declared_too_large)
{
    struct cache *cache = test_cache(100 * MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    struct object_meta meta = test_meta(8 * MIB + 1);
    struct object *object = object_new(cache, key, &meta);
    cr_expect_not(cache_insert(cache, key, object, 1));
    object_unref(object);
    struct cache_stats stats;
    cache_stats_read(cache, &stats);
    cr_expect_eq(stats.refused, 1);
    cache_free(cache);
}

/* --- against a model --- */

enum {
    MODEL_TENANTS = 3,
    MODEL_TARGETS = 12,
    MODEL_SELECTORS = 2,
    MODEL_KEYS = MODEL_TENANTS * MODEL_TARGETS * MODEL_SELECTORS
};

static struct {
    struct test_key key;
    struct object *object; /* a reference: what must be found, unless it was evicted */
    int64_t invalid_ns;    /* of the primary key */
} model[MODEL_KEYS];

static int64_t account_purged_ns[MODEL_TENANTS];

/* model[] lies as [tenant][target][selector]. */
static unsigned account_of(unsigned at)
{
    return at / (MODEL_TARGETS * MODEL_SELECTORS);
}

static void model_init(void)
{
    static const char *const tenants[MODEL_TENANTS] = { "acme", "tiny", "default" };
    for (unsigned i = 0; i < MODEL_KEYS; i++) {
        char target[32];
        snprintf(target, sizeof target, "/%u", i / MODEL_SELECTORS % MODEL_TARGETS);
        struct key_parts parts = test_parts(tenants[account_of(i)], target);
        if (i % MODEL_SELECTORS)
            parts.version = STR("v1");
        test_key_of(&model[i].key, &parts);
        model[i].invalid_ns = -1;
    }
    for (unsigned i = 0; i < MODEL_TENANTS; i++)
        account_purged_ns[i] = -1;
}

static unsigned model_drop(unsigned from, unsigned to)
{
    unsigned count = 0;
    for (unsigned i = from; i < to; i++) {
        count += model[i].object != NULL;
        model[i].object = object_unref(model[i].object);
    }
    return count;
}

static void step(struct cache *cache, uint64_t *random, int64_t now_ms, bool has_room)
{
    unsigned i = test_random(random) % MODEL_KEYS;
    const struct key *key = &model[i].key.key;
    unsigned what = test_random(random) % 100;
    struct object_meta meta = test_meta(-1);
    if (what < 50) {
        const struct object *found = test_find(cache, key);
        if (has_room || found)
            cr_assert_eq(found, model[i].object, "what was stored last, and nothing that was taken out");
    } else if (what < 75) {
        int64_t started_ms = now_ms - test_random(random) % 4;
        int64_t invalid_ns = max_i64(model[i].invalid_ns, account_purged_ns[account_of(i)]);
        struct object *object = test_object_with(cache, key, &meta, test_random(random) % 9000);
        bool is_in = cache_insert(cache, key, object, started_ms);
        cr_assert(!is_in || started_ms > invalid_ns, "an answer from before must not come in");
        if (is_in) {
            object_unref(model[i].object);
            model[i].object = object_ref(object);
        }
        object_unref(object);
    } else if (what < 83 && model[i].object) {
        struct object *fresh = object_renew(model[i].object, &meta);
        bool is_in = cache_renew(cache, key, model[i].object, fresh, INT64_MAX);
        cr_assert(is_in || !has_room);
        if (is_in) {
            object_unref(model[i].object);
            model[i].object = object_ref(fresh);
        }
        object_unref(fresh);
    } else if (what < 90 && model[i].object) {
        cache_remove(cache, model[i].object);
        model[i].object = object_unref(model[i].object);
    } else if (what < 97) {
        unsigned from = i - i % MODEL_SELECTORS;
        uint64_t count = cache_invalidate(cache, key, now_ms);
        unsigned want = model_drop(from, from + MODEL_SELECTORS);
        cr_assert(has_room ? count == want : count <= want);
        for (unsigned k = from; k < from + MODEL_SELECTORS; k++)
            model[k].invalid_ns = now_ms;
    } else {
        bool is_all = what == 99;
        unsigned tenant = account_of(i), width = MODEL_TARGETS * MODEL_SELECTORS;
        uint64_t count =
            is_all ? cache_purge_all(cache, now_ms) : cache_purge_tenant(cache, key_tenant(key), now_ms);
        unsigned want = is_all ? model_drop(0, MODEL_KEYS) : model_drop(tenant * width, (tenant + 1) * width);
        cr_assert(has_room ? count == want : count <= want);
        for (unsigned k = is_all ? 0 : tenant; k < (is_all ? MODEL_TENANTS : tenant + 1); k++)
            account_purged_ns[k] = now_ms;
    }
}

static void run_model(uint64_t memory_bytes, bool has_room)
{
    struct cache *cache = test_cache(memory_bytes, 2);
    uint64_t random = 2024, empty = test_bytes(cache);
    model_init();
    for (unsigned round = 0; round < 60000; round++) {
        step(cache, &random, 10 + round / 4, has_room);
        unsigned live = 0;
        for (unsigned i = 0; i < MODEL_KEYS && round % 64 == 0; i++)
            live += model[i].object != NULL;
        if (round % 64 == 0)
            cr_assert(has_room ? test_objects(cache) == live : test_objects(cache) <= live);
    }
    model_drop(0, MODEL_KEYS);
    struct cache_options nothing = { 0 };
    cache_set(cache, &nothing);
    cr_expect_leq(test_bytes(cache), empty + 2 * 4096, "only indexes and ghosts are left");
    cache_free(cache);
}

Test(cache, does_what_a_naive_model_does)
{
    run_model(64 * MIB, true);
}

Test(cache, does_what_a_naive_model_does_but_for_what_it_evicts)
{
    run_model(300 * KIB, false);
}
