/* The cache's memory under several threads at once: thousands of objects of all sizes in a budget that is
 * always too small, so that blocks are emptied and objects move while others look them up, read, renew, tag,
 * purge and change budget and shares. Every byte found is checked. For ThreadSanitizer and AddressSanitizer.
 * stress_memory [SECONDS] */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "cache/cache.h"
#include "cache/witness.h"

#define THREADS 4
#define KEYS    6000
#define HELD    16
#define BYTES   (300u * 1024)

struct worker {
    pthread_t thread;
    uint64_t random;
    struct object *held[HELD]; /* by a slow reader */
    unsigned long finds, hits, stores;
};

static struct cache *cache;
static struct key keys[KEYS];
static char *key_bytes;
static char pattern[BYTES + 256];
static _Atomic bool is_over;

static uint32_t draw(struct worker *worker, uint32_t below)
{
    worker->random ^= worker->random << 13;
    worker->random ^= worker->random >> 7;
    worker->random ^= worker->random << 17;
    return (uint32_t)(worker->random >> 16) % below;
}

/* An object's bytes are the pattern from where its key says. */
static const char *bytes_of(unsigned key)
{
    return pattern + key % 251;
}

static unsigned key_of(const struct key *key)
{
    return (unsigned)(key - keys);
}

static void check(struct object *object, const struct key *key)
{
    struct object_reader reader = { 0 };
    struct iovec iov[8];
    int count;
    const struct object_meta *meta = object_meta(object);
    CHECK(str_has_prefix(meta->head, STR("HTTP/1.1 200 OK\r\n")));
    CHECK(str_eq(meta->etag, STR("\"e\"")));
    if (!object_open(object, &reader))
        return;
    const char *want = bytes_of(key_of(key));
    while (object_peek(&reader, iov, 8, &count) == OBJECT_BYTES) {
        uint64_t seen = 0;
        for (int i = 0; i < count; i++) {
            CHECK(memcmp(iov[i].iov_base, want + reader.at + seen, iov[i].iov_len) == 0);
            seen += iov[i].iov_len;
        }
        object_skip(&reader, seen);
    }
    object_close(&reader);
}

static struct object *make(struct worker *worker, const struct key *key)
{
    static const uint32_t sizes[] = { 100, 1000, 1000, 3000, 6000, 20000, BYTES };
    uint32_t size = draw(worker, sizes[draw(worker, COUNT_OF(sizes))]);
    struct object_meta meta = { .status = 200,
                                .head = STR_INIT("HTTP/1.1 200 OK\r\nETag: \"e\"\r\n"),
                                .etag = STR_INIT("\"e\""),
                                .lifetime_ms = 1000 };
    meta.length = draw(worker, 3) > 0 ? (int64_t)size : -1;
    meta.tags = draw(worker, 4) > 0 ? STR("") : STR("items\0some\0");
    struct object *object = object_new(cache, key, &meta);
    CHECK(object != NULL);
    struct witness *witness = witness_new(cache, key, STR("GET /\r\n"));
    object_set_witness(object, witness);
    witness_unref(witness);
    return object_append(object, str_n(bytes_of(key_of(key)), size)) ? object : object_unref(object);
}

static void store(struct worker *worker, const struct key *key)
{
    struct object *object = make(worker, key);
    CHECK(object != NULL);
    bool is_early = draw(worker, 2);
    if (is_early)
        cache_insert(cache, key, object, clock_mono_ns());
    object_seal(object);
    if (!is_early)
        cache_insert(cache, key, object, clock_mono_ns());
    object_unref(object);
    worker->stores++;
}

static void look(struct worker *worker, const struct key *key)
{
    struct cache_found found;
    cache_find(cache, key, NULL, 0, &found);
    worker->finds++;
    if (!found.object) {
        store(worker, key);
        return;
    }
    worker->hits++;
    check(found.object, key);
    if (draw(worker, 8) == 0)
        object_set_failed_at(found.object, 1);
    if (draw(worker, 16) == 0 && object_state(found.object) == OBJECT_SEALED) {
        struct object_meta meta;
        object_meta_read(found.object, &meta);
        struct object *fresh = object_renew(found.object, &meta);
        CHECK(fresh != NULL);
        cache_renew(cache, key, found.object, fresh, clock_mono_ns());
        object_unref(fresh);
    }
    if (draw(worker, 8) == 0) {
        struct object **held = &worker->held[draw(worker, HELD)];
        object_unref(*held);
        *held = found.object;
    } else {
        object_unref(found.object);
    }
}

static void disturb(struct worker *worker)
{
    const struct key *key = &keys[draw(worker, KEYS)];
    struct cache_options options = { .memory_bytes = (1 + draw(worker, 4)) << 20,
                                     .object_max_bytes = 8 << 20 };
    struct cache_share rows[] = { { STR_INIT("t1"), draw(worker, 10) * 0.1 }, { STR_INIT("t2"), 0.2 } };
    struct cache_purge purge = { .kind = PURGE_TAG, .tenant = STR_INIT("t1"), .what = STR_INIT("some") };
    struct cache_stats stats;
    switch (draw(worker, 6)) {
    case 0:
        cache_invalidate(cache, key, clock_mono_ns());
        break;
    case 1:
        cache_set(cache, &options);
        break;
    case 2:
        cache_set_shares(cache, draw(worker, 11) * 0.1, rows, draw(worker, 3));
        break;
    case 3:
        purge.is_soft = draw(worker, 2);
        cache_purge(cache, &purge, clock_mono_ns(), 0);
        break;
    case 4:
        cache_stats_read(cache, &stats);
        break;
    default:
        break;
    }
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    while (!atomic_load_explicit(&is_over, memory_order_relaxed)) {
        /* A few keys are asked for often. */
        unsigned below = draw(worker, 2) ? KEYS : KEYS / 20;
        look(worker, &keys[draw(worker, below)]);
        if (draw(worker, 500) == 0)
            disturb(worker);
    }
    for (unsigned i = 0; i < HELD; i++)
        object_unref(worker->held[i]);
    return NULL;
}

static void make_keys(struct arena *arena)
{
    static const char *const tenants[] = { "t1", "t2", "t3" };
    char target[32];
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(target, sizeof target, "/%u", i);
        const struct key_parts parts = { .tenant = str_of(tenants[i % COUNT_OF(tenants)]),
                                         .authority = STR_INIT("a"),
                                         .target = str_of(target),
                                         .upstream = STR_INIT("app"),
                                         .method_class = STR_INIT("GET") };
        CHECK(key_make(&keys[i], &parts, arena));
    }
}

int main(int argc, char **argv)
{
    static struct worker workers[THREADS];
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 1.5;
    struct arena arena;
    key_bytes = malloc(KEYS * 64);
    CHECK(key_bytes != NULL);
    arena_init(&arena, key_bytes, KEYS * 64, KEYS * 64);
    make_keys(&arena);
    for (unsigned i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)(i % 251);
    cache = cache_new(
        &(struct cache_options){ .memory_bytes = 2 << 20, .object_max_bytes = 8 << 20, .shards = 4 });
    CHECK(cache != NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].random = 88172645463325252u + i * 7919;
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    int64_t end = clock_mono_ns() + (int64_t)(seconds * 1e9);
    while (clock_mono_ns() < end) {
        struct timespec pause = { .tv_nsec = 20000000 };
        nanosleep(&pause, NULL);
    }
    atomic_store(&is_over, true);
    unsigned long finds = 0, hits = 0, stores = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        finds += workers[i].finds;
        hits += workers[i].hits;
        stores += workers[i].stores;
    }
    struct cache_options options = { .memory_bytes = 1 << 20, .object_max_bytes = 8 << 20 };
    struct cache_stats stats;
    cache_set(cache, &options);
    cache_stats_read(cache, &stats);
    CHECK(stats.bytes <= options.memory_bytes);
    CHECK(cache_verify(cache) == 0);
    printf("%lu looks, %lu hits, %lu stores; evicted %llu, %llu objects left\n", finds, hits, stores,
           (unsigned long long)stats.evicted, (unsigned long long)stats.objects);
    cache_free(cache);
    arena_fini(&arena);
    free(key_bytes);
    return 0;
}
