#include "waits.h"

#include <string.h>

#define LOOK_MS      100 /* how often one looks again by itself: not all that helps it is told */
#define LOOKS_PER_MS 25  /* with more that wait, the fewer of them do in a millisecond */
#define WAKES_PER_MS 50  /* being asked again costs some microseconds: a tenth of a thread at the most */

void waits_init(struct waits *waits)
{
    memset(waits, 0, sizeof *waits);
    waits->turn = 1;
    pthread_mutex_init(&waits->lock, NULL);
}

void waits_fini(struct waits *waits)
{
    pthread_mutex_destroy(&waits->lock);
}

/* Who has seen one server's state waits for the next sample that says what it was: nobody can say which. */
static bool is_position(const struct seen *seen)
{
    return !seen->has_source && seen->at.is_known;
}

static void want(struct waits *waits, struct position at)
{
    /* Where one has an epoch and the other has none, their order says little of a third one's. */
    if (waits->least.is_known && (waits->least.epoch != at.epoch || waits->least.is_open != at.is_open))
        waits->wants_any = true;
    if (!waits->least.is_known || position_order(at, waits->least) < 0)
        waits->least = at;
}

int64_t waits_add(struct waits *waits, const struct seen *seen, const int *slots, unsigned count,
                  bool wants_any, unsigned *io_turn)
{
    int64_t look_ms;

    pthread_mutex_lock(&waits->lock);
    if (*io_turn != waits->turn) {
        *io_turn = waits->turn;
        waits->count++;
    }
    if (wants_any || (count > 0 && !is_position(seen)))
        waits->wants_any = true;
    else if (count > 0)
        want(waits, seen->at);
    for (unsigned i = 0; i < count; i++)
        waits->slots[slots[i] / 64] |= UINT64_C(1) << slots[i] % 64;
    look_ms = LOOK_MS + waits->count / LOOKS_PER_MS;
    atomic_store(&waits->is_there, true);
    pthread_mutex_unlock(&waits->lock);
    /* Who comes further notes that and then looks who waits; who waits notes that and then looks how far they
     * have come. */
    atomic_thread_fence(memory_order_seq_cst);
    return look_ms;
}

static bool is_reached(const struct waits *waits, const struct servers *servers)
{
    if (waits->wants_any)
        return true;
    if (!waits->least.is_known)
        return false;
    for (unsigned word = 0; word < SERVERS_MAX / 64; word++) {
        for (uint64_t bits = waits->slots[word]; bits; bits &= bits - 1) {
            int slot = (int)word * 64 + __builtin_ctzll(bits);

            if (position_order(servers_latest(servers, slot), waits->least) >= 0)
                return true;
        }
    }
    return false;
}

static void end_turn(struct waits *waits, int64_t now_ms)
{
    waits->not_before_ms = now_ms + waits->count / WAKES_PER_MS;
    waits->turn = waits->turn == UINT32_MAX ? 1 : waits->turn + 1;
    waits->count = 0;
    waits->wants_any = waits->is_owed = false;
    waits->least = (struct position){ 0 };
    memset(waits->slots, 0, sizeof waits->slots);
    atomic_store(&waits->is_there, false);
}

bool waits_progressed(struct waits *waits, const struct servers *servers, int64_t now_ms)
{
    bool wakes = false;

    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load(&waits->is_there))
        return false;
    pthread_mutex_lock(&waits->lock);
    if (!waits->is_owed && is_reached(waits, servers))
        waits->is_owed = true;
    wakes = waits->is_owed && now_ms >= waits->not_before_ms;
    if (wakes)
        end_turn(waits, now_ms);
    pthread_mutex_unlock(&waits->lock);
    return wakes;
}

bool waits_due(struct waits *waits, int64_t now_ms)
{
    bool wakes;

    if (!atomic_load(&waits->is_there))
        return false;
    pthread_mutex_lock(&waits->lock);
    wakes = waits->is_owed && now_ms >= waits->not_before_ms;
    if (wakes)
        end_turn(waits, now_ms);
    pthread_mutex_unlock(&waits->lock);
    return wakes;
}

void waits_woken(struct waits *waits, int64_t now_ms)
{
    pthread_mutex_lock(&waits->lock);
    end_turn(waits, now_ms);
    pthread_mutex_unlock(&waits->lock);
}
