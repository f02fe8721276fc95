#include "net/endpoint.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"

#define REFRESH_NS (30 * NS_PER_S)
#define RETRY_NS   (5 * NS_PER_S)

struct endpoint {
    atomic_uint refs;
    struct addr addr;

    pthread_mutex_t lock; /* over what follows */
    struct endpoint_addresses addresses;
    bool is_looked_up; /* once at least, with whatever success */
    struct list waiters;

    struct list link; /* in resolver.names, under the resolver's lock */
    int64_t due_ns;
};

/* One thread for all names; it lives while there are any. getaddrinfo() blocks, so a dead name server makes
 * look-ups late: those who have addresses already do not notice, and new names go first. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct list names; /* of struct endpoint */
    bool is_running;
} resolver = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .names = { &resolver.names, &resolver.names },
};
static pthread_once_t resolver_once = PTHREAD_ONCE_INIT;

/* --- looking up --- */

static bool look_up(const struct addr *addr, struct endpoint_addresses *out)
{
    /* No AI_ADDRCONFIG: an address without a route fails at once, and the next one is tried. */
    struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM,
    };
    struct addrinfo *found = NULL;

    *out = (struct endpoint_addresses){ 0 };
    if (getaddrinfo(addr->host, NULL, &hints, &found) != 0)
        return false;
    for (struct addrinfo *at = found; at && out->count < ENDPOINT_ADDRESSES_MAX; at = at->ai_next) {
        struct sockaddr_storage *sa = &out->items[out->count].sa;
        if (at->ai_family != AF_INET && at->ai_family != AF_INET6)
            continue;
        memcpy(sa, at->ai_addr, at->ai_addrlen);
        if (at->ai_family == AF_INET)
            ((struct sockaddr_in *)sa)->sin_port = htons(addr->port);
        else
            ((struct sockaddr_in6 *)sa)->sin6_port = htons(addr->port);
        out->items[out->count++].len = at->ai_addrlen;
    }
    freeaddrinfo(found);
    return out->count > 0;
}

static void endpoint_refresh(struct endpoint *endpoint)
{
    struct endpoint_addresses fresh;
    bool is_found = look_up(&endpoint->addr, &fresh);

    pthread_mutex_lock(&endpoint->lock);
    if (is_found)
        endpoint->addresses = fresh;
    endpoint->is_looked_up = true;
    while (!list_is_empty(&endpoint->waiters)) {
        struct endpoint_waiter *waiter = LIST_ENTRY(endpoint->waiters.next, struct endpoint_waiter, link);
        list_remove(&waiter->link);
        waiter->fn(waiter);
    }
    pthread_mutex_unlock(&endpoint->lock);
    endpoint->due_ns = clock_mono_ns() + (is_found ? REFRESH_NS : RETRY_NS);
}

/* --- the resolver's thread --- */

static struct endpoint *earliest_name(void)
{
    struct endpoint *earliest = NULL;
    for (struct list *at = resolver.names.next; at != &resolver.names; at = at->next) {
        struct endpoint *endpoint = LIST_ENTRY(at, struct endpoint, link);
        if (!earliest || endpoint->due_ns < earliest->due_ns)
            earliest = endpoint;
    }
    return earliest;
}

static void *resolver_run(void *unused)
{
    pthread_mutex_lock(&resolver.lock);
    for (;;) {
        struct endpoint *endpoint = earliest_name();
        if (!endpoint)
            break;
        if (endpoint->due_ns > clock_mono_ns()) {
            struct timespec until = { endpoint->due_ns / NS_PER_S, endpoint->due_ns % NS_PER_S };
            pthread_cond_timedwait(&resolver.changed, &resolver.lock, &until);
            continue;
        }
        /* A reference of its own: without the lock, the last of the others may go. */
        endpoint_ref(endpoint);
        pthread_mutex_unlock(&resolver.lock);
        endpoint_refresh(endpoint);
        endpoint_unref(endpoint);
        pthread_mutex_lock(&resolver.lock);
    }
    resolver.is_running = false;
    pthread_mutex_unlock(&resolver.lock);
    return NULL;
}

static void resolver_init(void)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&resolver.changed, &attr);
    pthread_condattr_destroy(&attr);
}

static bool resolver_start(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, resolver_run, NULL) != 0)
        return false;
    pthread_detach(thread);
    return true;
}

static bool resolver_add(struct endpoint *endpoint)
{
    pthread_once(&resolver_once, resolver_init);
    pthread_mutex_lock(&resolver.lock);
    if (!resolver.is_running)
        resolver.is_running = resolver_start();
    if (resolver.is_running)
        list_push_back(&resolver.names, &endpoint->link);
    bool is_added = resolver.is_running;
    pthread_cond_signal(&resolver.changed);
    pthread_mutex_unlock(&resolver.lock);
    return is_added;
}

/* --- endpoints --- */

struct endpoint *endpoint_new(const struct addr *addr)
{
    struct endpoint *endpoint = calloc(1, sizeof *endpoint);
    if (!endpoint)
        return NULL;
    atomic_init(&endpoint->refs, 1);
    endpoint->addr = *addr;
    pthread_mutex_init(&endpoint->lock, NULL);
    list_init(&endpoint->waiters);
    list_init(&endpoint->link);

    if (addr->kind != ADDR_NAME) {
        endpoint->addresses.count = 1;
        endpoint->addresses.items[0].sa = addr->sa;
        endpoint->addresses.items[0].len = addr->sa_len;
        endpoint->is_looked_up = true;
    } else if (!resolver_add(endpoint)) {
        return endpoint_unref(endpoint);
    }
    return endpoint;
}

struct endpoint *endpoint_ref(struct endpoint *endpoint)
{
    atomic_fetch_add_explicit(&endpoint->refs, 1, memory_order_relaxed);
    return endpoint;
}

struct endpoint *endpoint_unref(struct endpoint *endpoint)
{
    if (!endpoint)
        return NULL;
    if (endpoint->addr.kind == ADDR_NAME) {
        /* Under the resolver's lock, so that it finds no name that is about to go. */
        pthread_mutex_lock(&resolver.lock);
        bool is_last = atomic_fetch_sub_explicit(&endpoint->refs, 1, memory_order_acq_rel) == 1;
        if (is_last)
            list_remove(&endpoint->link);
        if (list_is_empty(&resolver.names))
            pthread_cond_signal(&resolver.changed);
        pthread_mutex_unlock(&resolver.lock);
        if (!is_last)
            return NULL;
    } else if (atomic_fetch_sub_explicit(&endpoint->refs, 1, memory_order_acq_rel) != 1) {
        return NULL;
    }
    CHECK(list_is_empty(&endpoint->waiters));
    pthread_mutex_destroy(&endpoint->lock);
    free(endpoint);
    return NULL;
}

bool endpoint_addresses(struct endpoint *endpoint, struct endpoint_addresses *out,
                        struct endpoint_waiter *waiter)
{
    pthread_mutex_lock(&endpoint->lock);
    bool is_looked_up = endpoint->is_looked_up;
    if (is_looked_up)
        *out = endpoint->addresses;
    else
        list_push_back(&endpoint->waiters, &waiter->link);
    pthread_mutex_unlock(&endpoint->lock);
    return is_looked_up;
}

bool endpoint_leave(struct endpoint *endpoint, struct endpoint_waiter *waiter)
{
    pthread_mutex_lock(&endpoint->lock);
    bool was_waiting = !list_is_empty(&waiter->link);
    list_remove(&waiter->link);
    pthread_mutex_unlock(&endpoint->lock);
    return was_waiting;
}

void endpoint_set_first(struct endpoint *endpoint, unsigned index)
{
    pthread_mutex_lock(&endpoint->lock);
    if (index < endpoint->addresses.count)
        endpoint->addresses.first = index;
    pthread_mutex_unlock(&endpoint->lock);
}

bool endpoint_is_lost(struct endpoint *endpoint)
{
    pthread_mutex_lock(&endpoint->lock);
    bool is_lost = endpoint->is_looked_up && endpoint->addresses.count == 0;
    pthread_mutex_unlock(&endpoint->lock);
    return is_lost;
}
