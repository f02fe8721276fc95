#include "fleet/bus_inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"

#define LEASE_MS    2000
#define PATIENCE_MS 3000
#define JOURNAL_MAX 100000
#define TIMER_MS    10 /* the loop's wheel is no finer */

/* --- what waits to be appended --- */

static void parcel_free(struct parcel *parcel)
{
    if (parcel->ticket)
        parcel->ticket->parcel = NULL;
    free(parcel);
}

static struct parcel *parcel_new(const struct bus_purge *purge, size_t len)
{
    struct parcel *parcel = malloc(sizeof *parcel + len);
    if (!parcel)
        return NULL;
    *parcel = (struct parcel){ .len = len, .is_soft = purge->is_soft };
    list_init(&parcel->link);
    bus_entry_write(purge, parcel->bytes);
    return parcel;
}

static void outbox_add(struct bus *bus, struct parcel *parcel)
{
    list_push_back(&bus->outbox, &parcel->link);
    bus->outbox_count++;
    bus->outbox_bytes += parcel->len;
}

static void outbox_take(struct bus *bus, struct parcel *parcel)
{
    list_remove(&parcel->link);
    bus->outbox_count--;
    bus->outbox_bytes -= parcel->len;
}

static bool is_soft_all(const struct bus *bus)
{
    list_for_each (at, &bus->outbox) {
        if (!LIST_ENTRY(at, struct parcel, link)->is_soft)
            return false;
    }
    return true;
}

/* More than is kept: one purge of everything takes the place of all of them. The others lose more than was
 * asked for, but nothing that was asked for stays. */
static bool outbox_fold(struct bus *bus)
{
    struct bus_purge all = {
        .kind = BUS_ALL, .is_soft = is_soft_all(bus), .node = bus->id, .wall_ms = loop_wall_ms(bus->loop)
    };
    struct parcel *fresh = parcel_new(&all, bus_entry_size(&all));
    if (!fresh)
        return false;
    list_for_each_safe (at, &bus->outbox) {
        struct parcel *parcel = LIST_ENTRY(at, struct parcel, link);
        outbox_take(bus, parcel);
        if (parcel->ticket)
            bus_ticket_end(bus, parcel->ticket, BUS_UNREACHABLE, 1);
        parcel_free(parcel);
    }
    outbox_add(bus, fresh);
    return true;
}

static struct batch *batch_new(struct bus *bus)
{
    struct batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return NULL;
    batch->bus = bus;
    list_init(&batch->parcels);
    size_t bytes = 0;
    for (unsigned count = 0; count < BATCH_MAX && bytes < BATCH_BYTES_MAX && bus->outbox_count > 0; count++) {
        struct parcel *parcel = LIST_ENTRY(bus->outbox.next, struct parcel, link);
        outbox_take(bus, parcel);
        list_push_back(&batch->parcels, &parcel->link);
        bytes += parcel->len;
        bus->flying_count++;
    }
    bus->batch_count++;
    return batch;
}

/* Back to the front. What had been appended after all is appended again: purging twice does no harm. */
static void batch_unpack(struct bus *bus, struct batch *batch)
{
    while (!list_is_empty(&batch->parcels)) {
        struct parcel *parcel = LIST_ENTRY(batch->parcels.prev, struct parcel, link);
        list_remove(&parcel->link);
        list_push_front(&bus->outbox, &parcel->link);
        bus->outbox_count++;
        bus->outbox_bytes += parcel->len;
        bus->flying_count--;
    }
}

void bus_batch_done(struct bus *bus, struct batch *batch, const struct bus_reading *reading)
{
    uint64_t seq = reading ? reading->mine : 0;
    bus->batch_count--;
    if (seq == 0)
        batch_unpack(bus, batch);
    list_for_each_safe (at, &batch->parcels) {
        struct parcel *parcel = LIST_ENTRY(at, struct parcel, link);
        list_remove(&parcel->link);
        bus->flying_count--;
        if (parcel->ticket) {
            parcel->ticket->seq = seq;
            bus->waiting_in_journal++;
        }
        parcel_free(parcel);
        seq++;
    }
    free(batch);
}

void bus_outbox_flush(struct bus *bus)
{
    while (bus->is_well && bus->outbox_count > 0 && bus->batch_count < BATCHES_MAX) {
        struct batch *batch = batch_new(bus);
        if (!batch)
            return; /* the timer comes by again */
        if (!bus_append(bus, batch)) {
            bus_batch_done(bus, batch, NULL);
            return;
        }
    }
}

/* --- purging --- */

static struct ticket *ticket_new(struct bus *bus, bus_done_fn *fn, void *arg)
{
    struct ticket *ticket = calloc(1, sizeof *ticket);
    if (!ticket)
        return NULL;
    ticket->fn = fn;
    ticket->arg = arg;
    ticket->deadline_ns = loop_now_ns(bus->loop) + bus->patience_ms * NS_PER_MS;
    list_init(&ticket->link);
    list_push_back(&bus->waiting, &ticket->link);
    bus->waiting_count++;
    return ticket;
}

static bool post(struct bus *bus, const struct bus_purge *purge, size_t len, struct ticket *ticket)
{
    struct parcel *parcel = parcel_new(purge, len);
    if (!parcel)
        return false;
    parcel->ticket = ticket;
    if (ticket)
        ticket->parcel = parcel;
    outbox_add(bus, parcel);
    if ((bus->outbox_count > OUTBOX_MAX || bus->outbox_bytes > OUTBOX_BYTES_MAX) && !outbox_fold(bus)) {
        outbox_take(bus, parcel);
        parcel_free(parcel);
        return false;
    }
    /* Folded, it has ended already. */
    if (!bus->is_well && ticket && ticket->parcel)
        bus_ticket_end(bus, ticket, BUS_UNREACHABLE, 1);
    return true;
}

static void set_timer(struct bus *bus, int64_t deadline_ns);

bool bus_purge(struct bus *bus, const struct bus_purge *asked, bus_done_fn *fn, void *arg)
{
    struct bus_purge purge = *asked;
    struct ticket *ticket = NULL;
    size_t len;

    purge.node = bus->id;
    purge.seq = 0;
    len = bus_entry_size(&purge);
    if (len == 0)
        return false;
    bus->events->apply(bus->arg, &purge);
    if (fn && !(ticket = ticket_new(bus, fn, arg)))
        return false;
    if (bus->is_alone) {
        if (ticket)
            bus_ticket_end(bus, ticket, BUS_ALONE, 1);
        return true;
    }
    if (!post(bus, &purge, len, ticket)) {
        if (ticket) {
            list_remove(&ticket->link);
            bus->waiting_count--;
            free(ticket);
        }
        return false;
    }
    if (bus->waiting_count == 1 && ticket)
        set_timer(bus, ticket->deadline_ns);
    loop_later(bus->loop, &bus->later);
    bus_publish(bus);
    return true;
}

/* --- the loop --- */

static void on_later(void *arg)
{
    struct bus *bus = arg;
    if (!bus->is_alone) {
        bus_outbox_flush(bus);
        bus_hints_flush(bus);
        bus_publish(bus);
    }
    bus_wait_deliver(bus);
}

/* More often while somebody waits: a lease that runs out says nothing. */
static void set_timer(struct bus *bus, int64_t deadline_ns)
{
    int64_t wait_ms = bus->lease_ms / (bus->waiting_count > 0 ? 20 : 4);
    if (deadline_ns != INT64_MAX)
        wait_ms = min_i64(wait_ms, (deadline_ns - loop_now_ns(bus->loop)) / NS_PER_MS + 1);
    timer_set(bus->loop, &bus->beat_timer, max_i64(wait_ms, TIMER_MS));
}

static void on_timer(void *arg)
{
    struct bus *bus = arg;
    int64_t next_ns = bus_wait_expire(bus);
    bus_beat(bus);
    bus_outbox_flush(bus);
    bus_publish(bus);
    set_timer(bus, next_ns);
}

/* --- lifecycle --- */

static void name_keys(struct bus *bus, struct str prefix)
{
    struct str name = prefix.len > 0 ? prefix : STR("weir");
    snprintf(bus->journal_key, sizeof bus->journal_key, "%.*s:{bus}:journal", STR_FMT(name));
    snprintf(bus->nodes_key, sizeof bus->nodes_key, "%.*s:{bus}:nodes", STR_FMT(name));
    snprintf(bus->channel, sizeof bus->channel, "%.*s:{bus}:news", STR_FMT(name));
}

struct bus *bus_new(struct loop *loop, const struct bus_options *options, const struct bus_events *events,
                    void *arg)
{
    struct bus *bus = calloc(1, sizeof *bus);
    if (!bus)
        return NULL;
    bus->loop = loop;
    bus->events = events;
    bus->arg = arg;
    bus->lease_ms = options->lease_ms > 0 ? options->lease_ms : LEASE_MS;
    bus->patience_ms = options->patience_ms > 0 ? options->patience_ms : PATIENCE_MS;
    bus->is_alone = !options->url;
    bus->is_trusted = true;
    bus->distrusted_since_ms = loop_wall_ms(loop);
    epochs_init(&bus->where, bus->lease_ms);
    timer_init(&bus->beat_timer, on_timer, bus);
    later_init(&bus->later, on_later, bus);
    list_init(&bus->outbox);
    list_init(&bus->waiting);
    list_init(&bus->ended);
    list_init(&bus->hints);
    snprintf(bus->keep_text, sizeof bus->keep_text, "%llu",
             (unsigned long long)(options->journal_max ? options->journal_max : JOURNAL_MAX));
    name_keys(bus, options->prefix);

    bus->journal = journal_new();
    if (!bus->journal || options->prefix.len > 64 || !random_fill(&bus->id, sizeof bus->id))
        goto fail;
    snprintf(bus->id_text, sizeof bus->id_text, "%llu", (unsigned long long)bus->id);
    if (!bus->is_alone) {
        if (!bus_link_open(bus, options->url))
            goto fail;
        set_timer(bus, INT64_MAX);
    }
    return bus;

fail:
    bus_free(bus);
    return NULL;
}

void bus_free(struct bus *bus)
{
    if (!bus)
        return;
    bus_link_close(bus);
    timer_cancel(&bus->beat_timer);
    bus_wait_end(bus);
    list_for_each_safe (at, &bus->outbox) {
        parcel_free(LIST_ENTRY(at, struct parcel, link));
    }
    bus_hints_drop(bus);
    later_cancel(&bus->later);
    journal_free(bus->journal);
    bus->is_dead = true;
    if (bus->hints_posted == 0)
        free(bus);
}

/* --- any thread --- */

bool bus_trust(const struct bus *bus)
{
    return atomic_load_explicit((atomic_bool *)&bus->is_trusted, memory_order_acquire);
}

int64_t bus_distrusted_since_ms(const struct bus *bus)
{
    return atomic_load_explicit((_Atomic int64_t *)&bus->distrusted_since_ms, memory_order_acquire);
}

int64_t bus_distrusted_before_ms(const struct bus *bus)
{
    return atomic_load_explicit((_Atomic int64_t *)&bus->distrusted_before_ms, memory_order_acquire);
}

const struct journal *bus_journal(const struct bus *bus)
{
    return bus->journal;
}

void bus_state_read(const struct bus *bus, struct bus_state *out)
{
    *out = (struct bus_state){
        .connected = bus->is_trusted && clock_mono_ns() < bus->connected_until_ns,
        .trusted = bus->is_trusted,
        .seq = bus->seq,
        .epoch = bus->epoch,
        .nodes = bus->nodes,
        .pending = bus->pending,
        .applied = bus->applied,
        .distrusts = bus->distrusts,
        .garbage = bus->garbage,
        .dropped = bus->dropped,
        .errors = bus->errors,
    };
}
