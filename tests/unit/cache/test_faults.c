/* Every allocation of this room may fail: the n-th one does, for every n that there is. */
#include <criterion/criterion.h>

#include <sys/mman.h>

#include "cache/store.h"
#include "cache/witness.h"
#include "fixture.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__real_store_alloc(struct store *store, enum store_side side, size_t bytes, size_t least, uint32_t hash,
                         size_t *out_bytes);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_store_alloc(struct store *store, enum store_side side, size_t bytes, size_t least, uint32_t hash,
                         size_t *out_bytes);

static long fails_in = -1; /* -1: never */

static bool fails(void)
{
    return fails_in >= 0 && fails_in-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap(at, size, protection, flags, fd, offset);
}

void *__wrap_store_alloc(struct store *store, enum store_side side, size_t bytes, size_t least, uint32_t hash,
                         size_t *out_bytes)
{
    return fails() ? NULL : __real_store_alloc(store, side, bytes, least, hash, out_bytes);
}

static struct test_key rooms[100];

/* All that allocates, once; false if anything said that it could not. */
static bool use_everything(void)
{
    static const char bytes[70 * KIB];
    struct cache_options options = { .memory_bytes = 64 * KIB, .object_max_bytes = MIB, .shards = 1 };
    struct cache *cache = cache_new(&options);
    if (!cache)
        return false;
    bool is_fine = true;
    const struct cache_share shares[] = { { STR_INIT("acme"), 0.5 }, { STR_INIT("bolt"), 0.5 } };
    cache_set_shares(cache, 0.1, shares, COUNT_OF(shares)); /* without memory it has fewer rows */
    struct witness *witness = witness_new(cache, &rooms[0].key, STR("GET / HTTP/1.1\r\n"));
    is_fine = witness && is_fine;
    for (unsigned i = 0; i < COUNT_OF(rooms); i++) { /* the index grows, and evicting makes ghosts */
        struct object_meta meta = test_meta(i == 0 ? -1 : 1000);
        meta.tags = i % 10 == 0 ? STR("items\0all\0") : STR("");
        struct object *object = object_new(cache, &rooms[i].key, &meta);
        if (!object) {
            is_fine = false;
            continue;
        }
        object_set_witness(object, witness);
        is_fine = object_append(object, str_n(bytes, i == 0 ? sizeof bytes : 1000)) && is_fine;
        if (object_size(object) < 1000) {
            object_break(object, -1);
            object_unref(object);
            continue;
        }
        object_seal(object);
        is_fine = cache_insert(cache, &rooms[i].key, object, 1) && is_fine;
        struct object *fresh = object_renew(object, &meta);
        is_fine = fresh && is_fine;
        if (fresh)
            cache_renew(cache, &rooms[i].key, object, fresh, INT64_MAX);
        object_unref(fresh);
        object_unref(object);
    }
    struct flight_waiter waiter = { 0 };
    struct flight *flight;
    static struct test_key other;
    enum flight_role role = flight_join(cache, test_key(&other, "other", "/"), NULL, NULL, &waiter, &flight);
    cr_assert(role == FLIGHT_LEAD || role == FLIGHT_NONE);
    is_fine = role == FLIGHT_LEAD && is_fine;
    if (flight)
        flight_scatter(flight, 0, 100);
    witness_unref(witness);
    cr_expect_eq(cache_verify(cache), 0);
    cache_free(cache);
    return is_fine;
}

Test(faults, no_failed_allocation_breaks_anything)
{
    for (unsigned i = 0; i < COUNT_OF(rooms); i++) {
        char target[16];
        snprintf(target, sizeof target, "/%u", i);
        test_key(&rooms[i], "acme", target);
    }
    unsigned refused = 0;
    long n = 0;
    for (bool is_reached = true; is_reached; n++) {
        fails_in = n;
        refused += !use_everything();
        is_reached = fails_in < 0;
        fails_in = -1;
    }
    cr_expect_gt(n, 200);
    cr_expect_gt(refused, 100);
}
