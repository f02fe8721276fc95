/* What the tests of this room share: short ways to a key, an object, a cache. */
#ifndef TEST_CACHE_FIXTURE_H
#define TEST_CACHE_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "cache/cache.h"

#define KIB 1024u
#define MIB (1024u * 1024u)

/* A key in malloc'd memory. */
struct test_key {
    struct key key;
    struct arena arena;
    char bytes[512];
};

static inline struct key_parts test_parts(const char *tenant, const char *target)
{
    return (struct key_parts){ .tenant = str_of(tenant),
                               .authority = STR("api.example.com"),
                               .target = str_of(target),
                               .version = STR("v2"),
                               .upstream = STR("app"),
                               .method_class = STR("GET") };
}

static inline const struct key *test_key_of(struct test_key *room, const struct key_parts *parts)
{
    arena_init(&room->arena, room->bytes, sizeof room->bytes, 4096);
    CHECK(key_make(&room->key, parts, &room->arena));
    return &room->key;
}

static inline const struct key *test_key(struct test_key *room, const char *tenant, const char *target)
{
    struct key_parts parts = test_parts(tenant, target);
    return test_key_of(room, &parts);
}

static inline struct cache *test_cache(uint64_t memory_bytes, unsigned shards)
{
    struct cache_options options = { .memory_bytes = memory_bytes,
                                     .object_max_bytes = 8 * MIB,
                                     .shards = shards };
    struct cache *cache = cache_new(&options);
    CHECK(cache != NULL);
    return cache;
}

static inline struct object_meta test_meta(int64_t length)
{
    return (struct object_meta){ .status = 200,
                                 .head = STR("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"),
                                 .lifetime_ms = 10000,
                                 .length = length };
}

/* Sealed, of that many bytes. */
static inline struct object *test_object_with(struct cache *cache, const struct key *key,
                                              const struct object_meta *meta, uint64_t size)
{
    static const char bytes[64 * KIB];
    struct object *object = object_new(cache, key, meta);
    CHECK(object != NULL);
    for (uint64_t left = size; left > 0;) {
        size_t n = left < sizeof bytes ? (size_t)left : sizeof bytes;
        CHECK(object_append(object, str_n(bytes, n)));
        left -= n;
    }
    object_seal(object);
    return object;
}

static inline struct object *test_object(struct cache *cache, const struct key *key, uint64_t size)
{
    struct object_meta meta = test_meta((int64_t)size);
    return test_object_with(cache, key, &meta, size);
}

/* Stores such an object; returns it, for comparing only. */
static inline const struct object *test_store(struct cache *cache, const struct key *key, uint64_t size,
                                              int64_t started_ms)
{
    struct object *object = test_object(cache, key, size);
    bool is_in = cache_insert(cache, key, object, started_ms);
    object_unref(object);
    return is_in ? object : NULL;
}

/* What is found, for comparing only. */
static inline const struct object *test_find(struct cache *cache, const struct key *key)
{
    struct cache_found found;
    cache_find(cache, key, NULL, 0, &found);
    object_unref(found.object);
    return found.object;
}

static inline uint64_t test_bytes(struct cache *cache)
{
    struct cache_stats stats;
    cache_stats_read(cache, &stats);
    return stats.bytes;
}

static inline uint64_t test_objects(struct cache *cache)
{
    struct cache_stats stats;
    cache_stats_read(cache, &stats);
    return stats.objects;
}

/* The same numbers on every run. */
static inline uint32_t test_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 16);
}

#endif
