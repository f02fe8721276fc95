#include "pipeline/second_tier.h"

#include "base/clock.h"
#include "base/err.h"
#include "fleet/bus.h"
#include "fleet/journal.h"
#include "fleet/tier.h"
#include "pipeline/stored.h"

#define PIECES_MAX 160 /* of a body; one with more is not sent */

/* A question on its way; in the request's arena. */
struct tier_question {
    struct tier_get get; /* first */
    struct request *req;
    int64_t asked_ns;
    int64_t newer_than_ms; /* what memory has was fetched then; 0: nothing */
    char vary_key[VARY_KEY_MAX];
};

static const struct journal *journal_of(const struct lane *lane)
{
    return lane->city->bus ? bus_journal(lane->city->bus) : NULL;
}

/* Credentials are part of such a key, and do not go out of this process. */
static bool is_apart(const struct request *req)
{
    const struct config_route *route = req->way->config;
    return route && route->has_cache && route->cache.share == SHARE_CREDENTIAL;
}

/* Nor do those by which an answer varies. */
static bool is_by_credential(struct str vary)
{
    return str_list_has(vary, STR("cookie")) || str_list_has(vary, STR("authorization"));
}

/* Cookies stay with weirs too. */
static bool has_set_cookie(struct str head)
{
    struct str line;
    while (str_split(&head, '\n', &line)) {
        if (str_has_iprefix(line, STR("set-cookie:")))
            return true;
    }
    return false;
}

/* --- asking --- */

static struct str on_vary(struct tier_get *get, struct str vary)
{
    struct tier_question *question = get->arg;
    int len = vary_key(vary, &question->req->msg, question->vary_key, sizeof question->vary_key);
    return len < 0 ? (struct str){ NULL, 0 } : str_n(question->vary_key, (size_t)len);
}

static bool may_use(struct tier_get *get, const struct value *value)
{
    const struct tier_question *question = get->arg;
    const struct journal *journal = journal_of(question->req->lane);
    return value->fetched_wall_ms > question->newer_than_ms && !has_set_cookie(value->head) &&
           (!journal || journal_covers(journal, value->seq, value->primary, value->tags));
}

static struct object_meta meta_of(const struct value *value)
{
    return (struct object_meta){
        .status = value->status,
        .must_revalidate = value->flags & VALUE_MUST_REVALIDATE,
        .always_revalidate = value->flags & VALUE_ALWAYS_REVALIDATE,
        .allows_authorization = value->flags & VALUE_ALLOWS_AUTHORIZATION,
        .is_by_ttl = value->flags & VALUE_IS_BY_TTL,
        .is_guessed = value->flags & VALUE_IS_GUESSED,
        .head = value->head,
        .etag = value->etag,
        .last_modified = value->last_modified,
        .vary = value->vary,
        .vary_key = value->vary_key,
        .tags = value->tags,
        .stored_wall_ms = value->stored_wall_ms,
        .fetched_wall_ms = value->fetched_wall_ms,
        .lifetime_ms = value->lifetime_ms,
        .initial_age_ms = value->initial_age_ms,
        .stale_while_revalidate_ms = value->stale_while_revalidate_ms,
        .stale_if_error_ms = value->stale_if_error_ms,
        .length = (int64_t)value->body.len,
        .domain = value->domain,
        .position = value->position,
    };
}

/* It becomes an object of memory's, as if it had been fetched. */
static void take(struct request *req, const struct value *value)
{
    struct cache *cache = req->lane->city->cache;
    struct object_meta meta = meta_of(value);
    int64_t now_ms = loop_wall_ms(req->lane->loop);
    /* Another weir's clock may be ahead: nothing is younger than now. */
    meta.stored_wall_ms = min_i64(meta.stored_wall_ms, now_ms);
    meta.fetched_wall_ms = min_i64(meta.fetched_wall_ms, now_ms);
    struct object *object = object_new(cache, &req->key, &meta);
    if (!object)
        return;
    if (value->body.len > 0 && !object_append(object, value->body)) {
        object_break(object, ERR_NO_MEMORY);
    } else {
        object_seal(object);
        /* What was written or purged here since it was fetched, wherever that was, stays away. What was
         * before we began the journal knows. */
        int64_t old_ms = max_i64(now_ms - meta.fetched_wall_ms, 0);
        int64_t known_ns = loop_now_ns(req->lane->loop) - old_ms * NS_PER_MS;
        cache_insert(cache, &req->key, object, max_i64(known_ns, cache_began_ns(cache) + 1));
    }
    object_unref(object);
}

static void count(struct lane *lane, enum tier_miss miss)
{
    static const enum lane_stat stats[] = {
        [TIER_FOUND] = LANE_TIER_HIT,        [TIER_ABSENT] = LANE_TIER_MISS,
        [TIER_INVALIDATED] = LANE_TIER_MISS, [TIER_UNUSABLE] = LANE_TIER_MISS,
        [TIER_REFUSED] = LANE_TIER_REFUSED,  [TIER_LATE] = LANE_TIER_TIMEOUT,
        [TIER_FAILED] = LANE_TIER_ERROR,     [TIER_CLOSED] = LANE_TIER_SKIPPED,
    };
    lane_count(lane, stats[miss], 1);
}

static void on_done(struct tier_get *get, const struct value *value, enum tier_miss miss)
{
    struct tier_question *question = get->arg;
    struct request *req = question->req;
    request_stage_took(req, STAGE_SECOND_TIER, loop_tick_ns(req->lane->loop) - question->asked_ns);
    count(req->lane, miss);
    if (value)
        take(req, value);
    req->question = NULL;
    request_resume(req, RETRY);
}

static void stop_asking(struct request *req)
{
    tier_get_cancel(&req->question->get);
    req->question = NULL;
}

enum verdict second_tier_ask(struct request *req, const struct object *stored)
{
    struct tier *tier = req->lane->tier;
    /* Who must see his own write gets it from the app. Who was told that the answer is not for all need not
     * look for it. */
    if (!tier || req->is_tier_asked || !req->may_store || req->is_solo || is_apart(req) ||
        req->not_before_ms > 0 || req->position.data)
        return NEXT;
    req->is_tier_asked = true;
    struct tier_question *question = arena_alloc(&req->arena, sizeof *question);
    if (!question)
        return NEXT;
    memset(question, 0, offsetof(struct tier_question, vary_key));
    question->req = req;
    question->asked_ns = loop_tick_ns(req->lane->loop);
    question->newer_than_ms = stored ? object_meta(stored)->fetched_wall_ms : INT64_MIN;
    question->get = (struct tier_get){
        .primary = req->key.primary,
        .selector = req->key.selector,
        .vary_key = on_vary,
        .may_use = may_use,
        .on_done = on_done,
        .arg = question,
    };
    enum tier_miss miss = tier_get(tier, &question->get);
    if (miss != TIER_FOUND) {
        count(req->lane, miss);
        return NEXT;
    }
    req->question = question;
    return request_wait(req, "second_tier", stop_asking);
}

/* --- storing --- */

static unsigned flags_of(const struct object_meta *meta)
{
    return (meta->must_revalidate ? VALUE_MUST_REVALIDATE : 0) |
           (meta->always_revalidate ? VALUE_ALWAYS_REVALIDATE : 0) |
           (meta->allows_authorization ? VALUE_ALLOWS_AUTHORIZATION : 0) |
           (meta->is_by_ttl ? VALUE_IS_BY_TTL : 0) | (meta->is_guessed ? VALUE_IS_GUESSED : 0);
}

static struct value value_of(const struct fetch *fetch, const struct object_meta *meta)
{
    return (struct value){
        .primary = fetch->key.primary,
        .selector = fetch->key.selector,
        .status = meta->status,
        .flags = flags_of(meta),
        .seq = fetch->stamp,
        .stored_wall_ms = meta->stored_wall_ms,
        /* What a replica said that was behind knows of no later writes: other weirs cannot tell by
         * themselves.
         */
        .fetched_wall_ms =
            fetch->as_of_ms > 0 ? min_i64(fetch->as_of_ms, meta->fetched_wall_ms) : meta->fetched_wall_ms,
        .lifetime_ms = meta->lifetime_ms,
        .initial_age_ms = meta->initial_age_ms,
        .stale_while_revalidate_ms = meta->stale_while_revalidate_ms,
        .stale_if_error_ms = meta->stale_if_error_ms,
        .etag = meta->etag,
        .last_modified = meta->last_modified,
        .vary = meta->vary,
        .vary_key = meta->vary_key,
        .tags = meta->tags,
        .domain = meta->domain,
        .position = meta->position,
        .head = meta->head,
    };
}

/* How long it is of use to anybody: fresh, or stale within its windows. */
static int64_t ttl_of(const struct object_meta *meta)
{
    int64_t stale_ms = max_i64(meta->stale_while_revalidate_ms, meta->stale_if_error_ms);
    return meta->lifetime_ms - meta->initial_age_ms + (meta->must_revalidate ? 0 : max_i64(stale_ms, 0));
}

void second_tier_store(struct fetch *fetch)
{
    struct tier *tier = fetch->lane->tier;
    const struct journal *journal = journal_of(fetch->lane);
    struct object *object = fetch->growing;
    if (!tier || (journal && fetch->stamp == 0) || object_state(object) != OBJECT_SEALED)
        return;
    const struct object_meta *meta = object_meta(object);
    struct value value = value_of(fetch, meta);
    struct object_reader reader;
    struct iovec pieces[PIECES_MAX];
    int count = 0;
    if (meta->is_partial || meta->always_revalidate || is_apart(fetch->req) || has_set_cookie(meta->head) ||
        is_by_credential(meta->vary) || !object_open(object, &reader))
        return;
    if (object_peek(&reader, pieces, PIECES_MAX, &count) != OBJECT_BYTES)
        count = 0;
    uint64_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += pieces[i].iov_len;
    value.pieces = pieces;
    value.piece_count = (unsigned)count;
    if (bytes == object_size(object))
        tier_put(tier, &value, ttl_of(meta));
    object_close(&reader);
}

void second_tier_forget(struct lane *lane, const struct key *key)
{
    if (lane->tier)
        tier_forget(lane->tier, key->primary);
}
