/* What a server may answer, and what the owner of the exchange hears of it. */
#include <criterion/criterion.h>

#include "base/err.h"
#include "peer.h"

#define OK_HEAD  "HTTP/1.1 200 OK\r\n"
#define CHUNKED  OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
#define HINTS    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
#define FOUR(x)  x x x x

struct row {
    const char *reply;
    enum method method;
    bool is_closed; /* the server closes behind it */
    int status;     /* 0: no head is heard of */
    const char *body;
    int err; /* 0: it ends well */
    bool is_kept;
};

static const struct row rows[] = {
    { OK_REPLY, METHOD_GET, false, 200, "ok", 0, true },
    { OK_HEAD "Content-Length: 0\r\n\r\n", METHOD_GET, false, 200, "", 0, true },
    { OK_HEAD "Content-Length: 2\r\nConnection: close\r\n\r\nok", METHOD_GET, false, 200, "ok", 0, false },
    { CHUNKED "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", METHOD_GET, false, 200, "abcde", 0, true },
    { CHUNKED "0\r\n\r\n", METHOD_GET, false, 200, "", 0, true },
    { OK_HEAD "\r\nto the end", METHOD_GET, true, 200, "to the end", 0, false },
    { "HTTP/1.0 200 OK\r\n\r\nold", METHOD_GET, true, 200, "old", 0, false },
    { "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", METHOD_GET, false, 200, "old", 0, false },
    { "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nold", METHOD_GET, false, 200,
      "old", 0, true },
    /* RFC 9112 6.3: these end at their head, whatever it declares. */
    { OK_HEAD "Content-Length: 99\r\n\r\n", METHOD_HEAD, false, 200, "", 0, true },
    { OK_HEAD "Transfer-Encoding: chunked\r\n\r\n", METHOD_HEAD, false, 200, "", 0, true },
    { "HTTP/1.1 204 No Content\r\n\r\n", METHOD_GET, false, 204, "", 0, true },
    { "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", METHOD_GET, false, 304, "", 0, true },
    /* Bytes behind the end: the reply is fine, the connection is not. */
    { OK_REPLY "x", METHOD_GET, false, 200, "ok", 0, false },
    { OK_REPLY OK_REPLY, METHOD_GET, false, 200, "ok", 0, false },
    { OK_HEAD "Content-Length: 2\r\n\r\nxx", METHOD_HEAD, false, 200, "", 0, false },
    { "HTTP/1.1 204 No Content\r\n\r\nbody", METHOD_GET, false, 204, "", 0, false },
    /* Interim ones. */
    { CONTINUE OK_REPLY, METHOD_GET, false, 200, "ok", 0, true },
    { HINTS HINTS OK_REPLY, METHOD_GET, false, 200, "ok", 0, true },
    { FOUR(FOUR(HINTS)) OK_REPLY, METHOD_GET, false, 200, "ok", 0, true },
    { FOUR(FOUR(HINTS)) HINTS OK_REPLY, METHOD_GET, false, 0, "", ERR_UPSTREAM_BAD_REPLY, false },
    { FOUR(FOUR(CONTINUE)) CONTINUE OK_REPLY, METHOD_GET, false, 0, "", ERR_UPSTREAM_BAD_REPLY, false },
    { "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", METHOD_GET,
      false, 0, "", ERR_UPSTREAM_BAD_REPLY, false },
    /* Not HTTP, or not to be trusted. */
    { "hello\r\n\r\n", METHOD_GET, false, 0, "", ERR_UPSTREAM_BAD_REPLY, false },
    { "HTTP/1.1 20 OK\r\n\r\n", METHOD_GET, false, 0, "", ERR_UPSTREAM_BAD_REPLY, false },
    { "HTTP/2.0 200 OK\r\n\r\n", METHOD_GET, false, 0, "", ERR_UPSTREAM_BAD_REPLY, false },
    { OK_HEAD "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", METHOD_GET, false, 0, "",
      ERR_UPSTREAM_BAD_REPLY, false },
    { OK_HEAD "Content-Length: +2\r\n\r\nok", METHOD_GET, false, 0, "", ERR_UPSTREAM_BAD_REPLY, false },
    { OK_HEAD "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_GET, false, 0, "",
      ERR_UPSTREAM_BAD_REPLY, false },
    { OK_HEAD "Na me: x\r\n\r\n", METHOD_GET, false, 0, "", ERR_UPSTREAM_BAD_REPLY, false },
    { OK_HEAD "A: b\n\r\n", METHOD_GET, false, 0, "", ERR_UPSTREAM_BAD_REPLY, false },
    { OK_HEAD "A: b\r\n c\r\n\r\n", METHOD_GET, false, 0, "", ERR_UPSTREAM_BAD_REPLY, false },
    { CHUNKED "3\r\nabcX", METHOD_GET, false, 200, "abc", ERR_UPSTREAM_BAD_REPLY, false },
    { CHUNKED "0x3\r\nabc\r\n", METHOD_GET, false, 200, "", ERR_UPSTREAM_BAD_REPLY, false },
    /* Cut. */
    { "", METHOD_GET, true, 0, "", ERR_UPSTREAM_CLOSED, false },
    { "HTTP/1.1 200", METHOD_GET, true, 0, "", ERR_UPSTREAM_CUT, false },
    { HINTS, METHOD_GET, true, 0, "", ERR_UPSTREAM_CUT, false },
    { OK_HEAD "Content-Length: 9\r\n\r\nabc", METHOD_GET, true, 200, "abc", ERR_UPSTREAM_CUT, false },
    { CHUNKED "3\r\nabc\r\n", METHOD_GET, true, 200, "abc", ERR_UPSTREAM_CUT, false },
    { CHUNKED "3\r\nabc\r\n0\r\n", METHOD_GET, true, 200, "abc", ERR_UPSTREAM_CUT, false },
};

static void send_in_pieces(struct peer *peer, const char *text, size_t piece)
{
    for (size_t len = strlen(text); len > 0;) {
        size_t n = len < piece ? len : piece;
        peer_send_n(peer, text, n);
        loop_turn(peer->loop, 0);
        text += n;
        len -= n;
    }
}

static void check_row(const struct row *row, size_t index, size_t piece)
{
    struct world world;
    struct owner owner;
    world_open(&world, 1);
    owner_init(&owner, &world);
    struct exchange_request request = request_of(GET_HEAD, row->method);
    owner_start(&owner, &request);
    peer_accept(&world.peers[0]);
    peer_expect(&world.peers[0], "\r\n\r\n");

    if (piece == 0)
        peer_send(&world.peers[0], row->reply);
    else
        send_in_pieces(&world.peers[0], row->reply, piece);
    if (row->is_closed)
        peer_close(&world.peers[0]);
    world_wait(&world, &owner.is_over);
    world_turn(&world, 2);

    cr_expect_eq(owner.status, row->status, "row %zu by %zu: status %d", index, piece, owner.status);
    cr_expect(owner_has_body(&owner, row->body), "row %zu by %zu: body", index, piece);
    cr_expect_eq(owner.err, row->err, "row %zu by %zu: %s", index, piece, err_word(owner.err));
    cr_expect_eq(pools_idle(world.pools), row->is_kept, "row %zu by %zu: kept", index, piece);
    owner_fini(&owner);
    world_close(&world);
}

Test(reply, is_heard_as_it_was_said)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        check_row(&rows[i], i, 0);
}

Test(reply, means_the_same_byte_by_byte)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        check_row(&rows[i], i, 1);
}

static void begin(struct world *world, struct owner *owner)
{
    world_open(world, 1);
    owner_init(owner, world);
    owner_get(owner);
    peer_accept(&world->peers[0]);
    peer_expect(&world->peers[0], "\r\n\r\n");
}

static void finish(struct world *world, struct owner *owner)
{
    owner_fini(owner);
    world_close(world);
}

Test(reply, of_one_segment_is_one_batch)
{
    struct world world;
    struct owner owner;
    begin(&world, &owner);
    peer_send(&world.peers[0], OK_REPLY);
    world_wait(&world, &owner.is_over);
    cr_assert_str_eq(owner.log, "head:200 piece:2 end flush");
    finish(&world, &owner);
}

Test(reply, head_in_parts_is_one_head_and_each_read_is_flushed)
{
    struct world world;
    struct owner owner;
    begin(&world, &owner);
    peer_send(&world.peers[0], "HTTP/1.1 200 OK\r\nContent-Le");
    world_turn(&world, 3);
    cr_assert_str_eq(owner.log, "");
    peer_send(&world.peers[0], "ngth: 6\r\n\r\nab");
    world_turn(&world, 3);
    cr_assert_str_eq(owner.log, "head:200 piece:2 flush");
    peer_send(&world.peers[0], "cdef");
    world_wait(&world, &owner.is_over);
    cr_assert_str_eq(owner.log, "head:200 piece:2 flush piece:4 end flush");
    cr_assert(owner_has_body(&owner, "abcdef"));
    finish(&world, &owner);
}

Test(reply, interims_are_told_apart)
{
    struct world world;
    struct owner owner;
    begin(&world, &owner);
    peer_send(&world.peers[0], CONTINUE HINTS OK_REPLY);
    world_wait(&world, &owner.is_over);
    cr_assert_str_eq(owner.log, "interim:103 head:200 piece:2 end flush",
                     "a 100 that nobody waits for is no news");
    finish(&world, &owner);
}

Test(reply, trailers_come_with_the_end)
{
    struct world world;
    struct owner owner;
    begin(&world, &owner);
    peer_send(&world.peers[0], CHUNKED "1\r\na\r\n0\r\nDigest: x\r\nContent-Length: 9\r\n\r\n");
    world_wait(&world, &owner.is_over);
    cr_assert_str_eq(owner.trailers, "Digest=x;", "RFC 9110 6.5.1: framing is no trailer");
    finish(&world, &owner);
}

Test(reply, reset_in_a_close_delimited_body_is_no_end)
{
    struct world world;
    struct owner owner;
    begin(&world, &owner);
    peer_send(&world.peers[0], OK_HEAD "\r\nabc");
    world_turn(&world, 3);
    peer_reset(&world.peers[0]);
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.err, ERR_UPSTREAM_CUT);
    finish(&world, &owner);
}

Test(reply, large_head_is_refused_before_it_is_all_kept)
{
    struct world world;
    struct owner owner;
    begin(&world, &owner);
    peer_send(&world.peers[0], OK_HEAD);
    char line[4096];
    memset(line, 'a', sizeof line);
    memcpy(line, "X: ", 3);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    for (unsigned i = 0; i < 17 && !owner.is_over; i++)
        peer_send_n(&world.peers[0], line, sizeof line);
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.err, ERR_UPSTREAM_BAD_REPLY);
    finish(&world, &owner);
}

Test(reply, megabytes_pass_whole_and_keep_the_connection)
{
    struct world world;
    struct owner owner;
    begin(&world, &owner);
    static char body[3 * 1024 * 1024];
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)(i * 31 >> 3);
    peer_send(&world.peers[0], OK_HEAD "Content-Length: 3145728\r\n\r\n");
    peer_send_n(&world.peers[0], body, sizeof body);
    world_wait(&world, &owner.is_over);
    cr_assert(str_eq(buf_str(&owner.body), str_n(body, sizeof body)));
    cr_assert_eq(pools_idle(world.pools), 1);
    finish(&world, &owner);
}

Test(reply, waits_while_paused)
{
    struct world world;
    struct owner owner;
    begin(&world, &owner);
    owner.act_on = "head";
    owner.act = ACT_PAUSE;
    peer_send(&world.peers[0], OK_HEAD "Content-Length: 4\r\n\r\nab");
    world_turn(&world, 3);
    peer_send(&world.peers[0], "cd");
    world_turn(&world, 3);
    cr_assert_str_eq(owner.log, "head:200 piece:2 flush", "what was read is told, more is not read");
    exchange_resume(owner.exchange);
    cr_assert_str_eq(owner.log, "head:200 piece:2 flush", "nothing happens within resume");
    world_wait(&world, &owner.is_over);
    cr_assert(owner_has_body(&owner, "abcd"));
    finish(&world, &owner);
}

Test(reply, may_end_while_paused)
{
    struct world world;
    struct owner owner;
    begin(&world, &owner);
    owner.act_on = "head";
    owner.act = ACT_PAUSE;
    peer_send(&world.peers[0], OK_REPLY);
    world_wait(&world, &owner.is_over);
    cr_assert_str_eq(owner.log, "head:200 piece:2 end flush");
    cr_assert_eq(pools_idle(world.pools), 1);
    peer_close(&world.peers[0]);
    world_turn(&world, 3);
    cr_assert_eq(pools_idle(world.pools), 0, "the idle connection is watched although its reply was paused");
    finish(&world, &owner);
}
