/* Active checks: a GET to each server every interval, on a connection of its own each time, so that a server
 * which still serves old connections but takes no new ones is noticed too. 2xx and 3xx within the timeout, to
 * the end of the body, is good; `rise` good ones in a row bring a server in, `fall` bad ones take it out. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "upstream/exchange.h"
#include "upstream/server.h"
#include "net/loop.h"

#define BODY_BYTES_MAX (64 * 1024) /* of a reply that is shown to on_checked */

struct check {
    struct health *health;
    struct server *server;
    struct buf head;
    struct buf reply_head; /* kept until the body is here too, where somebody wants to see both */
    struct buf reply_body;
    struct exchange *exchange; /* NULL between two checks */
    struct timer timer;        /* until the next check, or until this one took too long */
    int64_t began_ns;
    int64_t began_wall_ms;
    int status;
    unsigned row; /* equal results in a row */
    bool is_row_good;
};

struct health {
    struct loop *loop;
    struct upstream *upstream;
    const struct config_health *config;
    health_checked_fn *on_checked;
    void *arg;
    struct pools *pools;
    struct check *checks;
    unsigned check_count;
};

static void set_healthy(struct server *server, bool is_healthy)
{
    bool was_healthy = atomic_exchange_explicit(&server->is_healthy, is_healthy, memory_order_relaxed);
    /* What traffic found before it was taken out is over with that. */
    if (is_healthy && !was_healthy)
        atomic_store_explicit(&server->failures, 0, memory_order_relaxed);
}

/* A tenth of spread, so that the checks of many servers and weirs do not fall into step. */
static int64_t jittered_ms(const struct check *check, int64_t ms)
{
    uint64_t random = mix64(check->server->point ^ (uint64_t)loop_now_ns(check->health->loop));
    return ms - (int64_t)(random % (uint64_t)(ms / 10 + 1));
}

/* why: 0 for a good one, else an error or the status that came. */
static void conclude(struct check *check, int why)
{
    const struct config_health *config = check->health->config;
    bool is_good = why == 0;
    check->exchange = NULL;
    if (!is_good)
        atomic_store_explicit(&check->server->why_unhealthy, why, memory_order_relaxed);
    if (check->is_row_good != is_good)
        check->row = 0;
    check->is_row_good = is_good;
    check->row++;
    if (check->row >= (is_good ? config->rise : config->fall))
        set_healthy(check->server, is_good);

    int64_t took_ms = (loop_now_ns(check->health->loop) - check->began_ns) / NS_PER_MS;
    timer_set(check->health->loop, &check->timer,
              max_i64(0, jittered_ms(check, config->interval_ms) - took_ms));
}

static void keep_head(struct check *check, const struct message *reply)
{
    bool ok = buf_printf(&check->reply_head, "HTTP/1.1 %d \r\n", reply->status);
    for (unsigned i = 0; ok && i < reply->field_count; i++) {
        const struct field *field = &reply->fields[i];
        if (!(field_traits(field->id) & (FIELD_FRAMING | FIELD_HOP_BY_HOP)))
            ok =
                buf_printf(&check->reply_head, "%.*s: %.*s\r\n", STR_FMT(field->name), STR_FMT(field->value));
    }
    if (!ok || !buf_append_str(&check->reply_head, STR("\r\n")))
        buf_fini(&check->reply_head);
}

static void on_head(void *arg, const struct message *reply)
{
    struct check *check = arg;
    check->status = reply->status;
    if (check->health->on_checked)
        keep_head(check, reply);
}

static void on_piece(void *arg, struct str piece)
{
    struct check *check = arg;
    if (buf_len(&check->reply_head) > 0 && buf_len(&check->reply_body) + piece.len <= BODY_BYTES_MAX)
        buf_append_str(&check->reply_body, piece);
}

/* Tells who wants to know what a server says of itself. */
static void tell(struct check *check)
{
    static const struct head_limits limits = { BODY_BYTES_MAX, BODY_BYTES_MAX, FIELDS_MAX };
    struct message *reply = buf_len(&check->reply_head) > 0 ? malloc(sizeof *reply) : NULL;
    if (reply && message_read_reply(reply, buf_str(&check->reply_head), METHOD_HEAD, &limits) == 0)
        check->health->on_checked(check->health->arg, check->server, reply, buf_str(&check->reply_body),
                                  check->began_wall_ms);
    free(reply);
    buf_fini(&check->reply_head);
    buf_fini(&check->reply_body);
}

static void on_end(void *arg, const struct body_in *trailers)
{
    struct check *check = arg;
    tell(check);
    conclude(check, check->status >= 200 && check->status < 400 ? 0 : check->status);
}

static void on_flush(void *arg)
{
}

static void on_failed(void *arg, int err)
{
    conclude(arg, err);
}

static const struct exchange_events check_events = {
    .on_head = on_head,
    .on_piece = on_piece,
    .on_end = on_end,
    .on_flush = on_flush,
    .on_failed = on_failed,
};

static void begin(struct check *check)
{
    struct health *health = check->health;
    const struct exchange_request request = {
        .head = buf_str(&check->head),
        .method = METHOD_GET,
        .upload = FRAMING_NONE,
        .is_body_whole = true,
        .must_be_fresh = true,
        .timeouts = { .connect_ms = health->config->timeout_ms,
                      .first_byte_ms = health->config->timeout_ms,
                      .idle_ms = health->config->timeout_ms,
                      .total_ms = NEVER },
    };
    check->began_ns = loop_now_ns(health->loop);
    check->began_wall_ms = loop_wall_ms(health->loop);
    buf_fini(&check->reply_head);
    buf_fini(&check->reply_body);
    check->exchange =
        exchange_start(health->pools, health->upstream, check->server, &request, &check_events, check);
    /* Out of memory says nothing about the server: this check is left out. */
    timer_set(health->loop, &check->timer,
              check->exchange ? health->config->timeout_ms : health->config->interval_ms);
}

static void on_timer(void *arg)
{
    struct check *check = arg;
    if (!check->exchange) {
        begin(check);
        return;
    }
    exchange_abort(check->exchange);
    conclude(check, ERR_FIRST_BYTE_TIMEOUT);
}

static bool check_init(struct check *check, struct health *health, struct server *server)
{
    const char *host = server->addr.kind == ADDR_UNIX ? "localhost" : server->addr.text;
    check->health = health;
    check->server = server;
    timer_init(&check->timer, on_timer, check);
    return buf_printf(&check->head,
                      "GET %.*s HTTP/1.1\r\nHost: %s\r\nUser-Agent: weir-health\r\nConnection: close\r\n\r\n",
                      STR_FMT(health->config->path), host);
}

struct health *health_new(struct loop *loop, struct upstream *upstream, health_checked_fn *on_checked,
                          void *arg)
{
    struct health *health = calloc(1, sizeof *health);
    if (!health)
        return NULL;
    health->loop = loop;
    health->upstream = upstream;
    health->on_checked = on_checked;
    health->arg = arg;
    health->config = &upstream->config->health;
    if (!health->config->is_given) {
        /* Adopted servers may have been taken out by checks that are no more. */
        for (unsigned i = 0; i < upstream->server_count; i++)
            set_healthy(upstream->servers[i], true);
        return health;
    }
    health->pools = pools_new(loop, 0, 0);
    health->checks = calloc(upstream->server_count, sizeof *health->checks);
    if (!health->pools || !health->checks)
        goto fail;
    for (unsigned i = 0; i < upstream->server_count; i++) {
        struct check *check = &health->checks[health->check_count++];
        if (!check_init(check, health, upstream->servers[i]))
            goto fail;
        timer_set(loop, &check->timer, 0);
    }
    return health;

fail:
    health_free(health);
    return NULL;
}

void health_free(struct health *health)
{
    if (!health)
        return;
    for (unsigned i = 0; i < health->check_count; i++) {
        struct check *check = &health->checks[i];
        timer_cancel(&check->timer);
        exchange_abort(check->exchange);
        buf_fini(&check->head);
        buf_fini(&check->reply_head);
        buf_fini(&check->reply_body);
    }
    free(health->checks);
    pools_free(health->pools);
    free(health);
}
