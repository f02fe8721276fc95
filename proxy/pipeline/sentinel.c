#include "pipeline/sentinel.h"

#include <stdlib.h>

#include "base/addr.h"
#include "base/hash.h"
#include "base/log.h"
#include "cache/witness.h"
#include "pipeline/client.h"
#include "pipeline/errand.h"

#define CHECK_BYTES_MAX ERRAND_BYTES_MAX /* a larger answer is not compared */

/* Who is asked for, in this order, so that two servers that take turns do not look like two callers; all at
 * the server that answered the first. One that fails ends the check. */
enum turn {
    TURN_CALLER,
    TURN_WITNESS,
    TURN_WITNESS_AGAIN,
    TURN_CALLER_AGAIN,
    TURN_COUNT
};

struct check {
    struct request *req; /* the caller's: held, for its identity */
    struct later later;  /* the next question is not asked from within the last answer */
    struct str peers[2]; /* their addresses */
    bool is_witness_trusted;
    struct str heads[2]; /* the caller's and the witness', in the request's arena */
    enum turn turn;
    const struct server *server; /* that answered; NULL: any */
    int stored_status;
    uint64_t stored_digest;
    uint64_t digests[TURN_COUNT];
};

static bool digest_of(struct object *object, uint64_t *out)
{
    struct hash_stream stream;
    struct object_reader reader;
    struct iovec iov[16];
    enum object_more more;
    int count;
    if (object_state(object) != OBJECT_SEALED || object_size(object) > CHECK_BYTES_MAX ||
        !object_open(object, &reader))
        return false;
    hash_stream_start(&stream);
    while ((more = object_peek(&reader, iov, COUNT_OF(iov), &count)) == OBJECT_BYTES) {
        uint64_t bytes = 0;
        for (int i = 0; i < count; i++) {
            hash_stream_add(&stream, iov[i].iov_base, iov[i].iov_len);
            bytes += iov[i].iov_len;
        }
        object_skip(&reader, bytes);
    }
    object_close(&reader);
    *out = hash_stream_end(&stream);
    return more == OBJECT_END;
}

/* --- verdicts --- */

static void quarantine(const struct check *check)
{
    const struct request *req = check->req;
    struct watch *watch = req->way->watch;
    struct str route = req->way->config ? req->way->config->name : STR("(none)");
    atomic_store(&watch->since_wall_ms, loop_wall_ms(req->lane->loop));
    atomic_store(&watch->stored_digest, check->stored_digest);
    atomic_store(&watch->fetched_digest, check->digests[TURN_CALLER]);
    atomic_store(&watch->is_quarantined, true);
    log_error(
        "leak: route %.*s is quarantined: tenant %.*s got a stored answer (digest %016llx) for %.*s, but "
        "the app tells this caller something else (%016llx) than the one it was stored for (%016llx)",
        STR_FMT(route), STR_FMT(tenant_name(req->tenant->tenant)), (unsigned long long)check->stored_digest,
        STR_FMT(req->msg.target), (unsigned long long)check->digests[TURN_CALLER],
        (unsigned long long)check->digests[TURN_WITNESS]);
}

static void end(struct check *check, enum lane_stat finding)
{
    struct lane *lane = check->req->lane;
    if (finding == LANE_LEAK_FOUND)
        quarantine(check);
    lane_count(lane, finding, 1);
    lane->check = NULL;
    later_cancel(&check->later);
    request_drop(check->req);
    free(check);
}

static void on_told(void *arg, const struct errand_answer *answer);

static void ask(void *arg)
{
    struct check *check = arg;
    bool is_caller = check->turn == TURN_CALLER || check->turn == TURN_CALLER_AGAIN;
    check->req->peer_text = check->peers[is_caller ? 0 : 1];
    if (!errand_check(check->req, check->heads[is_caller ? 0 : 1],
                      is_caller ? check->req->is_peer_trusted : check->is_witness_trusted, check->server,
                      on_told, check))
        end(check, LANE_LEAK_UNSURE);
}

/* An answer that says something: another status for the caller is a difference like any other; for the
 * witness it is none, his credentials may have run out since. */
static bool is_telling(const struct check *check, int status)
{
    bool is_caller = check->turn == TURN_CALLER || check->turn == TURN_CALLER_AGAIN;
    return status == check->stored_status || (is_caller && status >= 200 && status < 500 && status != 429);
}

static void on_told(void *arg, const struct errand_answer *answer)
{
    struct check *check = arg;
    const uint64_t *digests = check->digests;
    if (!is_telling(check, answer->status)) {
        end(check, LANE_LEAK_UNSURE);
        return;
    }
    check->server = answer->server;
    check->digests[check->turn] = answer->digest ^ (uint64_t)(answer->status ^ check->stored_status);
    if (check->turn == TURN_CALLER && digests[TURN_CALLER] == check->stored_digest) {
        end(check, LANE_LEAK_SAME);
    } else if (check->turn == TURN_WITNESS && digests[TURN_WITNESS] == digests[TURN_CALLER]) {
        end(check, LANE_LEAK_CHANGED);
    } else if (check->turn == TURN_CALLER_AGAIN) {
        bool is_stable = digests[TURN_CALLER] == digests[TURN_CALLER_AGAIN] &&
                         digests[TURN_WITNESS] == digests[TURN_WITNESS_AGAIN];
        end(check, is_stable ? LANE_LEAK_FOUND : LANE_LEAK_UNSURE);
    } else {
        check->turn++;
        loop_later(check->req->lane->loop, &check->later);
    }
}

void sentinel_stop(struct lane *lane)
{
    if (lane->check)
        end(lane->check, LANE_LEAK_UNSURE);
}

/* --- sampling --- */

static const struct config_cache_rule *rule_of(const struct request *req)
{
    return req->way->config && req->way->config->has_cache ? &req->way->config->cache : NULL;
}

/* Is it weir's own word that this answer may be shared? */
static bool is_weirs_word(const struct request *req, const struct object *object)
{
    const struct config_cache_rule *rule = rule_of(req);
    const struct object_meta *meta = object_meta(object);
    return (meta->is_by_ttl || meta->is_guessed) && !(rule && rule->share == SHARE_CREDENTIAL);
}

/* The address has to outlive the client. */
static void keep_peer(struct request *req)
{
    char peer[64];
    if (req->peer_text.data || !req->client || req->client->peer.sa.sa_family == AF_UNIX)
        return;
    addr_format_host(&req->client->peer.sa, peer, sizeof peer);
    req->peer_text = arena_str(&req->arena, str_of(peer));
}

void sentinel_witness(struct request *req, struct object *object)
{
    if (req->world->config->cache.leak_sample <= 0 || !is_weirs_word(req, object))
        return;
    /* The target is the key's: without it many clients' heads are the same bytes. */
    size_t line = (size_t)str_find(req->head_text, '\n') + 1;
    /* What was believed of him then is believed again, and no more. */
    keep_peer(req);
    struct str kept = arena_printf(&req->arena, "%c%.*s\n%.*s", req->is_peer_trusted ? 't' : 'u',
                                   STR_FMT(req->peer_text), STR_FMT(str_from(req->head_text, line)));
    struct witness *witness = kept.data ? witness_new(req->lane->city->cache, &req->key, kept) : NULL;
    if (witness)
        object_set_witness(object, witness);
    witness_unref(witness);
}

static void start(struct request *req, struct object *object)
{
    struct witness *witness = object_witness(object);
    struct check *check = witness ? calloc(1, sizeof *check) : NULL;
    if (!check)
        return;
    size_t line = (size_t)str_find(req->head_text, '\n') + 1;
    struct str kept = witness_head(witness);
    size_t peer_end = (size_t)str_find(kept, '\n');
    struct str fields = str_from(kept, peer_end + 1);
    check->peers[1] = arena_str(&req->arena, str_n(kept.data + 1, peer_end - 1));
    check->is_witness_trusted = kept.data[0] == 't';
    check->heads[0] = req->head_text;
    check->heads[1] = arena_printf(&req->arena, "%.*s%.*s", (int)line, req->head_text.data, STR_FMT(fields));
    check->stored_status = object_meta(object)->status;
    if (!check->heads[1].data || !digest_of(object, &check->stored_digest)) {
        free(check);
        return;
    }
    keep_peer(req);
    check->peers[0] = req->peer_text;
    request_hold(req);
    check->req = req;
    req->lane->check = check;
    later_init(&check->later, ask, check);
    loop_later(req->lane->loop, &check->later);
}

void sentinel_saw_hit(struct request *req, struct object *object)
{
    struct lane *lane = req->lane;
    int64_t sample = req->world->config->cache.leak_sample;
    if (req->errand || sample <= 0 || !(req->may_use_ttl || req->may_guess))
        return;
    if (++lane->since_check < sample || lane->check || !is_weirs_word(req, object))
        return;
    lane->since_check = 0;
    start(req, object);
}
