#include "net/wheel.h"

#include "net/loop.h"

#define SLOT_BITS 6
#define TICKS_MAX ((int64_t)1 << (SLOT_BITS * WHEEL_LEVELS))
#define NO_TICK   INT64_MAX
#define SLOT_MASK (WHEEL_SLOTS - 1)

struct slot {
    int64_t start_tick; /* NO_TICK: there is none */
    unsigned level;
    unsigned index;
};

/* Rounded up: never early. */
static int64_t tick_of(int64_t deadline_ns)
{
    return (deadline_ns + WHEEL_TICK_NS - 1) / WHEEL_TICK_NS;
}

void wheel_init(struct wheel *wheel, int64_t now_ns)
{
    wheel->tick = now_ns / WHEEL_TICK_NS;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        wheel->used[level] = 0;
        for (unsigned i = 0; i < WHEEL_SLOTS; i++)
            list_init(&wheel->slots[level][i]);
    }
}

/* The level is the highest group of bits in which the tick differs from the current one: below it lies what
 * this lap of the level still reaches. */
static void file(struct wheel *wheel, struct timer *timer)
{
    int64_t tick = tick_of(timer->deadline_ns);
    if (tick <= wheel->tick)
        tick = wheel->tick + 1;
    uint64_t differs = (uint64_t)(tick ^ wheel->tick);
    if (differs >= (uint64_t)TICKS_MAX) {
        tick = wheel->tick | (TICKS_MAX - 1);
        differs = TICKS_MAX - 1;
    }
    unsigned level = (63 - (unsigned)__builtin_clzll(differs)) / SLOT_BITS;
    unsigned index = (unsigned)(tick >> (SLOT_BITS * level)) & SLOT_MASK;
    wheel->used[level] |= 1ULL << index;
    list_push_back(&wheel->slots[level][index], &timer->link);
}

void wheel_set(struct wheel *wheel, struct timer *timer, int64_t deadline_ns)
{
    bool is_later = timer->deadline_ns != 0 && deadline_ns >= timer->deadline_ns;
    timer->deadline_ns = deadline_ns;
    if (is_later)
        return;
    list_remove(&timer->link);
    file(wheel, timer);
}

static struct slot next_slot(const struct wheel *wheel)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        int64_t lap = wheel->tick >> (SLOT_BITS * level);
        uint64_t ahead = wheel->used[level] & (~1ULL << (lap & SLOT_MASK));
        if (ahead == 0)
            continue;
        unsigned index = (unsigned)__builtin_ctzll(ahead);
        int64_t start = ((lap & ~(int64_t)SLOT_MASK) | index) << (SLOT_BITS * level);
        return (struct slot){ start, level, index };
    }
    return (struct slot){ .start_tick = NO_TICK };
}

int64_t wheel_next_ns(const struct wheel *wheel)
{
    struct slot slot = next_slot(wheel);
    return slot.start_tick == NO_TICK ? WHEEL_NEVER : slot.start_tick * WHEEL_TICK_NS;
}

void wheel_advance(struct wheel *wheel, int64_t now_ns)
{
    int64_t now_tick = now_ns / WHEEL_TICK_NS;

    for (;;) {
        struct slot slot = next_slot(wheel);
        if (slot.start_tick > now_tick)
            break;
        wheel->tick = slot.start_tick;
        wheel->used[slot.level] &= ~(1ULL << slot.index);

        struct list due;
        list_init(&due);
        list_take_all(&due, &wheel->slots[slot.level][slot.index]);
        while (!list_is_empty(&due)) {
            struct timer *timer = LIST_ENTRY(due.next, struct timer, link);
            list_remove(&timer->link);
            if (tick_of(timer->deadline_ns) > now_tick) {
                file(wheel, timer);
                continue;
            }
            timer->deadline_ns = 0;
            timer->fn(timer->arg);
        }
    }
    if (wheel->tick < now_tick)
        wheel->tick = now_tick;
}
