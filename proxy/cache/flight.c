/* One fetch per key: flights and who waits for them. A flight is in its shard's table while others may join
 * it; it is the leader's until the leader ends it. News are given with no lock held. */
#include <stdlib.h>

#include "cache/memory.h"

enum waiter_state {
    WAITER_NONE,
    WAITER_WAITS,
    WAITER_TOLD
};

struct flight {
    struct flight *next; /* in its bucket */
    struct shard *shard;
    struct account *tenant;
    uint32_t generation; /* the tenant's when it began: after a purge nobody joins */
    bool is_listed;      /* others may join */
    bool is_over;        /* its waiters are being told */
    struct list waiters; /* of struct flight_waiter, oldest first */
    _Atomic unsigned waiting;
    struct key key;
    struct str vary_key; /* behind the key's bytes */
    char bytes[];
};

static struct flight **bucket_of(struct shard *shard, const struct key *key)
{
    return &shard->flights[(key->hash >> 8) % FLIGHT_BUCKETS];
}

/* What else selects: if stored variants name fields, requests that differ in them get no common answer, and
 * need not wait for one another. */
struct selection {
    int len;
    char bytes[VARY_KEY_MAX];
};

static void selection_make(struct selection *selection, struct shard *shard, const struct key *key,
                           const struct message *request)
{
    const struct object *newest = NULL;
    struct object *object;
    for (uint32_t at = INDEX_START; (object = index_next(&shard->index, key, &at));) {
        if (object_is_marker(object) || object_is_dead(object) ||
            !str_eq(object_selector(object), key->selector))
            continue;
        if (!newest || object_stored_ms(object) > object_stored_ms(newest))
            newest = object;
    }
    selection->len = 0;
    if (newest && request && object_vary(newest).len > 0)
        selection->len = vary_key(object_vary(newest), request, selection->bytes, sizeof selection->bytes);
    if (selection->len < 0)
        selection->len = 0;
}

static void unlist(struct flight *flight)
{
    if (!flight->is_listed)
        return;
    struct flight **at = bucket_of(flight->shard, &flight->key);
    while (*at != flight)
        at = &(*at)->next;
    *at = flight->next;
    flight->is_listed = false;
}

void flights_close(struct shard *shard, const struct key *key)
{
    for (struct flight *flight = *bucket_of(shard, key), *next; flight; flight = next) {
        next = flight->next;
        if (flight->key.hash == key->hash && str_eq(flight->key.primary, key->primary))
            unlist(flight);
    }
}

void flights_close_some(struct shard *shard, unsigned bucket,
                        bool (*fits)(struct str primary, const void *arg), const void *arg)
{
    for (struct flight *flight = shard->flights[bucket], *next; flight; flight = next) {
        next = flight->next;
        if (fits(flight->key.primary, arg))
            unlist(flight);
    }
}

static struct flight *find(struct shard *shard, const struct key *key, struct str vary)
{
    for (struct flight *flight = *bucket_of(shard, key), *next; flight; flight = next) {
        next = flight->next;
        if (flight->key.hash != key->hash || flight->key.select != key->select ||
            !str_eq(flight->key.primary, key->primary) || !str_eq(flight->key.selector, key->selector) ||
            !str_eq(flight->vary_key, vary))
            continue;
        if (flight->generation == account_generation(flight->tenant))
            return flight;
        unlist(flight);
    }
    return NULL;
}

static struct str put(char *at, struct str part)
{
    if (part.len > 0)
        memcpy(at, part.data, part.len);
    return str_n(at, part.len);
}

static struct flight *flight_new(struct shard *shard, const struct key *key, struct str vary)
{
    struct flight *flight = malloc(sizeof *flight + key->primary.len + key->selector.len + vary.len);
    struct account *tenant = flight ? account_get(shard->cache, key_tenant(key)) : NULL;
    if (!tenant) {
        free(flight);
        return NULL;
    }
    *flight = (struct flight){ .shard = shard, .tenant = tenant, .key = *key };
    flight->generation = account_generation(tenant);
    list_init(&flight->waiters);
    flight->key.primary = put(flight->bytes, key->primary);
    flight->key.selector = put(flight->bytes + key->primary.len, key->selector);
    flight->vary_key = put(flight->bytes + key->primary.len + key->selector.len, vary);
    return flight;
}

static void flight_free(struct flight *flight)
{
    account_unref(flight->tenant);
    free(flight);
}

static void wait(struct flight *flight, struct flight_waiter *waiter)
{
    waiter->flight = flight;
    waiter->shard = flight->shard;
    __atomic_store_n(&waiter->state, WAITER_WAITS, __ATOMIC_RELAXED);
    list_push_back(&flight->waiters, &waiter->link);
    atomic_fetch_add_explicit(&flight->waiting, 1, memory_order_relaxed);
}

static struct flight *lead(struct shard *shard, const struct key *key, struct str vary)
{
    struct flight *flight = flight_new(shard, key, vary);
    if (!flight)
        return NULL;
    struct flight **bucket = bucket_of(shard, key);
    flight->next = *bucket;
    *bucket = flight;
    flight->is_listed = true;
    return flight;
}

/* waiter NULL: would not wait. Under the shard's lock. */
static enum flight_role join(struct shard *shard, const struct key *key, const struct message *request,
                             const struct object *seen, struct flight_waiter *waiter,
                             struct flight **out_flight)
{
    struct selection selection;
    struct match match;
    shard_match(shard, key, request, &match);
    /* Whoever leads stores first and lands then, and we look at both under one lock: what is stored is seen
     * here, or its flight is still there and will tell. */
    if ((match.object && match.object != seen) || match.marker)
        return FLIGHT_AGAIN;
    selection_make(&selection, shard, key, request);
    struct str vary = str_n(selection.bytes, (size_t)selection.len);
    struct flight *flight = find(shard, key, vary);
    if (flight && !waiter)
        return FLIGHT_NONE;
    if (flight) {
        wait(flight, waiter);
        return FLIGHT_WAIT;
    }
    *out_flight = lead(shard, key, vary);
    return *out_flight ? FLIGHT_LEAD : FLIGHT_NONE;
}

enum flight_role flight_join(struct cache *cache, const struct key *key, const struct message *request,
                             const struct object *seen, struct flight_waiter *waiter,
                             struct flight **out_flight)
{
    struct shard *shard = shard_of(cache, hash_fold(key->hash));
    *out_flight = NULL;
    pthread_mutex_lock(&shard->lock);
    enum flight_role role = join(shard, key, request, seen, waiter, out_flight);
    pthread_mutex_unlock(&shard->lock);
    return role;
}

enum flight_role flight_lead(struct cache *cache, const struct key *key, const struct message *request,
                             const struct object *seen, struct flight **out_flight)
{
    return flight_join(cache, key, request, seen, NULL, out_flight);
}

/* Ends the flight and tells all its waiters. They come off the list as one, so the lock is held no longer for
 * ten thousand; the price is that flight_quit() may look at the flight until the last of them was told. */
static void end(struct flight *flight, enum flight_news news, int err)
{
    struct shard *shard = flight->shard;
    struct list told;
    list_init(&told);
    pthread_mutex_lock(&shard->lock);
    unlist(flight);
    flight->is_over = true;
    list_take_all(&told, &flight->waiters);
    atomic_store_explicit(&flight->waiting, 0, memory_order_relaxed);
    pthread_mutex_unlock(&shard->lock);

    bool was_empty = list_is_empty(&told);
    for (struct list *at = told.next, *next; at != &told; at = next) {
        next = at->next;
        struct flight_waiter *waiter = LIST_ENTRY(at, struct flight_waiter, link);
        waiter->news = news;
        waiter->err = err;
        __atomic_store_n(&waiter->state, WAITER_TOLD, __ATOMIC_RELEASE);
        waiter->on_news(waiter);
    }
    if (!was_empty) {
        /* Who comes to quit after this sees WAITER_TOLD, and does not look at the flight. */
        pthread_mutex_lock(&shard->lock);
        pthread_mutex_unlock(&shard->lock);
    }
    flight_free(flight);
}

void flight_land(struct flight *flight)
{
    end(flight, FLIGHT_LANDED, 0);
}

void flight_known(struct flight *flight)
{
    end(flight, FLIGHT_KNOWN, 0);
}

void flight_scatter(struct flight *flight, int64_t now_ms, int64_t remember_ms)
{
    if (remember_ms > 0) {
        struct cache *cache = flight->shard->cache;
        struct object *marker = object_new_marker(cache, &flight->key, now_ms + remember_ms);
        if (marker)
            cache_insert_marker(cache, &flight->key, marker);
    }
    end(flight, FLIGHT_SCATTERED, 0);
}

void flight_fail(struct flight *flight, int err)
{
    end(flight, FLIGHT_FAILED, err);
}

void flight_abandon(struct flight *flight)
{
    struct shard *shard = flight->shard;
    struct flight_waiter *oldest = NULL;
    pthread_mutex_lock(&shard->lock);
    if (list_is_empty(&flight->waiters)) {
        unlist(flight);
    } else {
        oldest = LIST_ENTRY(flight->waiters.next, struct flight_waiter, link);
        list_remove(&oldest->link);
        atomic_fetch_sub_explicit(&flight->waiting, 1, memory_order_relaxed);
        oldest->news = FLIGHT_YOURS;
        oldest->err = 0;
        __atomic_store_n(&oldest->state, WAITER_TOLD, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&shard->lock);
    if (oldest)
        oldest->on_news(oldest);
    else
        flight_free(flight);
}

bool flight_quit(struct flight_waiter *waiter)
{
    if (__atomic_load_n(&waiter->state, __ATOMIC_ACQUIRE) == WAITER_NONE)
        return true;
    struct shard *shard = waiter->shard;
    pthread_mutex_lock(&shard->lock);
    bool is_in_time =
        __atomic_load_n(&waiter->state, __ATOMIC_ACQUIRE) == WAITER_WAITS && !waiter->flight->is_over;
    if (is_in_time) {
        list_remove(&waiter->link);
        atomic_fetch_sub_explicit(&waiter->flight->waiting, 1, memory_order_relaxed);
        __atomic_store_n(&waiter->state, WAITER_NONE, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&shard->lock);
    return is_in_time;
}

unsigned flight_waiting(const struct flight *flight)
{
    return atomic_load_explicit(&flight->waiting, memory_order_relaxed);
}
