/* The talk with Redis: renewing the lease and reading everybody's, reading the journal, hearing the news. */
#include "fleet/bus_inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"

#define READ_COUNT      "128"
#define READ_MS         1000
#define READ_SLICE_NS   (50 * NS_PER_MS)
#define IN_VAIN_MAX     3
/* 128 entries of the longest kind, and as much again for the protocol. */
#define REPLY_BYTES_MAX (16u << 20)

/* --- what others may know --- */

void bus_publish(struct bus *bus)
{
    bool is_trusted = epochs_is_caught_up(&bus->where);
    if (!is_trusted)
        bus->is_trusted = false;
    bus->connected_until_ns = epochs_connected_until_ns(&bus->where);
    if (is_trusted)
        bus->is_trusted = true;
    bus->epoch = bus->where.epoch;
    bus->seq = bus->where.last;
    bus->applied = bus->where.applied;
    bus->nodes = bus->reading.node_count;
    bus->pending = bus->outbox_count + bus->flying_count + bus->waiting_in_journal;
}

void bus_count_garbage(struct bus *bus)
{
    atomic_fetch_add(&bus->garbage, 1);
}

/* What was fetched up to now, in this millisecond too. Not counted: at start, where that is what this process
 * fetched itself; what is older comes from the second tier, and the journal vouches for it. */
static void distrust(struct bus *bus, bool is_counted)
{
    if (is_counted) {
        bus->distrusted_since_ms = 0;
        atomic_fetch_add(&bus->distrusts, 1);
    }
    bus->distrusted_before_ms = max_i64(bus->distrusted_before_ms, loop_wall_ms(bus->loop) + 1);
}

/* --- what the script answers --- */

/* Acknowledgements travel on another connection: one may have overtaken this reading. */
static void keep_newer_acks(struct bus_reading *reading, const struct bus_reading *old)
{
    for (unsigned i = 0; i < reading->node_count; i++) {
        struct bus_node *node = &reading->nodes[i];
        for (unsigned k = 0; k < old->node_count; k++) {
            const struct bus_node *was = &old->nodes[k];
            if (was->id == node->id && was->epoch == node->epoch && was->applied > node->applied)
                node->applied = was->applied;
        }
    }
}

static void enter_epoch(struct bus *bus, bool is_first)
{
    /* In the first one too: what was fetched before may have been purged in an epoch we never saw. At start
     * that is next to nothing. */
    distrust(bus, !is_first);
    bus->reads_in_vain = 0;
    journal_begin(bus->journal, bus->where.epoch);
    bus_wait_new_epoch(bus);
}

static void on_reading(struct bus *bus, const struct bus_reading *reading, int64_t sent_ns)
{
    int64_t now_ns = loop_now_ns(bus->loop);
    bool is_first = bus->where.epoch == 0;
    struct bus_reading old = bus->reading;

    enum epochs_news news =
        epochs_read(&bus->where, reading->epoch, reading->last, reading->term, sent_ns, now_ns);
    if (news == EPOCHS_NEW)
        enter_epoch(bus, is_first);
    bus->reading = *reading;
    keep_newer_acks(&bus->reading, &old);
    bus->settled_ns = now_ns + max_i64(bus->lease_ms - reading->age_ms, 0) * NS_PER_MS;
    bus->is_well = true;
    bus_publish(bus);
    if (bus->where.applied < bus->where.last)
        bus_read(bus);
    else if (epochs_wants_lease(&bus->where) && bus->where.term == 0)
        bus->beat_again = true;
}

static bool take_reading(struct bus *bus, enum redis_end end, const struct redis_reply *reply,
                         int64_t sent_ns, struct bus_reading *out)
{
    if (end == REDIS_ANSWERED && bus_reading_read(reply, out)) {
        on_reading(bus, out, sent_ns);
        return true;
    }
    if (end == REDIS_ANSWERED && reply->kind != REDIS_ERROR)
        bus_count_garbage(bus);
    atomic_fetch_add(&bus->errors, 1);
    bus->is_well = false;
    return false;
}

/* --- asking the script --- */

/* Unlike any epoch before: the time, and bits for two that flush and meet in one millisecond. */
static uint64_t fresh_epoch(struct bus *bus)
{
    uint64_t bits = 0;
    random_fill(&bits, sizeof bits);
    return (uint64_t)loop_wall_ms(bus->loop) << 11 | (bits & 2047);
}

static bool ask_script(struct bus *bus, redis_reply_fn *fn, void *arg, const struct list *parcels)
{
    const char *argv[5 + ARG_FIXED_COUNT + BATCH_MAX] = { "EVAL", bus_script, "2", bus->journal_key,
                                                          bus->nodes_key };
    size_t lens[COUNT_OF(argv)];
    char epoch[24], applied[24], lease[24], fresh[24];
    int count = 5 + ARG_FIXED_COUNT;

    snprintf(epoch, sizeof epoch, "%llu", (unsigned long long)bus->where.epoch);
    snprintf(applied, sizeof applied, "%llu", (unsigned long long)bus->where.applied);
    snprintf(lease, sizeof lease, "%lld", epochs_wants_lease(&bus->where) ? (long long)bus->lease_ms : 0);
    snprintf(fresh, sizeof fresh, "%llu", (unsigned long long)fresh_epoch(bus));
    const char **args = argv + 5;
    args[ARG_NODE] = bus->id_text;
    args[ARG_CHANNEL] = bus->channel;
    args[ARG_EPOCH] = epoch;
    args[ARG_APPLIED] = applied;
    args[ARG_LEASE] = lease;
    args[ARG_FRESH] = fresh;
    args[ARG_KEEP] = bus->keep_text;
    args[ARG_SAY] = bus->says ? "1" : "0";
    args[ARG_OPENING] = BUS_OPENING;
    for (int i = 0; i < count; i++)
        lens[i] = strlen(argv[i]);
    if (parcels) {
        list_for_each (at, parcels) {
            const struct parcel *parcel = LIST_ENTRY(at, struct parcel, link);
            argv[count] = parcel->bytes;
            lens[count++] = parcel->len;
        }
    }
    if (!redis_ask(bus->asks, max_i64(bus->lease_ms / 2, 1), fn, arg, count, argv, lens))
        return false;
    bus->says = false;
    return true;
}

static void on_beat(void *arg, enum redis_end end, const struct redis_reply *reply)
{
    struct bus *bus = arg;
    struct bus_reading reading;

    bus->is_beating = false;
    bool is_again = bus->beat_again;
    bus->beat_again = false;
    if (!take_reading(bus, end, reply, bus->beat_sent_ns, &reading))
        return;
    bus_wait_look(bus);
    if (is_again || bus->beat_again)
        bus_beat(bus);
    loop_later(bus->loop, &bus->later);
}

void bus_beat(struct bus *bus)
{
    if (bus->is_alone || !redis_is_up(bus->asks))
        return;
    if (bus->is_beating) {
        bus->beat_again = true;
        return;
    }
    if (epochs_give_up(&bus->where, loop_now_ns(bus->loop)))
        bus_publish(bus); /* before Redis hears that nobody need wait for us */
    bus->beat_again = false;
    bus->beat_sent_ns = loop_now_ns(bus->loop);
    bus->is_beating = ask_script(bus, on_beat, bus, NULL);
}

static void on_appended(void *arg, enum redis_end end, const struct redis_reply *reply)
{
    struct batch *batch = arg;
    struct bus *bus = batch->bus;
    struct bus_reading reading;
    bool is_in = take_reading(bus, end, reply, batch->sent_ns, &reading);

    if (is_in && reading.mine == 0) {
        bus_count_garbage(bus);
        bus->is_well = false; /* or it would be sent again at once, for ever */
        is_in = false;
    }
    bus_batch_done(bus, batch, is_in ? &reading : NULL);
    if (is_in)
        bus_wait_look(bus);
    if (is_in && bus->beat_again)
        bus_beat(bus);
    loop_later(bus->loop, &bus->later);
}

bool bus_append(struct bus *bus, struct batch *batch)
{
    batch->sent_ns = loop_now_ns(bus->loop);
    return ask_script(bus, on_appended, batch, &batch->parcels);
}

/* --- the journal --- */

static void apply_entry(struct bus *bus, uint64_t seq, const struct redis_reply *fields)
{
    struct bus_purge purge;
    bool is_opening = false;
    bool is_fine = fields->kind == REDIS_ARRAY && fields->count == 2 &&
                   fields->elements[1].kind == REDIS_STRING &&
                   bus_entry_read(fields->elements[1].str, &purge, &is_opening);
    if (!is_fine) {
        /* It purged something, and nobody knows what. */
        bus_count_garbage(bus);
        distrust(bus, true);
        journal_lose(bus->journal, seq);
    } else if (!is_opening) {
        purge.seq = seq;
        journal_note(bus->journal, seq, &purge);
        bus->events->apply(bus->arg, &purge);
    }
    epochs_applied(&bus->where, seq, loop_now_ns(bus->loop));
    journal_reach(bus->journal, seq);
}

/* True if it was the next one. */
static bool take_entry(struct bus *bus, const struct redis_reply *entry)
{
    uint64_t epoch, seq;
    if (entry->kind != REDIS_ARRAY || entry->count != 2 || entry->elements[0].kind != REDIS_STRING ||
        !bus_id_read(entry->elements[0].str, &epoch, &seq)) {
        bus_count_garbage(bus);
        return false;
    }
    switch (epochs_step(&bus->where, epoch, seq)) {
    case EPOCHS_OLD:
        return false;
    case EPOCHS_GAP:
        /* Trimmed before we came. Who has just entered the epoch has distrusted all he had. */
        distrust(bus, bus->where.applied != 0);
        journal_lose(bus->journal, seq - 1);
        break;
    case EPOCHS_NEXT:
        break;
    }
    apply_entry(bus, seq, &entry->elements[1]);
    return true;
}

static void on_applied_some(struct bus *bus)
{
    bus->reads_in_vain = 0;
    bus->says = true;
    if (epochs_is_caught_up(&bus->where))
        journal_ready(bus->journal);
    bus_publish(bus);
    bus_wait_look(bus);
    bus_beat(bus);
}

static void on_entries(void *arg, enum redis_end end, const struct redis_reply *reply)
{
    struct bus *bus = arg;
    bool is_again = bus->read_again;
    size_t taken = 0, at = 0;

    bus->is_reading = false;
    bus->read_again = false;
    if (end != REDIS_ANSWERED || reply->kind != REDIS_ARRAY) {
        /* The next renewal says that there is something to read. */
        atomic_fetch_add(&bus->errors, 1);
        return;
    }
    /* A purge by prefix walks the cache: the lease must be renewed in between. What is left is read again. */
    int64_t start_ns = loop_tick_ns(bus->loop);
    for (; at < reply->count && (taken == 0 || loop_tick_ns(bus->loop) - start_ns < READ_SLICE_NS); at++)
        taken += take_entry(bus, &reply->elements[at]);
    if (taken > 0)
        on_applied_some(bus);
    else if (bus->where.applied < bus->where.last && ++bus->reads_in_vain <= IN_VAIN_MAX)
        bus_beat(bus); /* not the journal we knew? */
    if (taken > 0 && (is_again || at < reply->count || bus->where.applied < bus->where.last))
        bus_read(bus);
    loop_later(bus->loop, &bus->later);
}

void bus_read(struct bus *bus)
{
    char from[48], to[48];
    if (bus->is_reading) {
        bus->read_again = true;
        return;
    }
    if (bus->where.epoch == 0 || !redis_is_up(bus->asks))
        return;
    snprintf(from, sizeof from, "%llu-%llu", (unsigned long long)bus->where.epoch,
             (unsigned long long)bus->where.applied + 1);
    snprintf(to, sizeof to, "%llu-18446744073709551615", (unsigned long long)bus->where.epoch);
    const char *argv[] = { "XRANGE", bus->journal_key, from, to, "COUNT", READ_COUNT };
    size_t lens[COUNT_OF(argv)];
    for (size_t i = 0; i < COUNT_OF(argv); i++)
        lens[i] = strlen(argv[i]);
    bus->is_reading = redis_ask(bus->asks, READ_MS, on_entries, bus, COUNT_OF(argv), argv, lens);
}

/* --- the news --- */

static void take_hints(struct bus *bus, struct str rest)
{
    struct str primary;
    bool is_garbage;
    while (bus_hint_next(&rest, &primary, &is_garbage)) {
        if (bus->events->invalidate)
            bus->events->invalidate(bus->arg, primary);
    }
    if (is_garbage)
        bus_count_garbage(bus);
}

static void on_news(void *arg, struct str payload)
{
    struct bus *bus = arg;
    struct bus_news news;
    if (!bus_news_read(payload, &news)) {
        bus_count_garbage(bus);
        return;
    }
    switch (news.kind) {
    case NEWS_ENTRIES:
        if (news.epoch != bus->where.epoch)
            bus_beat(bus);
        else if (news.seq > bus->where.applied)
            bus_read(bus);
        break;
    case NEWS_ACK:
        bus_wait_heard(bus, news.node, news.epoch, news.seq);
        break;
    case NEWS_HINTS:
        if (news.node != bus->id)
            take_hints(bus, news.hints);
        break;
    }
}

/* --- opening and closing --- */

static void on_up(void *arg)
{
    bus_beat(arg);
}

static void on_down(void *arg, const char *why)
{
    struct bus *bus = arg;
    bus->is_well = false;
    epochs_cut(&bus->where);
    bus_publish(bus);
}

static const struct redis_events asks_events = { .on_up = on_up, .on_down = on_down };
/* What is published while nobody listens is found by the next renewal; so is what was just missed. */
static const struct redis_events listener_events = { .on_up = on_up };

bool bus_link_open(struct bus *bus, const struct redis_url *url)
{
    struct redis_options options = { .reply_bytes_max = REPLY_BYTES_MAX };
    bus->asks = redis_new(bus->loop, url, &options, &asks_events, bus);
    bus->listener = redis_new(bus->loop, url, NULL, &listener_events, bus);
    return bus->asks && bus->listener && redis_subscribe(bus->listener, str_of(bus->channel), on_news, bus);
}

void bus_link_close(struct bus *bus)
{
    redis_free(bus->listener);
    bus->listener = NULL;
    redis_free(bus->asks);
    bus->asks = NULL;
}
