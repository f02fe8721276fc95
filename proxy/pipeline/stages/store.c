/* The app's head is here: keep it? for whom? Then it is handed on, and its body follows by itself (relay.c).
 */
#include "base/err.h"
#include "pipeline/answer.h"
#include "pipeline/fetch.h"
#include "pipeline/keep.h"
#include "pipeline/parts.h"
#include "pipeline/plugin.h"
#include "pipeline/second_tier.h"
#include "pipeline/stored.h"
#include "pipeline/tags.h"

/* How long a key is remembered as not worth waiting for each other: as Varnish's hit-for-miss. An error
 * passes sooner. */
#define REMEMBER_MS       (120 * 1000)
#define REMEMBER_ERROR_MS 1000

static struct cache *cache_of(const struct fetch *fetch)
{
    return fetch->lane->city->cache;
}

/* The asker reads what is stored, from the end of this batch on: head and first bytes in one write. */
static void hand_on(struct fetch *fetch, struct object *object)
{
    struct request *req = fetch->req;
    if (fetch->flight)
        flight_land(fetch->flight);
    fetch->flight = NULL;
    fetch->growing = object;
    fetch->expected_bytes = object_meta(object)->length;
    if (fetch->is_attached && object_open(object, &req->reader)) {
        req->answer = ANSWERS_OBJECT;
        fetch->lands_at_flush = true;
    }
}

static enum verdict store(struct fetch *fetch, struct object *object)
{
    struct request *req = fetch->req;
    req->is_stored = true;
    req->takes_whole_part = object_meta(object)->is_partial;
    hand_on(fetch, object);
    return NEXT;
}

/* The app says that what we have is still good. */
static enum verdict revalidated(struct fetch *fetch, const struct message *reply)
{
    struct request *req = fetch->req;
    struct object *fresh = keep_renewed(fetch, reply);
    if (fresh) {
        req->is_stored = cache_renew(cache_of(fetch), &fetch->key, req->stale, fresh, keep_known_ns(fetch));
    } else { /* not storable any more: what we hold answers this request and goes */
        cache_remove(cache_of(fetch), req->stale);
        fresh = object_ref(req->stale);
    }
    lane_count(fetch->lane, LANE_CACHE_REVALIDATED, 1);
    req->is_revalidated = true;
    req->forwarded_status = 304;
    req->outcome = OUTCOME_REVALIDATED;
    hand_on(fetch, fresh);
    if (req->is_stored)
        second_tier_store(fetch);
    return NEXT;
}

/* RFC 9111 4.3.5: what HEAD says about a stored GET. */
static void heed_head(struct fetch *fetch, const struct message *reply)
{
    struct request *req = fetch->req;
    const struct object_meta *meta = object_meta(req->stale);
    struct object *fresh = NULL;
    bool is_gone = reply->status == 404 || reply->status == 410;
    if (reply->status != 200 && !is_gone)
        return;
    enum head_says says =
        is_gone ? HEAD_INVALIDATES
                : head_says_of(meta->etag, meta->last_modified, (int64_t)object_size(req->stale), reply);
    if (says == HEAD_UPDATES)
        fresh = keep_renewed(fetch, reply);
    if (fresh)
        cache_renew(cache_of(fetch), &fetch->key, req->stale, fresh, keep_known_ns(fetch));
    else if (says == HEAD_INVALIDATES)
        cache_remove(cache_of(fetch), req->stale);
    object_unref(fresh);
}

/* The app says: send that to the primary. 0: it may be; else why not. */
static int replay_refusal(const struct fetch *fetch)
{
    const struct request *req = fetch->req;
    if (fetch->is_replayed || fetch->role_asked != ROLE_REPLICA)
        return ERR_REPLAY_LOOP;
    return !req->has_upload || req->is_upload_kept ? 0 : ERR_REPLAY_TOO_LARGE;
}

/* This answer is not used: the app is asked once more. */
static enum verdict ask_again(struct fetch *fetch)
{
    struct exchange *exchange = fetch->exchange;
    fetch_settle(fetch, false);
    fetch->exchange = NULL;
    exchange_abort(exchange);
    fetch->has_head = false;
    fetch->is_outdated = false;
    return RETRY;
}

static enum verdict replay(struct fetch *fetch, const struct message *reply)
{
    bool is_apps_word = reply->first[FIELD_WEIR_REPLAY] || reply->first[FIELD_FLY_REPLAY];
    fetch->is_replayed = true;
    /* Whatever its method: a replica's app could not do it, so it writes. */
    if (is_apps_word) {
        fetch->req->is_write = fetch->req->is_once = true;
        /* Asked with conditions or for a part it might have to be asked twice. */
        fetch->req->is_validating = fetch->req->completes_part = false;
    }
    fetch->roles_forced = ROLES_PRIMARY;
    return ask_again(fetch);
}

/* Nobody else's answer: its one client gets it as it comes. */
static enum verdict relay(struct fetch *fetch, const struct message *reply)
{
    struct request *req = fetch->req;
    if (fetch->flight) {
        int64_t remember_ms = reply->status >= 500 ? REMEMBER_ERROR_MS : REMEMBER_MS;
        if (fetch->is_askers_doing) /* it says nothing about the key */
            remember_ms = 0;
        /* One of those who wait leads anew; but from a server that is behind, what comes next will be as old:
         * nobody waits for that. */
        if (fetch->is_outdated && fetch->as_of_ms > 0)
            remember_ms = 0;
        if (fetch->is_outdated && fetch->as_of_ms == 0)
            flight_land(fetch->flight);
        else
            flight_scatter(fetch->flight, loop_wall_ms(fetch->lane->loop), remember_ms);
        fetch->flight = NULL;
    }
    if (!fetch->is_attached) {
        fetch_end(fetch);
        return NEXT;
    }
    if (req->errand && req->errand != ERRAND_CHECK) { /* nobody is there for it */
        fetch->is_attached = false;
        request_hold(req);
        fetch_end(fetch);
        request_resume(req, request_fail(req, ERR_CLIENT_GONE));
        request_drop(req);
        return NEXT;
    }
    req->answer = reply->status == 101 ? ANSWERS_TUNNEL : ANSWERS_RELAY;
    request_resume(req, NEXT);
    return NEXT;
}

/* Does it say something of the stored answer, or only of who asked with a credential that is not in the key?
 */
static bool is_about_it(const struct fetch *fetch, const struct message *reply)
{
    const struct request *req = fetch->req;
    const struct config_route *route = req->way->config;
    bool is_apart = route && route->has_cache && route->cache.share == SHARE_CREDENTIAL;
    bool is_personal = !is_apart && (req->asks.has_authorization || req->msg.first[FIELD_COOKIE]);
    bool is_refusal = reply->status == 401 || reply->status == 403 || reply->status == 407;
    bool is_askers = is_refusal || fetch->is_askers_doing || req->asks.has_authorization;
    return reply->status != 429 && !(is_personal && is_askers);
}

enum verdict stage_store(struct fetch *fetch)
{
    struct request *req = fetch->req;
    const struct message *reply = fetch->reply;
    struct plugin_verdict said;

    req->fetched_ns = fetch->head_ns;
    plugins_answered(fetch, reply, reply->status, &said);
    /* The primary's own answer is one, whatever a plugin says of it. */
    if (said.replays && fetch->is_attached && (fetch->is_replayed || fetch->role_asked == ROLE_REPLICA)) {
        int err = replay_refusal(fetch);
        return err ? fetch_fail(fetch, err) : replay(fetch, reply);
    }
    fetch->position = said.position;
    fetch->as_of_ms = said.as_of_ms;
    tags_after_write(fetch, reply, said.invalidates);
    if (reply->status == 304 && req->is_validating) {
        const struct object_meta *meta = object_meta(req->stale);
        if (not_modified_is_for(meta->etag, meta->last_modified, reply))
            return revalidated(fetch, reply);
        req->is_validating = false; /* it means another representation (RFC 9111 4.3.4) */
        return ask_again(fetch);
    }
    if (req->completes_part && reply->status != 200 && !part_completes(req, reply)) {
        req->completes_part = false; /* the whole, then */
        return ask_again(fetch);
    }
    if (stored_stands_in_for(req, reply->status)) {
        fetch->app_status = reply->status;
        return fetch_fail(fetch, ERR_APP_FAILED);
    }
    if (req->msg.method == METHOD_HEAD && req->stale && !said.forbids_store)
        heed_head(fetch, reply);
    struct object *object = said.forbids_store ? NULL : keep_reply(fetch, reply);
    if (object)
        return store(fetch, object);
    if (req->completes_part && reply->status == 206) {
        req->completes_part = false; /* half an answer is none */
        return ask_again(fetch);
    }
    /* The answer that was stored is not the answer any more (RFC 9111 4.3.3): nobody gets it as a stale one.
     */
    if (req->stale && req->may_store && !req->asks_part && reply->status < 500 && is_about_it(fetch, reply))
        cache_remove(cache_of(fetch), req->stale);
    return relay(fetch, reply);
}
