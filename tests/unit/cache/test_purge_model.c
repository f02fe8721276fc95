/* Everything that changes what is stored, against a naive model: purges of all kinds, fetches and renewals
 * that began before or after them, and evictions. Nothing purged may ever be found again, nothing else may
 * go, and the index and the tags must agree with the objects all the time. */
#include <criterion/criterion.h>

#include "cache/memory.h"
#include "fixture.h"

enum {
    TENANTS = 3,
    TARGETS = 12, /* each with two selectors */
    KEYS = TENANTS * TARGETS * 2,
    TAGS = 6,
};

static const char *const tenant_names[TENANTS] = { "acme", "tiny", "" };

static struct entry {
    struct test_key key;
    struct str target;
    char target_bytes[16];
    bool is_https;
    unsigned id;   /* of the object that must be found, unless it was evicted: its etag; 0: none */
    unsigned tags; /* bits */
    bool is_stale;
} model[KEYS];

static unsigned last_id;

static int64_t url_ns[KEYS / 2], prefix_ns[KEYS], tenant_ns[TENANTS], tag_ns[TENANTS][TAGS], all_ns, last_ns;

static void model_init(void)
{
    for (unsigned i = 0; i < KEYS; i++) {
        struct entry *entry = &model[i];
        unsigned target = i / 2 % TARGETS;
        *entry = (struct entry){ .is_https = target % 2 };
        int len =
            snprintf(entry->target_bytes, sizeof entry->target_bytes, "/%c/%u", 'a' + target % 3, target);
        entry->target = str_n(entry->target_bytes, (size_t)len);
        struct key_parts parts = test_parts(tenant_names[i / 2 / TARGETS], entry->target_bytes);
        parts.is_https = entry->is_https;
        parts.version = i % 2 ? STR("v1") : STR("v2");
        test_key_of(&entry->key, &parts);
        url_ns[i / 2] = prefix_ns[i] = -1;
    }
    for (unsigned i = 0; i < TENANTS; i++) {
        tenant_ns[i] = -1;
        for (unsigned k = 0; k < TAGS; k++)
            tag_ns[i][k] = -1;
    }
    all_ns = last_ns = -1;
}

static unsigned tenant_of(unsigned i)
{
    return i / 2 / TARGETS;
}

static int64_t too_old(unsigned i, unsigned tags)
{
    int64_t at = max_i64(max_i64(all_ns, tenant_ns[tenant_of(i)]), max_i64(url_ns[i / 2], prefix_ns[i]));
    for (unsigned k = 0; k < TAGS; k++)
        at = tags & 1u << k ? max_i64(at, tag_ns[tenant_of(i)][k]) : at;
    return at;
}

struct texts {
    char tags[TAGS * 3 + 1];
    char etag[16];
};

static unsigned id_of(struct str etag)
{
    uint64_t id = 0;
    cr_assert(str_to_u64(etag, &id));
    return (unsigned)id;
}

static struct object_meta random_meta(uint64_t *random, int64_t now, struct texts *texts, unsigned *tags)
{
    struct object_meta meta = test_meta(-1);
    char *bytes = texts->tags;
    size_t len = 0;
    *tags = test_random(random) % 3 ? test_random(random) % (1u << TAGS) : 0;
    for (unsigned k = 0; k < TAGS; k++) {
        if (*tags & 1u << k)
            len += (size_t)snprintf(bytes + len, 8, "t%u", k) + 1;
    }
    meta.tags = str_n(bytes, len);
    meta.etag = str_n(texts->etag, (size_t)snprintf(texts->etag, sizeof texts->etag, "%u", ++last_id));
    meta.lifetime_ms = 1000000000;
    meta.stored_wall_ms = now;
    return meta;
}

static void model_set(struct entry *entry, unsigned id, unsigned tags)
{
    entry->id = id;
    entry->tags = tags;
    entry->is_stale = false;
}

static bool is_of(const struct cache_purge *purge, unsigned i, bool is_all, unsigned tenant, unsigned which)
{
    const struct entry *entry = &model[i];
    if (purge->kind == PURGE_URL)
        return i / 2 == which / 2;
    if (!is_all && tenant_of(i) != tenant)
        return false;
    if (purge->kind == PURGE_TAG)
        return entry->tags & 1u << which % TAGS;
    if (purge->kind != PURGE_PREFIX)
        return true;
    struct str path = purge->what;
    if (path.data[0] != '/') {
        bool is_https = str_has_prefix(path, STR("https:"));
        if (is_https != entry->is_https)
            return false;
        path = str_from(path, strlen("http://api.example.com") + is_https);
    }
    return str_has_prefix(entry->target, path);
}

static void remember(const struct cache_purge *purge, bool is_all, unsigned tenant, unsigned which,
                     int64_t now)
{
    last_ns = now;
    if (purge->kind == PURGE_URL)
        url_ns[which / 2] = now;
    for (unsigned t = 0; t < TENANTS; t++) {
        if (purge->kind == PURGE_TAG && (is_all || t == tenant))
            tag_ns[t][which % TAGS] = now;
    }
    for (unsigned i = 0; i < KEYS; i++) {
        if (purge->kind == PURGE_PREFIX && is_of(purge, i, is_all, tenant, which))
            prefix_ns[i] = now;
    }
    if (purge->kind >= PURGE_TENANT && is_all)
        all_ns = now;
    else if (purge->kind >= PURGE_TENANT)
        tenant_ns[tenant] = now;
}

static void purge_some(struct cache *cache, uint64_t *random, int64_t now, bool has_room)
{
    static const char *const prefixes[] = { "/",
                                            "/a",
                                            "/b/",
                                            "/b/1",
                                            "/nothing",
                                            "http://api.example.com/a",
                                            "https://API.example.com",
                                            "https://api.example.com/c/",
                                            "HTTP://api.example.com/" };
    unsigned which = test_random(random) % KEYS, tenant = test_random(random) % TENANTS;
    char tag[8];
    struct cache_purge purge = { .kind = (enum purge_kind)(test_random(random) % 5),
                                 .is_soft = test_random(random) % 2,
                                 .key = &model[which].key.key };
    if (purge.kind >= PURGE_TENANT && test_random(random) % 4)
        purge.kind = PURGE_TAG;
    bool is_all = purge.kind == PURGE_ALL || (purge.kind != PURGE_TENANT && test_random(random) % 3 == 0);
    if (!is_all)
        purge.tenant = str_of(tenant_names[tenant]);
    if (purge.kind == PURGE_TAG)
        purge.what = str_n(tag, (size_t)snprintf(tag, sizeof tag, "t%u", which % TAGS));
    else if (purge.kind == PURGE_PREFIX)
        purge.what = str_of(prefixes[test_random(random) % COUNT_OF(prefixes)]);
    uint64_t want = 0;
    remember(&purge, is_all, tenant, which, now);
    for (unsigned i = 0; i < KEYS; i++) {
        struct entry *entry = &model[i];
        if (!entry->id || !is_of(&purge, i, is_all, tenant, which))
            continue;
        want += !purge.is_soft || !entry->is_stale;
        entry->is_stale = true;
        if (!purge.is_soft)
            model_set(entry, 0, 0);
    }
    uint64_t count = cache_purge(cache, &purge, now, now);
    cr_assert(has_room ? count == want : count <= want, "kind %d: %lu, not %lu", purge.kind, count, want);
}

static void store_some(struct cache *cache, uint64_t *random, int64_t now, bool has_room, bool is_renewal)
{
    unsigned i = test_random(random) % KEYS, tags;
    struct entry *entry = &model[i];
    const struct key *key = &entry->key.key;
    struct texts texts;
    struct object_meta meta = random_meta(random, now, &texts, &tags);
    unsigned id = last_id;
    int64_t started = now - test_random(random) % 4;
    int64_t limit = too_old(i, tags | (is_renewal ? entry->tags : 0));
    struct cache_found found = { 0 };
    struct object *object;
    bool is_in;
    if (is_renewal)
        cache_find(cache, key, NULL, 0, &found);
    if (is_renewal && !found.object)
        return;
    if (is_renewal) {
        object = object_renew(found.object, &meta);
        is_in = cache_renew(cache, key, found.object, object, started);
        object_unref(found.object);
    } else {
        object = test_object_with(cache, key, &meta, test_random(random) % 9000);
        is_in = cache_insert(cache, key, object, started);
    }
    cr_assert(!is_in || started > limit, "an answer from before must not come in");
    cr_assert(is_in || started <= last_ns || !has_room, "and nothing else is kept out");
    if (is_in)
        model_set(entry, id, tags);
    object_unref(object);
}

static void look(struct cache *cache, uint64_t *random, bool has_room)
{
    struct entry *entry = &model[test_random(random) % KEYS];
    struct cache_found found;
    cache_find(cache, &entry->key.key, NULL, 0, &found);
    unsigned id = found.object ? id_of(object_meta(found.object)->etag) : 0;
    if (has_room || found.object)
        cr_assert_eq(id, entry->id, "what was stored last, and nothing that was purged");
    if (found.object)
        cr_assert_eq(object_lifetime_ms(found.object) < 1000000000, entry->is_stale);
    object_unref(found.object);
}

static void run_model(uint64_t memory_bytes, bool has_room, uint64_t seed)
{
    struct cache *cache = test_cache(memory_bytes, 2);
    uint64_t random = seed;
    model_init();
    for (unsigned round = 0; round < 40000; round++) {
        int64_t now = 10 + round / 4;
        unsigned what = test_random(&random) % 100;
        if (what < 40)
            look(cache, &random, has_room);
        else if (what < 80)
            store_some(cache, &random, now, has_room, what >= 70);
        else if (what < 88)
            purge_some(cache, &random, now, has_room);
        else if (round % 2)
            cr_assert_eq(cache_verify(cache), 0, "round %u", round);
    }
    struct cache_stats stats;
    cache_stats_read(cache, &stats);
    cr_expect_eq(stats.evicted > 100, !has_room);
    cr_expect_gt(stats.purged, 1000);
    cr_expect_gt(stats.expired, 1000);
    cr_expect_eq(cache_verify(cache), 0);
    cache_purge_all(cache, 1 << 20);
    struct cache_options nothing = { 0 };
    cache_set(cache, &nothing);
    for (unsigned i = 0; i < 2; i++) {
        cr_expect_eq(cache->shards[i].tags.count, 0);
        cr_expect_eq(cache->shards[i].tags.links, 0);
    }
    cache_free(cache);
}

Test(purge_model, purges_do_what_a_naive_model_does)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        run_model(64 * MIB, true, seed * 7919);
}

Test(purge_model, purges_do_what_a_naive_model_does_while_evicting)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        run_model(160 * KIB, false, seed * 104729);
}
