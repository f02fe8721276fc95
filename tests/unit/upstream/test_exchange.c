/* An exchange's life: which connection it takes, how it ends, and what its owner may do meanwhile. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "count.h"
#include "net/stream.h"
#include "peer.h"

#define UPGRADE_HEAD "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
#define SWITCHING_REPLY \
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"

static struct world world;
static struct owner owner;
static struct owner other;
static struct peer *peer = &world.peers[0];

static void set_up(void)
{
    world_open(&world, 1);
    owner_init(&owner, &world);
    owner_init(&other, &world);
}

static void tear_down(void)
{
    owner_fini(&owner);
    owner_fini(&other);
    world_close(&world);
}

/* One request and its reply on whatever connection it takes. */
static void talk(const struct exchange_request *request, bool is_new)
{
    owner_start(&owner, request);
    if (is_new)
        peer_accept(peer);
    peer_expect(peer, "\r\n\r\n");
    peer_send(peer, OK_REPLY);
    world_wait(&world, &owner.is_over);
    cr_assert_str_eq(owner.log, "head:200 piece:2 end flush");
}

static void run(const struct exchange_request *request, bool is_new)
{
    owner_fini(&owner);
    talk(request, is_new);
}

static void run_get(bool is_new)
{
    const struct exchange_request request = request_of(GET_HEAD, METHOD_GET);
    run(&request, is_new);
}

WorldTest(exchange, takes_the_connection_that_was_kept)
{
    run_get(true);
    run_get(false);
    run_get(false);
    cr_assert_eq(peer->accepted, 1);
}

WorldTest(exchange, that_must_be_fresh_dials_anew)
{
    run_get(true);
    struct exchange_request request = request_of(GET_HEAD, METHOD_GET);
    request.must_be_fresh = true;
    run(&request, true);
    cr_assert_eq(peer->accepted, 2);
    cr_assert_eq(pools_idle(world.pools), 2, "both are kept afterwards");
}

WorldTest(exchange, knows_what_a_retry_wants_to_know)
{
    owner_get(&owner);
    cr_assert_eq(exchange_connected_ns(owner.exchange), 0);
    peer_accept(peer);
    peer_expect(peer, "\r\n\r\n");
    cr_assert_not(exchange_was_reused(owner.exchange));
    cr_assert_not(exchange_has_answered(owner.exchange));
    cr_assert_not(exchange_has_sent_body(owner.exchange));
    cr_assert(exchange_connected_ns(owner.exchange) > 0);
    cr_assert_eq(exchange_head_ns(owner.exchange), 0);
    cr_assert_eq(exchange_server(owner.exchange), world.upstream->servers[0]);
    peer_send(peer, "HTTP/1.1 200 OK\r\n");
    world_turn(&world, 3);
    cr_assert(exchange_has_answered(owner.exchange));
    cr_assert_eq(exchange_head_ns(owner.exchange), 0);
    peer_send(peer, "Content-Length: 3\r\n\r\n");
    world_turn(&world, 3);
    cr_assert(exchange_head_ns(owner.exchange) > 0);
}

WorldTest(exchange, loses_the_race_with_a_closing_server_as_closed_and_reused)
{
    run_get(true);
    peer_close(peer);
    owner_fini(&owner);
    owner_get(&owner); /* the loop has not turned: nobody has seen the end yet */
    cr_assert(exchange_was_reused(owner.exchange));
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.err, ERR_UPSTREAM_CLOSED);
}

WorldTest(exchange, that_cannot_be_retried_looks_before_it_takes_an_idle_connection)
{
    run_get(true);
    peer_close(peer);
    struct exchange_request request = request_of(POST_HEAD, METHOD_POST);
    request.upload = FRAMING_LENGTH;
    request.upload_bytes = 5;
    request.body = STR("hello");
    owner_fini(&owner);
    owner_start(&owner, &request);
    cr_assert_not(exchange_was_reused(owner.exchange));
    peer_accept(peer);
    peer_expect(peer, "\r\n\r\nhello");
    peer_send(peer, OK_REPLY);
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.err, 0);
}

WorldTest(exchange, fails_when_nobody_listens)
{
    close(peer->listen_fd);
    owner_get(&owner);
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.err, ERR_CONNECT_REFUSED);
    cr_assert_str_eq(owner.log, "failed");
}

static const struct {
    const char *sent; /* by the server */
    struct config_timeouts timeouts;
    int err;
} waits[] = {
    { "", { NEVER, 10, NEVER, NEVER }, ERR_FIRST_BYTE_TIMEOUT },
    { "HTTP/1.1 103 Early Hints\r\n\r\n", { NEVER, 10, NEVER, NEVER }, ERR_FIRST_BYTE_TIMEOUT },
    { "HTTP/1.1 2", { NEVER, NEVER, 10, NEVER }, ERR_UPSTREAM_IDLE },
    { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", { NEVER, NEVER, 10, NEVER }, ERR_UPSTREAM_IDLE },
};

WorldTest(exchange, ends_each_wait_with_its_own_error)
{
    for (size_t i = 0; i < COUNT_OF(waits); i++) {
        struct exchange_request request = request_of(GET_HEAD, METHOD_GET);
        request.timeouts = waits[i].timeouts;
        owner_fini(&owner);
        owner_start(&owner, &request);
        peer_accept(peer);
        peer_expect(peer, "\r\n\r\n");
        peer_send(peer, waits[i].sent);
        world_wait(&world, &owner.is_over);
        cr_expect_eq(owner.err, waits[i].err, "row %zu: %s", i, err_word(owner.err));
    }
}

static void set_flag(void *flag)
{
    *(bool *)flag = true;
}

WorldTest(exchange, does_not_count_time_while_paused)
{
    struct exchange_request request = request_of(GET_HEAD, METHOD_GET);
    request.timeouts.idle_ms = 10;
    owner.act_on = "head";
    owner.act = ACT_PAUSE;
    owner_start(&owner, &request);
    peer_accept(peer);
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    struct timer timer;
    bool is_late = false;
    timer_init(&timer, set_flag, &is_late);
    timer_set(world.loop, &timer, 60);
    world_wait(&world, &is_late);
    cr_assert_str_eq(owner.log, "head:200 piece:3 flush");
    exchange_resume(owner.exchange);
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.err, ERR_UPSTREAM_IDLE);
}

static const char *const log_until[][2] = {
    { "interim", "interim:103" },
    { "head", "interim:103 head:200" },
    { "piece", "interim:103 head:200 piece:2" },
    { "end", "interim:103 head:200 piece:2 end" },
    { "flush", "interim:103 head:200 piece:2 end flush" },
};

WorldTest(exchange, may_be_aborted_in_every_event)
{
    for (size_t i = 0; i < COUNT_OF(log_until); i++) {
        owner_fini(&owner);
        owner.act_on = log_until[i][0];
        owner.act = ACT_ABORT;
        struct exchange_request request = request_of(GET_HEAD, METHOD_GET);
        request.must_be_fresh = true;
        owner_start(&owner, &request);
        peer_accept(peer);
        peer_send(peer, "HTTP/1.1 103 Early Hints\r\n\r\n" OK_REPLY);
        world_wait(&world, &owner.is_over);
        world_turn(&world, 2);
        cr_expect_str_eq(owner.log, log_until[i][1], "in %s", log_until[i][0]);
    }
    cr_assert_eq(pools_idle(world.pools), 2, "the two that were complete are kept");

    owner_fini(&owner);
    owner.act_on = "failed";
    owner.act = ACT_ABORT;
    struct exchange_request request = request_of(GET_HEAD, METHOD_GET);
    request.must_be_fresh = true;
    owner_start(&owner, &request);
    peer_accept(peer);
    peer_close(peer);
    world_wait(&world, &owner.is_over);
    cr_assert_str_eq(owner.log, "failed");
}

WorldTest(exchange, may_be_aborted_at_any_time)
{
    exchange_abort(NULL);
    owner_get(&owner); /* dialing */
    exchange_abort(owner.exchange);
    world_turn(&world, 3);
    close(accept(peer->listen_fd, NULL, NULL)); /* if the dial came so far */
    owner_get(&owner);                          /* sent */
    peer_accept(peer);
    peer_expect(peer, "\r\n\r\n");
    exchange_abort(owner.exchange);
    cr_assert_eq(peer_wait_end(peer), 0, "the whole request was sent: a plain close");
    owner_get(&owner); /* in the reply */
    peer_accept(peer);
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    world_turn(&world, 3);
    cr_assert_str_eq(owner.log, "head:200 piece:3 flush");
    exchange_abort(owner.exchange);
    owner.exchange = NULL;
    cr_assert_eq(pools_idle(world.pools), 0);
}

static const char *const starts[] = { "end", "flush", "head" };

WorldTest(exchange, may_be_started_in_an_event_of_another)
{
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        owner_fini(&owner);
        owner_fini(&other);
        owner.act_on = starts[i];
        owner.act = ACT_START;
        owner.other = &other;
        const struct exchange_request request = request_of(GET_HEAD, METHOD_GET);
        talk(&request, i == 0);
        cr_assert_not_null(other.exchange);
        if (strcmp(starts[i], "head") == 0) {
            cr_assert_not(exchange_was_reused(other.exchange), "the only connection was still in use");
            peer_accept(peer);
        } else {
            cr_assert(exchange_was_reused(other.exchange), "the connection is back before %s", starts[i]);
        }
        peer_expect(peer, "\r\n\r\n");
        peer_send(peer, OK_REPLY);
        world_wait(&world, &other.is_over);
    }
}

WorldTest(exchange, may_be_started_when_another_failed)
{
    owner.act_on = "failed";
    owner.act = ACT_START;
    owner.other = &other;
    owner_get(&owner);
    peer_accept(peer);
    peer_close(peer);
    world_wait(&world, &owner.is_over);
    peer_accept(peer);
    peer_expect(peer, "\r\n\r\n");
    peer_send(peer, OK_REPLY);
    world_wait(&world, &other.is_over);
    cr_assert_eq(other.status, 200);
}

static struct exchange_request upgrade_request(void)
{
    struct exchange_request request = request_of(UPGRADE_HEAD, METHOD_GET);
    request.wants_upgrade = true;
    return request;
}

WorldTest(exchange, hands_an_upgraded_stream_over_with_what_came_behind)
{
    struct exchange_request request = upgrade_request();
    owner_start(&owner, &request);
    peer_accept(peer);
    peer_expect(peer, "\r\n\r\n");
    peer_send(peer, SWITCHING_REPLY "frame");
    world_turn(&world, 5);
    cr_assert_str_eq(owner.log, "head:101 flush");
    /* The scratch buffer serves another exchange meanwhile. */
    owner_get(&other);
    int tunnel_fd = peer->fd;
    peer->fd = -1;
    peer_accept(peer);
    peer_send(peer, OK_REPLY);
    world_wait(&world, &other.is_over);

    struct str extra;
    struct stream *stream = exchange_take_stream(owner.exchange, &extra);
    owner.exchange = NULL;
    cr_assert(str_eq(extra, STR("frame")));
    cr_assert_eq(stream_write(stream, "up", 2), 2);
    char up[2];
    cr_assert_eq(read(tunnel_fd, up, 2), 2);
    stream_close(stream);
    close(tunnel_fd);
    world_turn(&world, 2);
}

WorldTest(exchange, whose_upgrade_was_refused_is_like_any_other)
{
    struct exchange_request request = upgrade_request();
    run(&request, true);
    cr_assert_eq(pools_idle(world.pools), 1);
}

WorldTest(exchange, that_was_upgraded_may_still_be_aborted)
{
    struct exchange_request request = upgrade_request();
    owner_start(&owner, &request);
    peer_accept(peer);
    peer_send(peer, SWITCHING_REPLY);
    world_turn(&world, 5);
    cr_assert_eq(owner.status, 101);
    exchange_abort(owner.exchange);
    owner.exchange = NULL;
    peer_wait_end(peer);
}

WorldTest(exchange, on_a_kept_connection_costs_one_write_and_one_read)
{
    run_get(true);
    run_get(false);
    count_reset();
    run_get(false);
    cr_assert_eq(count_send, 1);
    cr_assert_eq(count_recv, 1);
}

/* The loop and the events are warm too: what allocates here is the owner's own body buffer. */
WorldTest(exchange, allocates_nothing_once_warm)
{
    run_get(true);
    run_get(false);
    owner_fini(&owner);
    buf_reserve(&owner.body, 64);
    buf_reserve(&peer->got, 65537);
    count_reset();
    owner_get(&owner);
    peer_expect(peer, "\r\n\r\n");
    peer_send(peer, OK_REPLY);
    world_wait(&world, &owner.is_over);
    cr_assert_eq(count_alloc, 0);
}

WorldTest(exchange, survives_every_failed_allocation)
{
    buf_reserve(&peer->got, 65537);
    for (unsigned n = 1; n < 12; n++) {
        owner_fini(&owner);
        buf_reserve(&owner.body, 64);
        struct exchange_request request = request_of(GET_HEAD, METHOD_GET);
        request.must_be_fresh = true;
        count_reset();
        count_alloc_fails_at = n;
        if (!owner_try(&owner, &request)) {
            count_reset();
            continue;
        }
        for (unsigned i = 0; i < 20 && !owner.is_over; i++) {
            loop_turn(world.loop, 1);
            int fd = accept(peer->listen_fd, NULL, NULL);
            if (fd >= 0) {
                peer->fd = fd;
                peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Le");
                world_turn(&world, 2);
                peer_send(peer, "ngth: 2\r\n\r\nok");
            }
        }
        count_reset();
        cr_assert(owner.is_over, "allocation %u: it ends one way or the other", n);
        cr_assert(owner.err == 0 || owner.err == ERR_NO_MEMORY || owner.err == ERR_CONNECT_FAILED,
                  "allocation %u: %s", n, err_word(owner.err));
    }
}
