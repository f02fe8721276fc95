/* How large a full cache is and how long it takes to find something in it: prints, and asserts nothing.
 * Build it for release. measure_cache [OBJECTS]: all of it; default 1,000,000 */
#include <stdlib.h>

#include "base/clock.h"
#include "fixture.h"
#include "resident.h"

#define BODY 1024

static const char tail[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"0123456789abcdef\"\r\n"
    "Last-Modified: Tue, 01 Jul 2025 10:00:00 GMT\r\nCache-Control: max-age=600\r\n"
    "Date: Tue, 01 Jul 2025 10:00:00 GMT\r\n";

static const struct key *numbered(struct test_key *room, unsigned number)
{
    char target[40];
    snprintf(target, sizeof target, "/items/%08u?lang=en", number);
    return test_key(room, "acme", target);
}

static void fill(struct cache *cache, unsigned from, unsigned to)
{
    struct test_key room;
    for (unsigned i = from; i < to; i++) {
        struct object_meta meta = test_meta(BODY);
        meta.head = str_n(tail, sizeof tail - 1);
        meta.etag = STR("\"0123456789abcdef\"");
        meta.last_modified = STR("Tue, 01 Jul 2025 10:00:00 GMT");
        const struct key *key = numbered(&room, i);
        struct object *object = test_object_with(cache, key, &meta, BODY);
        CHECK(cache_insert(cache, key, object, 1));
        object_unref(object);
        arena_fini(&room.arena);
    }
}

/* Nanoseconds to find one of count objects and read what an answer needs of it. */
static double find_ns(struct cache *cache, unsigned count)
{
    enum {
        KEYS = 8192,
        TIMES = 1000000
    };
    struct test_key *rooms = malloc(KEYS * sizeof *rooms);
    uint64_t random = 5;
    uint64_t sum = 0;
    double best = 1e9;
    CHECK(rooms != NULL);
    for (unsigned round = 0; round < 5; round++) {
        int64_t ns = 0;
        for (unsigned done = 0; done < TIMES; done += KEYS) {
            for (unsigned i = 0; i < KEYS; i++)
                numbered(&rooms[i], test_random(&random) % count);
            int64_t began = clock_mono_ns();
            for (unsigned i = 0; i < KEYS; i++) {
                struct cache_found found;
                cache_find(cache, &rooms[i].key, NULL, 0, &found);
                CHECK(found.object != NULL);
                const struct object_meta *meta = object_meta(found.object);
                sum += (uint64_t)meta->head.data[meta->head.len - 1] + meta->etag.len;
                object_unref(found.object);
            }
            ns += clock_mono_ns() - began;
        }
        double each = (double)ns / ((TIMES + KEYS - 1) / KEYS * KEYS);
        best = each < best ? each : best;
    }
    CHECK(sum > 0);
    free(rooms);
    return best;
}

int main(int argc, char **argv)
{
    static const unsigned counts[] = { 10000, 100000, 1000000 };
    unsigned all = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000000;
    struct cache *cache = test_cache(4ull << 30, 0);
    uint64_t before = resident_bytes();
    unsigned at = 0;
    for (unsigned i = 0; i < COUNT_OF(counts) && at < all; i++) {
        unsigned count = counts[i] < all ? counts[i] : all;
        fill(cache, at, count);
        at = count;
        double payload = (double)count * (BODY + sizeof tail - 1);
        double resident = (double)(resident_bytes() - before);
        printf("%8u objects: %.3f x their bytes resident, %.3f counted; found in %.0f ns\n", count,
               resident / payload, (double)test_bytes(cache) / payload, find_ns(cache, count));
    }
    CHECK(test_objects(cache) == all);
    cache_free(cache);
    return 0;
}
