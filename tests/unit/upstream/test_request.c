/* The way up: framing, backpressure, early replies, and uploads that are cut. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "peer.h"

#define CHUNKED_HEAD "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define LARGE_HEAD   "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 33554432\r\n\r\n"
#define EXPECT_HEAD  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
#define LARGE_BYTES  (32 * 1024 * 1024)

static struct world world;
static struct owner owner;
static struct peer *peer = &world.peers[0];
static char piece[64 * 1024];

static void set_up(void)
{
    world_open(&world, 1);
    owner_init(&owner, &world);
    memset(piece, 'x', sizeof piece);
}

static void tear_down(void)
{
    owner_fini(&owner);
    world_close(&world);
}

static struct exchange_request post(const char *head, enum framing upload, uint64_t bytes)
{
    struct exchange_request request = request_of(head, METHOD_POST);
    request.upload = upload;
    request.upload_bytes = bytes;
    request.is_body_whole = false;
    return request;
}

static void answer(void)
{
    peer_send(peer, OK_REPLY);
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.err, 0);
    cr_assert_eq(pools_idle(world.pools), 1);
}

static const struct {
    const char *head;
    enum framing upload;
    const char *body; /* given with the head */
    bool is_body_whole;
    const char *more; /* given after it; NULL: no end either */
    const char *wire;
} rows[] = {
    { GET_HEAD, FRAMING_NONE, "", true, NULL, GET_HEAD },
    { GET_HEAD, FRAMING_NONE, "", false, NULL, GET_HEAD },
    { POST_HEAD, FRAMING_LENGTH, "hello", true, NULL, POST_HEAD "hello" },
    { POST_HEAD, FRAMING_LENGTH, "hel", false, "lo", POST_HEAD "hello" },
    { POST_HEAD, FRAMING_LENGTH, "", false, "hello", POST_HEAD "hello" },
    { CHUNKED_HEAD, FRAMING_CHUNKED, "", true, NULL, CHUNKED_HEAD "0\r\n\r\n" },
    { CHUNKED_HEAD, FRAMING_CHUNKED, "hello", true, NULL, CHUNKED_HEAD "5\r\nhello\r\n0\r\n\r\n" },
    { CHUNKED_HEAD, FRAMING_CHUNKED, "he", false, "llo", CHUNKED_HEAD "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n" },
    { CHUNKED_HEAD, FRAMING_CHUNKED, "", false, "", CHUNKED_HEAD "0\r\n\r\n" },
};

static void check_row(size_t i, bool is_sent_while_dialing)
{
    struct exchange_request request = post(rows[i].head, rows[i].upload, 5);
    request.body = str_of(rows[i].body);
    request.is_body_whole = rows[i].is_body_whole;
    request.must_be_fresh = true;
    owner_fini(&owner);
    owner_start(&owner, &request);
    if (!is_sent_while_dialing) {
        peer_accept(peer);
        world_turn(&world, 3);
    }
    if (rows[i].more) {
        cr_expect(exchange_send(owner.exchange, str_of(rows[i].more)), "row %zu", i);
        exchange_send_end(owner.exchange, NULL);
    }
    if (is_sent_while_dialing)
        peer_accept(peer);
    peer_expect(peer, rows[i].wire);
    peer_send(peer, OK_REPLY);
    world_wait(&world, &owner.is_over);
    cr_expect_eq(owner.err, 0, "row %zu", i);
}

WorldTest(request, is_framed_as_its_head_says)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        check_row(i, true);
        check_row(i, false);
    }
}

WorldTest(request, trailers_follow_the_last_chunk)
{
    struct exchange_request request = post(CHUNKED_HEAD, FRAMING_CHUNKED, 0);
    struct body_in body;
    struct str in = STR("0\r\nDigest: x\r\nHost: evil\r\n\r\n");
    struct str out;
    body_in_init(&body, FRAMING_CHUNKED, 0, 1024);
    cr_assert_eq(body_in_next(&body, &in, &out), BODY_END);
    owner_start(&owner, &request);
    peer_accept(peer);
    exchange_send(owner.exchange, STR("a"));
    exchange_send_end(owner.exchange, &body);
    peer_expect(peer, "1\r\na\r\n0\r\nDigest: x\r\n\r\n");
    answer();
    body_in_fini(&body);
}

/* Sends pieces until the exchange has had enough or all is sent; returns what is left. */
static size_t fill(size_t left)
{
    while (left > 0) {
        left -= sizeof piece;
        if (!exchange_send(owner.exchange, str_n(piece, sizeof piece)))
            break;
    }
    return left;
}

WorldTest(request, larger_than_the_socket_takes_is_held_back_and_drained)
{
    struct exchange_request request = post(LARGE_HEAD, FRAMING_LENGTH, LARGE_BYTES);
    owner_start(&owner, &request);
    peer_accept(peer);
    size_t left = fill(LARGE_BYTES);
    cr_assert(left > 0, "at some point it is enough");
    char *waste = malloc(LARGE_BYTES);
    size_t got = 0;
    while (left > 0 || got < LARGE_BYTES + strlen(LARGE_HEAD)) {
        ssize_t n = read(peer->fd, waste, LARGE_BYTES);
        got += n > 0 ? (size_t)n : 0;
        loop_turn(world.loop, n > 0 ? 0 : 5);
        if (owner.is_drained) {
            owner.is_drained = false;
            left = fill(left);
        }
    }
    free(waste);
    cr_assert_eq(got, LARGE_BYTES + strlen(LARGE_HEAD));
    answer();
}

WorldTest(request, that_nobody_reads_fails_with_the_first_byte_timeout)
{
    struct exchange_request request = post(LARGE_HEAD, FRAMING_LENGTH, LARGE_BYTES);
    request.timeouts.first_byte_ms = 30;
    owner_start(&owner, &request);
    peer_accept(peer);
    peer_expect(peer, "\r\n\r\n");
    fill(LARGE_BYTES);
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.err, ERR_FIRST_BYTE_TIMEOUT);
}

static void on_late(void *flag)
{
    *(bool *)flag = true;
}

WorldTest(request, that_waits_for_its_client_is_not_the_servers_fault)
{
    struct exchange_request request = post(POST_HEAD, FRAMING_LENGTH, 5);
    request.timeouts.first_byte_ms = 10;
    owner_start(&owner, &request);
    peer_accept(peer);
    peer_expect(peer, "\r\n\r\n");
    struct timer timer;
    bool is_late = false;
    timer_init(&timer, on_late, &is_late);
    timer_set(world.loop, &timer, 60);
    world_wait(&world, &is_late);
    cr_assert_not(owner.is_over);
    exchange_send(owner.exchange, STR("hello"));
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.err, ERR_FIRST_BYTE_TIMEOUT);
}

WorldTest(request, waits_for_continue_within_the_first_byte_timeout)
{
    struct exchange_request request = post(EXPECT_HEAD, FRAMING_LENGTH, 5);
    request.expects_continue = true;
    request.timeouts.first_byte_ms = 50;
    owner_start(&owner, &request);
    peer_accept(peer);
    peer_expect(peer, "\r\n\r\n");
    peer_send(peer, "HTTP/1.1 100 Continue\r\n\r\n");
    world_turn(&world, 3);
    cr_assert_str_eq(owner.log, "continue");
    exchange_send(owner.exchange, STR("hello"));
    peer_expect(peer, "hello");
    answer();

    owner_fini(&owner);
    owner_start(&owner, &request);
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.err, ERR_FIRST_BYTE_TIMEOUT);
}

WorldTest(request, refused_instead_of_continued_is_over_and_its_connection_closed)
{
    struct exchange_request request = post(EXPECT_HEAD, FRAMING_LENGTH, 5);
    request.expects_continue = true;
    owner_start(&owner, &request);
    peer_accept(peer);
    peer_expect(peer, "\r\n\r\n");
    peer_send(peer, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.status, 417);
    cr_assert_eq(pools_idle(world.pools), 0);
}

WorldTest(request, answered_early_is_passed_on_and_not_reused)
{
    struct exchange_request request = post(LARGE_HEAD, FRAMING_LENGTH, LARGE_BYTES);
    owner_start(&owner, &request);
    peer_accept(peer);
    peer_expect(peer, "\r\n\r\n");
    fill(LARGE_BYTES);
    peer_send(peer, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.status, 413);
    cr_assert(owner_has_body(&owner, "no"));
    cr_assert_eq(pools_idle(world.pools), 0);
}

WorldTest(request, answered_early_by_a_server_that_closes_is_passed_on)
{
    struct exchange_request request = post(LARGE_HEAD, FRAMING_LENGTH, LARGE_BYTES);
    owner_start(&owner, &request);
    peer_accept(peer);
    peer_expect(peer, "\r\n\r\n");
    peer_send(peer, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    peer_close(peer);
    fill(LARGE_BYTES); /* into a closed socket: the write error must not hide the answer */
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.status, 413);
    cr_assert_eq(owner.err, 0);
}

WorldTest(request, broken_off_without_an_answer_fails_as_closed)
{
    struct exchange_request request = post(LARGE_HEAD, FRAMING_LENGTH, LARGE_BYTES);
    owner_start(&owner, &request);
    peer_accept(peer);
    peer_expect(peer, "\r\n\r\n");
    peer_reset(peer);
    fill(sizeof piece * 2);
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.err, ERR_UPSTREAM_CLOSED);
}

static const struct {
    const char *head;
    enum framing upload;
} cuts[] = { { POST_HEAD, FRAMING_LENGTH }, { CHUNKED_HEAD, FRAMING_CHUNKED } };

WorldTest(request, cut_by_its_client_ends_with_a_reset_never_as_if_complete)
{
    for (size_t i = 0; i < COUNT_OF(cuts); i++) {
        struct exchange_request request = post(cuts[i].head, cuts[i].upload, 5);
        request.must_be_fresh = true;
        owner_fini(&owner);
        owner_start(&owner, &request);
        peer_accept(peer);
        exchange_send(owner.exchange, STR("hel"));
        peer_expect(peer, "hel");
        exchange_abort(owner.exchange);
        owner.exchange = NULL;
        cr_expect_eq(peer_wait_end(peer), -1, "row %zu", i);
    }
}

WorldTest(request, may_be_aborted_when_told_to_continue)
{
    struct exchange_request request = post(EXPECT_HEAD, FRAMING_LENGTH, 5);
    request.expects_continue = true;
    owner.act_on = "continue";
    owner.act = ACT_ABORT;
    owner_start(&owner, &request);
    peer_accept(peer);
    peer_send(peer, "HTTP/1.1 100 Continue\r\n\r\n" OK_REPLY);
    world_wait(&world, &owner.is_over);
    world_turn(&world, 3);
    cr_assert_str_eq(owner.log, "continue");
}

WorldTest(request, may_be_aborted_when_drained)
{
    struct exchange_request request = post(LARGE_HEAD, FRAMING_LENGTH, LARGE_BYTES);
    owner.act_on = "drained";
    owner.act = ACT_ABORT;
    owner_start(&owner, &request); /* still dialing: all of this is kept, and goes out at once then */
    fill(LARGE_BYTES);
    peer_accept(peer);
    world_wait(&world, &owner.is_over);
    cr_assert_str_eq(owner.log, "drained");
    cr_assert_eq(peer_wait_end(peer), -1);
}

WorldTest(request, knows_if_any_of_the_body_went_out)
{
    struct exchange_request request = post(POST_HEAD, FRAMING_LENGTH, 5);
    owner_start(&owner, &request);
    peer_accept(peer);
    peer_expect(peer, "\r\n\r\n");
    cr_assert_not(exchange_has_sent_body(owner.exchange));
    exchange_send(owner.exchange, STR("h"));
    cr_assert(exchange_has_sent_body(owner.exchange));
}
