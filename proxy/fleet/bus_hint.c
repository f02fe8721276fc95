/* Invalidations: an unsafe request succeeded here, and the others drop what they have of that key when they
 * hear of it (RFC 9111 4.4 asks for this cache only; the rest is a kindness). So nobody waits, nothing is
 * kept, and when they come faster than they leave the oldest are dropped and counted. */
#include "fleet/bus_inside.h"

#include <stdlib.h>

#define HINT_LEN_MAX (HINT_BYTES_MAX / 2)

struct hint {
    struct post post;
    struct list link;
    struct bus *bus;
    size_t len;
    char bytes[];
};

static void on_hint(struct post *post)
{
    struct hint *hint = CONTAINER_OF(post, struct hint, post);
    struct bus *bus = hint->bus;
    unsigned before = atomic_fetch_sub(&bus->hints_posted, 1);
    if (bus->is_dead) {
        free(hint);
        if (before == 1)
            free(bus);
        return;
    }
    if (bus->hint_count == HINTS_MAX) {
        struct hint *oldest = LIST_ENTRY(bus->hints.next, struct hint, link);
        list_remove(&oldest->link);
        free(oldest);
        bus->hint_count--;
        atomic_fetch_add(&bus->dropped, 1);
    }
    list_push_back(&bus->hints, &hint->link);
    bus->hint_count++;
    loop_later(bus->loop, &bus->later);
}

void bus_invalidate(struct bus *bus, struct str primary)
{
    if (bus->is_alone || primary.len == 0)
        return;
    struct hint *hint = primary.len <= HINT_LEN_MAX ? malloc(sizeof *hint + primary.len) : NULL;
    if (!hint || atomic_fetch_add(&bus->hints_posted, 1) >= HINTS_MAX) {
        if (hint)
            atomic_fetch_sub(&bus->hints_posted, 1);
        free(hint);
        atomic_fetch_add(&bus->dropped, 1);
        return;
    }
    hint->post.fn = on_hint;
    hint->bus = bus;
    hint->len = primary.len;
    list_init(&hint->link);
    memcpy(hint->bytes, primary.data, primary.len);
    loop_post(bus->loop, &hint->post);
}

static void on_published(void *arg, enum redis_end end, const struct redis_reply *reply)
{
    struct bus *bus = arg;
    if (end != REDIS_ANSWERED || reply->kind != REDIS_INTEGER)
        atomic_fetch_add(&bus->errors, 1);
}

/* As many as one message holds. False when Redis takes no more: they stay. */
static bool send_some(struct bus *bus)
{
    struct buf message;
    unsigned taken = 0;
    buf_init(&message);
    bool is_ok = bus_hints_begin(&message, bus->id);
    list_for_each (at, &bus->hints) {
        struct hint *hint = LIST_ENTRY(at, struct hint, link);
        if (!is_ok || (taken > 0 && buf_len(&message) + hint->len + 4 > HINT_BYTES_MAX))
            break;
        is_ok = bus_hints_add(&message, str_n(hint->bytes, hint->len));
        taken += is_ok;
    }
    const char *argv[] = { "PUBLISH", bus->channel, buf_str(&message).data };
    size_t lens[] = { 7, strlen(bus->channel), buf_len(&message) };
    is_ok = taken > 0 && redis_ask(bus->asks, bus->lease_ms, on_published, bus, 3, argv, lens);
    buf_fini(&message);
    for (; is_ok && taken > 0; taken--) {
        struct hint *hint = LIST_ENTRY(bus->hints.next, struct hint, link);
        list_remove(&hint->link);
        free(hint);
        bus->hint_count--;
    }
    return is_ok;
}

void bus_hints_flush(struct bus *bus)
{
    while (bus->is_well && bus->hint_count > 0 && send_some(bus)) {
    }
}

void bus_hints_drop(struct bus *bus)
{
    list_for_each_safe (at, &bus->hints) {
        free(LIST_ENTRY(at, struct hint, link));
    }
    list_init(&bus->hints);
    bus->hint_count = 0;
}
