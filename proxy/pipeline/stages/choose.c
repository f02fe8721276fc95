/* Which server? Plugins first, then the upstream's balance among the roles they leave. */
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "pipeline/fetch.h"
#include "pipeline/plugin.h"

/* False: it was woken already and the post is on its way, which on_woken() will take. */
static bool leave_held(struct fetch *fetch)
{
    if (!fetch->is_held || !held_remove(fetch->supply->held, fetch))
        return false;
    fetch->is_held = false;
    fetch_drop(fetch);
    return true;
}

/* Whoever was tried before the hold may be tried again, but not by a plugin that holds in slices: it says
 * itself when to go back to one that refused, or each wake would be an attempt. */
static void end_hold(struct fetch *fetch)
{
    fetch->has_waited = true;
    fetch->held_sum_ns += loop_now_ns(fetch->lane->loop) - fetch->held_ns;
    if (!fetch->holds_again)
        fetch->tried = 0;
}

static void on_hold_over(void *arg)
{
    struct fetch *fetch = fetch_from(arg);
    if (!leave_held(fetch))
        return;
    fetch->is_hold_over = !fetch->holds_again;
    end_hold(fetch);
    request_stage_took(fetch->req, STAGE_POSITION, loop_tick_ns(fetch->lane->loop) - fetch->held_ns);
    fetch_resume(fetch, RETRY);
}

static void stop_holding(struct fetch *fetch)
{
    timer_cancel(&fetch->hold);
    leave_held(fetch);
}

static void on_woken(struct post *post)
{
    struct fetch *fetch = fetch_from(CONTAINER_OF(post, struct fetch, held_post));
    fetch->is_held = false;
    end_hold(fetch);
    timer_cancel(&fetch->hold);
    request_stage_took(fetch->req, STAGE_POSITION, loop_tick_ns(fetch->lane->loop) - fetch->held_ns);
    fetch_resume(fetch, RETRY);
    fetch_drop(fetch);
}

static enum verdict hold(struct fetch *fetch, int64_t hold_ms, uint64_t wakes)
{
    fetch->held_post.fn = on_woken;
    if (!held_add(fetch->supply->held, fetch, wakes))
        return RETRY;
    timer_init(&fetch->hold, on_hold_over, fetch);
    timer_set(fetch->lane->loop, &fetch->hold, hold_ms);
    fetch->is_held = true;
    fetch->held_ns = loop_now_ns(fetch->lane->loop);
    fetch_hold(fetch);
    return fetch_wait(fetch, "position", stop_holding);
}

static struct server *pick(struct fetch *fetch, unsigned roles)
{
    struct lane *lane = fetch->lane;
    const struct request *req = fetch->req;
    uint64_t hash = 0;
    if (fetch->supply->upstream->config->balance == BALANCE_HASH)
        hash = hash_bytes(req->msg.target.data, req->msg.target.len);
    return upstream_pick(fetch->supply->upstream, roles, fetch->tried, lane_random(lane), hash,
                         loop_now_ns(lane->loop));
}

/* Is there one of these roles that this request has not tried yet? */
static bool has_untried(const struct fetch *fetch, unsigned roles)
{
    const struct upstream *upstream = fetch->supply->upstream;
    for (unsigned i = 0; i < upstream->server_count; i++) {
        if ((roles & 1u << server_role(upstream->servers[i])) && !(fetch->tried >> i & 1))
            return true;
    }
    return false;
}

/* Plugins first. A replay goes to the primary whatever they say, but they may hold or refuse it. */
static enum verdict ask_plugins(struct fetch *fetch, uint64_t wakes)
{
    unsigned roles = ROLES_PRIMARY | ROLES_REPLICA;
    bool falls_back = false;
    int64_t hold_ms = 0;
    uint64_t own_wakes = held_own_wakes();

    switch (plugins_choose(fetch, &roles, &falls_back, &hold_ms)) {
    case PLUGIN_REFUSED:
        return ANSWER;
    case PLUGIN_HOLDS:
        return hold(fetch, hold_ms, wakes + held_own_wakes() - own_wakes);
    case PLUGIN_PICKED:
        if (!fetch->roles_forced || (fetch->roles_forced & 1u << server_role(fetch->server)))
            return NEXT;
        fetch->server = NULL;
        fetch->is_picked = false;
        break;
    case PLUGIN_PASSES:
        break;
    }
    if (fetch->roles_forced) {
        roles = fetch->roles_forced;
        falls_back = false;
    }
    if (has_untried(fetch, roles) || !falls_back)
        fetch->server = pick(fetch, roles);
    if (!fetch->server && falls_back)
        fetch->server = pick(fetch, ROLES_PRIMARY | ROLES_REPLICA);
    return NEXT;
}

enum verdict stage_choose(struct fetch *fetch)
{
    uint64_t wakes = held_wakes(fetch->supply->held);
    enum verdict verdict = NEXT;

    fetch->server = NULL;
    fetch->is_picked = false;
    fetch->why_chosen = (struct str){ NULL, 0 };
    if (fetch->req->pinned)
        fetch->server = upstream_own(fetch->supply->upstream, fetch->req->pinned);
    else
        verdict = ask_plugins(fetch, wakes);
    if (verdict == NEXT && !fetch->server)
        return fetch_fail(fetch, ERR_NO_SERVER);
    /* Nobody waits twice for one that stands still. */
    if (verdict == NEXT && fetch->stood_still >> upstream_index(fetch->supply->upstream, fetch->server) & 1)
        return fetch_fail(fetch, ERR_FIRST_BYTE_TIMEOUT);
    return verdict;
}
