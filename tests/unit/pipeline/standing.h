/* A request that stands still: it went through the corridor's first stages and waits there to be asked one
 * question at a time. And what is stored for it, as old as a test wants it: ages come from the meta's times,
 * nothing waits. */
#ifndef TEST_PIPELINE_STANDING_H
#define TEST_PIPELINE_STANDING_H

#include "told.h"

#include "pipeline/stored.h"

/* Identified, routed and admitted; with its wishes read and its key made, as if lookup had begun. */
static inline struct request *standing(const char *lines)
{
    static const struct head_limits limits = { 65536, 65536, FIELDS_MAX };
    struct buf head = { 0 };
    struct shared shared;
    for (const char *at = lines; *at; at++)
        buf_append(&head, *at == '\n' ? "\r\n" : at, *at == '\n' ? 2 : 1);
    buf_append_str(&head, STR("\r\n\r\n"));
    struct request *req = request_new(place.lane, &guest_carrier, &guest.client, buf_str(&head));
    cr_assert_not_null(req);
    buf_fini(&head);
    req->head_ns = req->started_ns = loop_now_ns(place.lane->loop);
    cr_assert_eq(message_read_request(&req->msg, req->head_text, &limits), 0);
    cr_assert_eq(stage_identify(req), NEXT);
    cr_assert_eq(stage_route(req), NEXT);
    cr_assert_eq(stage_admit(req), NEXT);
    cache_request_read(&req->msg, &req->asks);
    struct asker asker = request_asker(req);
    cr_assert(share_decide(&asker, &req->arena, &shared));
    req->key = shared.key;
    req->may_use_store = req->may_store = true;
    req->may_use_ttl = shared.may_use_ttl;
    req->may_guess = shared.may_guess;
    return req;
}

/* The same, after lookup found nothing to answer with. */
static inline struct request *standing_missed(const char *lines)
{
    struct request *req = standing(lines);
    req->key = (struct key){ 0 };
    cr_assert_eq(stage_lookup(req), NEXT);
    return req;
}

static inline void go_away(struct request *req)
{
    if (req->reader.object)
        object_close(&req->reader);
    if (req->flight)
        flight_abandon(req->flight);
    request_drop(req);
}

static inline int64_t now_ms(void)
{
    return loop_wall_ms(place.lane->loop);
}

/* Fetched so long ago, fresh for so long since. */
static inline struct object_meta meta_aged(int64_t age_ms, int64_t lifetime_ms)
{
    return (struct object_meta){
        .status = 200,
        .head = STR("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"),
        .stored_wall_ms = now_ms() - age_ms,
        .fetched_wall_ms = now_ms() - age_ms,
        .lifetime_ms = lifetime_ms,
        .stale_while_revalidate_ms = -1,
        .stale_if_error_ms = -1,
        .length = -1,
    };
}

/* Whole, for that key, not in the index; one reference. */
static inline struct object *shelved(const struct key *key, const struct object_meta *meta, const char *body)
{
    struct object *object = object_new(place.city.cache, key, meta);
    cr_assert_not_null(object);
    cr_assert(body[0] == '\0' || object_append(object, str_of(body)));
    object_seal(object);
    return object;
}

#endif
