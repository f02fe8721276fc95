/* Every allocation of this room may fail: the n-th one does, for every n that there is. */
#include <criterion/criterion.h>

#include "fixture.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

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
    for (unsigned i = 0; i < COUNT_OF(rooms); i++) { /* the index grows, and evicting makes ghosts */
        struct object_meta meta = test_meta(i == 0 ? -1 : 1000);
        struct object *object = object_new(cache, &rooms[i].key, &meta);
        if (!object) {
            is_fine = false;
            continue;
        }
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
            cache_refresh(cache, &rooms[i].key, object, fresh);
        object_unref(fresh);
        object_unref(object);
    }
    struct flight_waiter waiter = { 0 };
    struct flight *flight;
    struct test_key other;
    enum flight_role role = flight_join(cache, test_key(&other, "other", "/"), NULL, NULL, &waiter, &flight);
    cr_assert(role == FLIGHT_LEAD || role == FLIGHT_NONE);
    is_fine = role == FLIGHT_LEAD && is_fine;
    if (flight)
        flight_scatter(flight, 0, 100);
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
