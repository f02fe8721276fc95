#include "pipeline/errand.h"

#include "base/err.h"
#include "base/hash.h"
#include "net/loop.h"
#include "pipeline/client.h"

struct errand_check {
    errand_told_fn *told;
    void *arg;
    bool is_cut;
    uint64_t bytes;
    struct hash_stream digest;
};

/* --- the carrier of what goes nowhere --- */

static void nobody_interim(struct request *req, struct str head)
{
    (void)req;
    (void)head;
}

static void nobody_begin(struct request *req, struct writer *head, int64_t length)
{
    (void)req;
    (void)head;
    (void)length;
}

static void nobody_cut(struct request *req, int err)
{
    if (req->check)
        req->check->is_cut = true;
    req->err = err;
    request_abandon(req);
}

static int64_t nobody_write(struct request *req, const struct iovec *pieces, int count, unsigned flags)
{
    int64_t bytes = 0;
    (void)flags;
    for (int i = 0; i < count; i++) {
        bytes += (int64_t)pieces[i].iov_len;
        if (req->check)
            hash_stream_add(&req->check->digest, pieces[i].iov_base, pieces[i].iov_len);
    }
    if (!req->check)
        return bytes;
    req->check->bytes += (uint64_t)bytes;
    if (req->check->bytes <= ERRAND_BYTES_MAX)
        return bytes;
    nobody_cut(req, ERR_CLIENT_GONE); /* too much to compare */
    return -1;
}

static void nobody_unbegin(struct request *req)
{
    (void)req;
}

static bool nobody_says_no(const struct request *req)
{
    (void)req;
    return false;
}

static size_t nobody_held(const struct request *req)
{
    (void)req;
    return 0;
}

static void nobody_want_upload(struct request *req, bool is_wanted)
{
    (void)req;
    (void)is_wanted;
}

static void nobody_tunnel(struct request *req, struct stream *server, struct str extra)
{
    (void)server;
    (void)extra;
    CHECK(!"an errand asks for no tunnel");
    (void)req;
}

static void nobody_done(struct request *req)
{
    (void)req;
}

static const struct carrier nobody = {
    .interim = nobody_interim,
    .begin = nobody_begin,
    .write = nobody_write,
    .unbegin = nobody_unbegin,
    .needs_write = nobody_says_no,
    .is_blocked = nobody_says_no,
    .held = nobody_held,
    .cut = nobody_cut,
    .want_upload = nobody_want_upload,
    .tunnel = nobody_tunnel,
    .done = nobody_done,
};

/* --- making them --- */

bool errand_may(const struct lane *lane, enum errand kind)
{
    return !lane->is_draining && lane->errands < (kind == ERRAND_REFRESH ? ERRANDS_REFRESH_MAX : ERRANDS_MAX);
}

/* A request like asker's with that head; it has not started. */
static struct request *errand_new(struct request *asker, enum errand kind, struct str head)
{
    static const struct head_limits limits = { LANE_HEAD_BYTES, LANE_HEAD_BYTES, FIELDS_MAX };
    struct lane *lane = asker->lane;
    if (!errand_may(lane, kind) || asker->here != lane->now)
        return NULL;
    struct request *req = request_new(lane, &nobody, NULL, head);
    if (!req)
        return NULL;
    req->errand = (uint8_t)kind;
    lane->errands++;
    req->head_ns = req->started_ns = loop_now_ns(lane->loop);
    req->is_peer_trusted = asker->is_peer_trusted;
    req->is_https = asker->is_https;
    req->err = message_read_request(&req->msg, req->head_text, &limits);
    if (req->msg.method == METHOD_HEAD) { /* what is stored is GET's */
        req->msg.method = METHOD_GET;
        req->msg.method_name = STR("GET");
    }
    if (asker->peer_text.data) { /* its client may be gone by now */
        req->peer_text = arena_str(&req->arena, asker->peer_text);
    } else if (asker->client && asker->client->peer.sa.sa_family != AF_UNIX) {
        char peer[64];
        addr_format_host(&asker->client->peer.sa, peer, sizeof peer);
        req->peer_text = arena_str(&req->arena, str_of(peer));
    }
    return req;
}

void errand_revalidate(struct request *asker, enum errand kind, struct object *stored, struct flight *flight)
{
    struct request *req = errand_new(asker, kind, asker->head_text);
    if (!req) {
        flight_abandon(flight);
        return;
    }
    req->flight = flight;
    req->stale = object_ref(stored);
    lane_count(req->lane, LANE_CACHE_REFRESHED, 1);
    pipeline_start(req);
}

bool errand_check(struct request *asker, struct str head, bool is_trusted, const struct server *server,
                  errand_told_fn *told, void *arg)
{
    struct request *req = errand_new(asker, ERRAND_CHECK, head);
    struct errand_check *check = req ? arena_alloc(&req->arena, sizeof *check) : NULL;
    if (!check) {
        if (req) {
            req->lane->errands--;
            request_drop(req);
        }
        return false;
    }
    *check = (struct errand_check){ .told = told, .arg = arg };
    hash_stream_start(&check->digest);
    req->check = check;
    req->pinned = server;
    req->is_peer_trusted = is_trusted;
    pipeline_start(req);
    return true;
}

void errand_ended(struct request *req)
{
    struct errand_check *check = req->check;
    req->lane->errands--;
    if (!check)
        return;
    bool is_whole = req->is_answered && !req->is_cut && !check->is_cut && req->answer != ANSWERS_PROBLEM;
    const struct errand_answer answer = {
        .status = is_whole ? req->status : 0,
        .digest = hash_stream_end(&check->digest),
        .server = req->server,
    };
    check->told(check->arg, &answer);
}
