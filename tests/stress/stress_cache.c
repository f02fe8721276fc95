/* The cache under several threads at once: fetches that grow objects, land, scatter, fail, break and are
 * abandoned; readers on other threads who wait, leave and come too late; windows that hold their writer back;
 * purges of all kinds, invalidations, refreshes with other tags and a budget that is always too small. Every
 * byte read is checked. For ThreadSanitizer and AddressSanitizer; a plain program, since a test framework's
 * processes hide what they look for. stress_cache [SECONDS] */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "cache/cache.h"

#define THREADS    4
#define SLOTS      24
#define KEYS       48
#define PIECE      (64u * 1024)
#define OBJECT_MAX (6 * PIECE)
#define HELD_MAX   (4 * PIECE)

enum doing {
    IDLE,
    WAITING, /* for somebody's fetch */
    READING,
    READER_WAITS,
    FETCHING,
};

/* One request, owned by one thread. */
struct slot {
    enum doing doing;
    bool is_leaving; /* it left too late: its post is still to come */
    unsigned key;
    struct flight_waiter waiter;
    struct object_reader reader;
    _Atomic unsigned posts; /* from other threads; each wait gets exactly one, or was cancelled */
    struct flight *flight;
    struct object *object; /* that it fetches */
    int64_t started_ns;
    uint64_t size; /* it will have; breaks_at: or never will */
    uint64_t breaks_at;
    _Atomic bool is_held_back;
};

struct worker {
    pthread_t thread;
    uint64_t random;
    struct slot slots[SLOTS];
};

static struct cache *cache;
static struct key keys[KEYS];
static char key_bytes[64 * 1024];
static char pattern[PIECE + 251];
static _Atomic bool is_over;
static _Atomic unsigned long reads, fetches, waits, windows;

static uint32_t draw(struct worker *worker, uint32_t below)
{
    worker->random ^= worker->random << 13;
    worker->random ^= worker->random >> 7;
    worker->random ^= worker->random << 17;
    return (uint32_t)(worker->random >> 16) % below;
}

static int64_t now_ms(void)
{
    return clock_mono_ns() / NS_PER_MS;
}

static void post(struct slot *slot)
{
    CHECK(atomic_fetch_add(&slot->posts, 1) == 0);
}

static bool take_post(struct slot *slot)
{
    if (atomic_load(&slot->posts) == 0)
        return false;
    atomic_store(&slot->posts, 0);
    return true;
}

static void on_news(struct flight_waiter *waiter)
{
    post(CONTAINER_OF(waiter, struct slot, waiter));
}

static void on_more(struct object_reader *reader)
{
    post(CONTAINER_OF(reader, struct slot, reader));
}

static void on_held(void *arg)
{
    struct slot *slot = arg;
    CHECK(atomic_exchange(&slot->is_held_back, false));
}

/* --- fetching --- */

static void lead(struct worker *worker, struct slot *slot, struct flight *flight)
{
    slot->doing = FETCHING;
    slot->flight = flight;
    slot->started_ns = clock_mono_ns();
    slot->object = NULL;
    atomic_fetch_add(&fetches, 1);
}

static struct str draw_tags(struct worker *worker)
{
    static const struct str rows[] = { STR_INIT(""), STR_INIT("a\0"), STR_INIT("b\0"), STR_INIT("a\0b\0c\0"),
                                       STR_INIT("c\0a\0c\0") };
    return rows[draw(worker, COUNT_OF(rows))];
}

static void store(struct worker *worker, struct slot *slot)
{
    static const uint32_t sizes[] = { 1, 1000, 5000, PIECE, 3 * PIECE, 12 * PIECE };
    slot->size = draw(worker, sizes[draw(worker, COUNT_OF(sizes))]);
    slot->breaks_at = draw(worker, 8) == 0 ? draw(worker, (uint32_t)slot->size + 1) : UINT64_MAX;
    struct object_meta meta = { .status = 200, .head = STR("HTTP/1.1 200 OK\r\n"), .lifetime_ms = 1000 };
    meta.length = draw(worker, 2) ? (int64_t)slot->size : -1;
    meta.tags = draw_tags(worker);
    meta.stored_wall_ms = now_ms();
    slot->object = object_new(cache, &keys[slot->key], &meta);
    CHECK(slot->object != NULL);
    if (!cache_insert(cache, &keys[slot->key], slot->object, slot->started_ns))
        object_become_window(slot->object);
    flight_land(slot->flight);
}

static void end_fetch(struct slot *slot)
{
    slot->object = object_unref(slot->object);
    slot->doing = IDLE;
}

static void grow(struct worker *worker, struct slot *slot)
{
    struct object *object = slot->object;
    if (atomic_load(&slot->is_held_back))
        return;
    uint64_t at = object_size(object);
    if (at >= slot->breaks_at) {
        cache_remove(cache, object);
        object_break(object, -1);
        end_fetch(slot);
        return;
    }
    if (at == slot->size) {
        object_seal(object);
        end_fetch(slot);
        return;
    }
    uint64_t n = 1 + draw(worker, PIECE);
    n = n < slot->size - at ? n : slot->size - at;
    CHECK(object_append(object, str_n(pattern + at % 251, n)));
    if (!object_is_window(object) && (at + n > OBJECT_MAX || cache_is_full(cache))) {
        cache_remove(cache, object);
        object_become_window(object);
        atomic_fetch_add(&windows, 1);
    }
    if (object_is_window(object) && object_held_bytes(object) > HELD_MAX) {
        atomic_store(&slot->is_held_back, true);
        object_on_held(object, HELD_MAX / 2, on_held, slot);
    }
}

static void fetch(struct worker *worker, struct slot *slot)
{
    if (slot->object) {
        grow(worker, slot);
        return;
    }
    unsigned what = draw(worker, 20);
    if (what < 14) {
        store(worker, slot);
        return;
    }
    if (what < 16)
        flight_scatter(slot->flight, now_ms(), draw(worker, 20));
    else if (what < 17)
        flight_fail(slot->flight, -1);
    else if (what < 19)
        flight_abandon(slot->flight);
    else
        return; /* the server is slow */
    slot->doing = IDLE;
}

/* --- waiting and reading --- */

static void look(struct worker *worker, struct slot *slot)
{
    struct cache_found found;
    struct flight *flight;
    slot->key = draw(worker, KEYS);
    slot->waiter.on_news = on_news;
    slot->reader.on_more = on_more;
    cache_find(cache, &keys[slot->key], NULL, now_ms(), &found);
    bool is_read = found.object && draw(worker, 10) > 0; /* else: say it is stale */
    if (is_read) {
        if (object_open(found.object, &slot->reader))
            slot->doing = READING;
    } else if (!found.is_uncacheable) {
        enum flight_role role =
            flight_join(cache, &keys[slot->key], NULL, found.object, &slot->waiter, &flight);
        if (role == FLIGHT_LEAD)
            lead(worker, slot, flight);
        else if (role == FLIGHT_WAIT)
            slot->doing = WAITING;
    }
    object_unref(found.object);
}

static void hear(struct worker *worker, struct slot *slot)
{
    if (take_post(slot)) {
        bool is_leaving = slot->is_leaving;
        slot->is_leaving = false;
        slot->doing = IDLE;
        atomic_fetch_add(&waits, 1);
        if (slot->waiter.news == FLIGHT_YOURS && is_leaving)
            flight_abandon(slot->waiter.flight);
        else if (slot->waiter.news == FLIGHT_YOURS)
            lead(worker, slot, slot->waiter.flight);
        return;
    }
    if (!slot->is_leaving && draw(worker, 40) == 0) {
        slot->is_leaving = !flight_quit(&slot->waiter);
        if (!slot->is_leaving)
            slot->doing = IDLE;
    }
}

static void check_bytes(uint64_t at, const struct iovec *iov, int count)
{
    for (int i = 0; i < count; i++) {
        CHECK(iov[i].iov_len <= PIECE);
        CHECK(memcmp(iov[i].iov_base, pattern + at % 251, iov[i].iov_len) == 0);
        at += iov[i].iov_len;
    }
}

static void leave(struct slot *slot)
{
    object_close(&slot->reader);
    slot->doing = IDLE;
}

static void read_some(struct worker *worker, struct slot *slot)
{
    struct iovec iov[3];
    int count;
    enum object_more more = object_peek(&slot->reader, iov, 3, &count);
    if (more == OBJECT_BYTES) {
        uint64_t n = 0;
        check_bytes(slot->reader.at, iov, count);
        for (int i = 0; i < count; i++)
            n += iov[i].iov_len;
        object_skip(&slot->reader, draw(worker, 4) ? n : draw(worker, (uint32_t)n + 1));
        atomic_fetch_add(&reads, 1);
    } else if (more == OBJECT_NONE) {
        if (object_wait(&slot->reader))
            slot->doing = READER_WAITS;
    } else {
        leave(slot);
        return;
    }
    if (slot->doing == READING && draw(worker, 200) == 0)
        leave(slot);
}

static void wait_for_more(struct worker *worker, struct slot *slot)
{
    if (take_post(slot)) {
        slot->doing = READING;
        if (slot->is_leaving)
            slot->doing = IDLE;
        slot->is_leaving = false;
        return;
    }
    if (!slot->is_leaving && draw(worker, 100) == 0) {
        slot->is_leaving = !object_wait_cancel(&slot->reader);
        object_close(&slot->reader);
        if (!slot->is_leaving)
            slot->doing = IDLE;
    }
}

/* --- what happens besides --- */

static void purge(struct worker *worker, const struct key *key)
{
    static const struct str tags[] = { STR_INIT("a"), STR_INIT("b"), STR_INIT("c"), STR_INIT("nothing") };
    static const struct str prefixes[] = { STR_INIT("/1"), STR_INIT("http://a/2"), STR_INIT("https://a/") };
    struct cache_purge purge = { .kind = (enum purge_kind)draw(worker, PURGE_ALL + 1),
                                 .key = key,
                                 .is_soft = draw(worker, 2) };
    if (purge.kind == PURGE_TENANT || draw(worker, 2))
        purge.tenant = key_tenant(key);
    if (purge.kind == PURGE_TAG)
        purge.what = tags[draw(worker, COUNT_OF(tags))];
    else if (purge.kind == PURGE_PREFIX)
        purge.what = prefixes[draw(worker, COUNT_OF(prefixes))];
    cache_purge(cache, &purge, clock_mono_ns(), now_ms());
}

static void renew(struct worker *worker, const struct key *key)
{
    struct cache_found found;
    int64_t started_ns = clock_mono_ns();
    cache_find(cache, key, NULL, now_ms(), &found);
    if (found.object && object_state(found.object) == OBJECT_SEALED && !object_is_window(found.object)) {
        struct object_meta meta = *object_meta(found.object);
        meta.tags = draw_tags(worker);
        struct object *fresh = object_renew(found.object, &meta);
        CHECK(fresh != NULL);
        cache_renew(cache, key, found.object, fresh, started_ns);
        object_unref(fresh);
    }
    object_unref(found.object);
}

static void revalidate(const struct key *key)
{
    struct cache_found found;
    struct flight *flight;
    cache_find(cache, key, NULL, now_ms(), &found);
    if (flight_lead(cache, key, NULL, found.object, &flight) == FLIGHT_LEAD)
        flight_land(flight);
    object_unref(found.object);
}

static void disturb(struct worker *worker)
{
    const struct key *key = &keys[draw(worker, KEYS)];
    struct cache_options options = { .memory_bytes = (1 + draw(worker, 4)) << 20,
                                     .object_max_bytes = 8 << 20 };
    struct cache_stats stats;
    switch (draw(worker, 8)) {
    case 0:
        purge(worker, key);
        break;
    case 1:
        CHECK(cache_verify(cache) == 0);
        break;
    case 2:
    case 3:
        cache_invalidate(cache, key, clock_mono_ns());
        break;
    case 4:
        cache_set(cache, &options);
        break;
    case 5:
        cache_stats_read(cache, &stats);
        break;
    case 6:
        revalidate(key);
        break;
    default:
        renew(worker, key);
    }
}

static void step(struct worker *worker, struct slot *slot)
{
    switch (slot->doing) {
    case IDLE:
        if (!atomic_load(&is_over))
            look(worker, slot);
        break;
    case WAITING:
        hear(worker, slot);
        break;
    case READING:
        read_some(worker, slot);
        break;
    case READER_WAITS:
        wait_for_more(worker, slot);
        break;
    case FETCHING:
        fetch(worker, slot);
        break;
    }
}

static void *run(void *arg)
{
    struct worker *worker = arg;
    unsigned busy;
    do {
        busy = 0;
        for (unsigned i = 0; i < SLOTS; i++) {
            step(worker, &worker->slots[i]);
            busy += worker->slots[i].doing != IDLE;
        }
        if (!atomic_load(&is_over) && draw(worker, 50) == 0)
            disturb(worker);
        sched_yield();
    } while (busy > 0 || !atomic_load(&is_over));
    return NULL;
}

static void make_keys(struct arena *arena)
{
    for (unsigned i = 0; i < KEYS; i++) {
        struct key_parts parts = { .tenant = i % 3 ? STR("acme") : STR("tiny"),
                                   .authority = STR("a"),
                                   .target = arena_printf(arena, "/%u", i / 2),
                                   .version = i % 2 ? STR("v1") : STR("v2"),
                                   .upstream = STR("app"),
                                   .method_class = STR("GET") };
        CHECK(key_make(&keys[i], &parts, arena));
    }
}

int main(int argc, char **argv)
{
    static struct worker workers[THREADS];
    int64_t seconds = argc > 1 ? atoi(argv[1]) : 3;
    struct arena arena;
    arena_init(&arena, key_bytes, sizeof key_bytes, 1 << 20);
    make_keys(&arena);
    for (unsigned i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)(i % 251);
    cache = cache_new(
        &(struct cache_options){ .memory_bytes = 2 << 20, .object_max_bytes = 8 << 20, .shards = 4 });
    CHECK(cache != NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].random = 88172645463325252u + i * 7919;
        CHECK(pthread_create(&workers[i].thread, NULL, run, &workers[i]) == 0);
    }
    struct timespec pause = { .tv_sec = seconds };
    nanosleep(&pause, NULL);
    atomic_store(&is_over, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);

    struct cache_stats stats;
    cache_stats_read(cache, &stats);
    printf("%lu reads, %lu fetches, %lu waits, %lu windows; stored %lu, evicted %lu, purged %lu, "
           "expired %lu, invalidated %lu, refused %lu\n",
           reads, fetches, waits, windows, stats.stored, stats.evicted, stats.purged, stats.expired,
           stats.invalidated, stats.refused);
    CHECK(cache_verify(cache) == 0);
    CHECK(stats.bytes <= 5 << 20);
    CHECK(reads > 0);
    CHECK(waits > 0);
    CHECK(seconds < 2 || stats.purged > 0);
    cache_free(cache);
    arena_fini(&arena);
    return 0;
}
