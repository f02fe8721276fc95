/* Who waits for whom: a purge is done when every weir with a lease has said that it applied it. */
#include "fleet/bus_inside.h"

#include <stdlib.h>

#include "base/clock.h"

/* How far this one has come in the epoch that tickets count in; 0: not there yet. */
static uint64_t applied_by(const struct bus *bus, const struct bus_node *node)
{
    if (node->id == bus->id)
        return bus->where.applied; /* newer than what was read back */
    return node->epoch == bus->where.epoch ? node->applied : 0;
}

/* This weir applied it when it was posted. */
unsigned bus_wait_acked(const struct bus *bus, uint64_t seq)
{
    unsigned count = 1;
    for (unsigned i = 0; i < bus->reading.node_count; i++)
        count += bus->reading.nodes[i].id != bus->id && applied_by(bus, &bus->reading.nodes[i]) >= seq;
    return count;
}

/* Up to where everybody is who was there when the leases were read. */
static uint64_t applied_by_all(const struct bus *bus)
{
    /* Only what was in the journal by then: a lease could have been given up and purges made since. */
    uint64_t least = bus->reading.last;
    for (unsigned i = 0; i < bus->reading.node_count; i++) {
        uint64_t applied = applied_by(bus, &bus->reading.nodes[i]);
        least = applied < least ? applied : least;
    }
    return least;
}

void bus_ticket_end(struct bus *bus, struct ticket *ticket, enum bus_end end, unsigned nodes)
{
    if (ticket->parcel)
        ticket->parcel->ticket = NULL;
    ticket->parcel = NULL;
    ticket->end = end;
    ticket->nodes = nodes;
    list_remove(&ticket->link);
    list_push_back(&bus->ended, &ticket->link);
    bus->waiting_count--;
    bus->waiting_in_journal -= ticket->seq != 0;
    loop_later(bus->loop, &bus->later);
}

void bus_wait_look(struct bus *bus)
{
    if (list_is_empty(&bus->waiting) || bus->reading.is_cut || bus->reading.epoch != bus->where.epoch ||
        loop_now_ns(bus->loop) < bus->settled_ns)
        return;
    uint64_t least = applied_by_all(bus);
    list_for_each_safe (at, &bus->waiting) {
        struct ticket *ticket = LIST_ENTRY(at, struct ticket, link);
        if (ticket->seq != 0 && ticket->seq <= least)
            bus_ticket_end(bus, ticket, BUS_DONE, bus_wait_acked(bus, ticket->seq));
    }
}

/* All have the same patience, so the oldest one's ends first. */
int64_t bus_wait_expire(struct bus *bus)
{
    int64_t now_ns = loop_now_ns(bus->loop);
    list_for_each_safe (at, &bus->waiting) {
        struct ticket *ticket = LIST_ENTRY(at, struct ticket, link);
        if (ticket->deadline_ns > now_ns)
            return ticket->deadline_ns;
        if (ticket->seq == 0)
            bus_ticket_end(bus, ticket, BUS_UNREACHABLE, 1);
        else
            bus_ticket_end(bus, ticket, BUS_PARTLY, bus_wait_acked(bus, ticket->seq));
    }
    return INT64_MAX;
}

void bus_wait_heard(struct bus *bus, uint64_t node, uint64_t epoch, uint64_t seq)
{
    for (unsigned i = 0; i < bus->reading.node_count; i++) {
        struct bus_node *at = &bus->reading.nodes[i];
        if (at->id != node || epoch < at->epoch || (epoch == at->epoch && seq < at->applied))
            continue;
        at->epoch = epoch;
        at->applied = seq;
        bus_wait_look(bus);
        return;
    }
}

/* Whoever has entered the new epoch distrusts all he had, so what was purged in the old one is purged there:
 * it is enough that everybody has come to the entry that opened it. */
void bus_wait_new_epoch(struct bus *bus)
{
    list_for_each (at, &bus->waiting) {
        struct ticket *ticket = LIST_ENTRY(at, struct ticket, link);
        if (ticket->seq != 0)
            ticket->seq = 1;
    }
}

void bus_wait_deliver(struct bus *bus)
{
    struct list ended;
    list_init(&ended);
    list_take_all(&ended, &bus->ended);
    while (!list_is_empty(&ended)) {
        struct ticket *ticket = LIST_ENTRY(ended.next, struct ticket, link);
        list_remove(&ticket->link);
        ticket->fn(ticket->arg, ticket->end, ticket->nodes);
        free(ticket);
    }
}

void bus_wait_end(struct bus *bus)
{
    list_for_each_safe (at, &bus->waiting) {
        struct ticket *ticket = LIST_ENTRY(at, struct ticket, link);
        enum bus_end end = ticket->seq == 0 ? BUS_UNREACHABLE : BUS_PARTLY;
        bus_ticket_end(bus, ticket, end, ticket->seq == 0 ? 1 : bus_wait_acked(bus, ticket->seq));
    }
    bus_wait_deliver(bus);
}
