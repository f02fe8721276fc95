#include "tenants.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 4096
#define LOCKS  64

struct place {
    struct seen seen;
    int64_t began_ms; /* its positions are of no earlier writes */
    int64_t wrote_ms; /* 0: nobody has */
};

struct domain {
    struct weir_str name;
    pthread_mutex_t locks[LOCKS];
    struct place places[PLACES];
};

struct tenants {
    struct seen before;               /* of what went before this instance nothing is known but the time */
    _Atomic(struct domain *) nearest; /* of its last request: an upstream has one */
};

/* Domains are added and, as long as anybody holds the table, never taken away: finding one needs no lock. */
static struct {
    pthread_mutex_t lock; /* for users, and for adding */
    unsigned users;
    atomic_uint count;
    atomic_int_least64_t lost_ms; /* the last write that there was no memory for; 0: none */
    struct domain *domains[TENANTS_DOMAINS];
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The primary as it was then. */
static struct seen primary_at(uint32_t clock, int64_t at_ms)
{
    return (struct seen){
        .has_source = true, .source = SOURCE_PRIMARY, .clock = clock, .at_ms = at_ms, .until_ms = at_ms
    };
}

struct tenants *tenants_new(uint32_t clock, int64_t since_ms)
{
    struct tenants *tenants = calloc(1, sizeof *tenants);

    if (!tenants)
        return NULL;
    tenants->before = primary_at(clock, since_ms);
    pthread_mutex_lock(&table.lock);
    table.users++;
    pthread_mutex_unlock(&table.lock);
    return tenants;
}

static void free_domain(struct domain *domain)
{
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&domain->locks[i]);
    free(domain);
}

void tenants_free(struct tenants *tenants)
{
    if (!tenants)
        return;
    pthread_mutex_lock(&table.lock);
    if (--table.users == 0) {
        for (unsigned i = 0; i < atomic_load(&table.count); i++)
            free_domain(table.domains[i]);
        atomic_store(&table.count, 0);
        atomic_store(&table.lost_ms, 0);
    }
    pthread_mutex_unlock(&table.lock);
    free(tenants);
}

/* --- places --- */

static bool is_named(const struct domain *domain, struct weir_str name)
{
    return domain->name.len == name.len && memcmp(domain->name.data, name.data, name.len) == 0;
}

static struct domain *look_up(struct weir_str name)
{
    unsigned count = atomic_load_explicit(&table.count, memory_order_acquire);

    for (unsigned i = 0; i < count; i++)
        if (is_named(table.domains[i], name))
            return table.domains[i];
    return NULL;
}

/* Its name stands behind it. */
static struct domain *make_domain(struct weir_str name)
{
    struct domain *domain = calloc(1, sizeof *domain + name.len + 1);
    char *text;

    if (!domain)
        return NULL;
    text = (char *)(domain + 1);
    memcpy(text, name.data, name.len);
    domain->name = (struct weir_str){ text, name.len };
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_init(&domain->locks[i], NULL);
    return domain;
}

static struct domain *add_domain(struct weir_str name)
{
    struct domain *domain;
    unsigned count;

    pthread_mutex_lock(&table.lock);
    domain = look_up(name);
    count = atomic_load(&table.count);
    if (!domain && count < TENANTS_DOMAINS && (domain = make_domain(name))) {
        table.domains[count] = domain;
        atomic_store_explicit(&table.count, count + 1, memory_order_release);
    }
    pthread_mutex_unlock(&table.lock);
    return domain;
}

/* NULL: no room. */
static struct domain *find_domain(struct tenants *tenants, struct weir_str name)
{
    struct domain *domain = atomic_load_explicit(&tenants->nearest, memory_order_acquire);

    if (!name.data)
        name = (struct weir_str){ "", 0 };
    if (domain && is_named(domain, name))
        return domain;
    domain = look_up(name);
    if (!domain)
        domain = add_domain(name);
    if (domain)
        atomic_store_explicit(&tenants->nearest, domain, memory_order_release);
    return domain;
}

/* FNV-1a. */
static unsigned place_of(struct weir_str tenant)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < tenant.len; i++)
        hash = (hash ^ (unsigned char)tenant.data[i]) * 16777619u;
    return (hash ^ hash >> 16) % PLACES;
}

/* NULL: there is no room for its domain. Else it is locked, to be given back by unlock(). */
static struct place *lock_place(struct tenants *tenants, const struct tenants_key *key,
                                pthread_mutex_t **out_lock)
{
    struct domain *domain = find_domain(tenants, key->domain);
    unsigned at = place_of(key->tenant);

    if (!domain)
        return NULL;
    *out_lock = &domain->locks[at % LOCKS];
    pthread_mutex_lock(*out_lock);
    return &domain->places[at];
}

/* --- writes --- */

/* A position is an exact word, but it may be wrong for ever (a server that was made anew from a backup never
 * comes there): after a while its time stands for it. */
static void forget_positions(struct tenants *tenants, struct place *place, int64_t now_ms)
{
    if (now_ms - place->began_ms < TENANTS_LIFE_MS)
        return;
    if (place->wrote_ms)
        place->seen = primary_at(tenants->before.clock, place->wrote_ms);
    place->began_ms = now_ms;
}

void tenants_wrote(struct tenants *tenants, const struct tenants_key *key, const struct seen *seen,
                   int64_t now_ms)
{
    pthread_mutex_t *lock;
    struct place *place = lock_place(tenants, key, &lock);

    if (!place) {
        atomic_store(&table.lost_ms, now_ms);
        return;
    }
    forget_positions(tenants, place, now_ms);
    seen_merge(&place->seen, seen);
    if (place->wrote_ms < now_ms)
        place->wrote_ms = now_ms;
    pthread_mutex_unlock(lock);
}

/* --- questions --- */

int64_t tenants_last(struct tenants *tenants, const struct tenants_key *key, int64_t now_ms,
                     struct seen *io_seen)
{
    pthread_mutex_t *lock;
    struct place *place = lock_place(tenants, key, &lock);
    int64_t unknown_ms = tenants->before.at_ms;
    struct seen unknown;
    int64_t wrote_ms = now_ms;

    if (place) {
        forget_positions(tenants, place, now_ms);
        wrote_ms = place->wrote_ms;
        seen_merge(io_seen, &place->seen);
        pthread_mutex_unlock(lock);
        now_ms = atomic_load_explicit(&table.lost_ms, memory_order_relaxed);
    }
    /* Without a place any write may have been just now. */
    if (unknown_ms < now_ms)
        unknown_ms = now_ms;
    unknown = primary_at(tenants->before.clock, unknown_ms);
    seen_merge(io_seen, &unknown);
    return wrote_ms > unknown_ms ? wrote_ms : unknown_ms;
}

void tenants_since(struct tenants *tenants, const struct tenants_key *key, int64_t since_ms,
                   struct seen *io_seen)
{
    pthread_mutex_t *lock;
    struct place *place = lock_place(tenants, key, &lock);
    struct seen wrote;

    if (!place)
        return;
    wrote = place->wrote_ms >= since_ms ? place->seen : (struct seen){ 0 };
    pthread_mutex_unlock(lock);
    if (wrote.has_source && wrote.at_ms < since_ms)
        wrote.has_source = false;
    seen_merge(io_seen, &wrote);
}
