/* Clients who leave: at every wait, and in the middle of everything that is told to them. Whenever it is,
 * nothing stays held (place_close() looks), and a look at a traveller that is gone shows, since a place gives
 * memory back at once. */
#include <stdlib.h>

#include "pipeline/plugin.h"
#include "walk.h"

#define ONE_PLACE                                                                               \
    "upstreams: {app: {primary: [\"@0\"], limit: {concurrency: 1, queue: 2, queue_time: 10s}, " \
    "buffer: {request: 8B}}}\n"                                                                 \
    "clients: {rate: unlimited}\n"
#define GET    "GET /x HTTP/1.1\nHost: a"
#define POST   "POST /x HTTP/1.1\nHost: a"
#define LENGTH "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
#define KEEP   "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\n"

static struct place place;
static struct guest guests[3];
static struct guest *const guest = &guests[0];

static void set_up(const char *yaml)
{
    place.plugin_dir = PLUGINS;
    place_open(&place, yaml);
    for (unsigned i = 0; i < COUNT_OF(guests); i++)
        guest_init(&guests[i], &place);
}

static void tear_down(void)
{
    for (unsigned i = 0; i < COUNT_OF(guests); i++)
        guest_fini(&guests[i]);
    place_close(&place);
}

/* It left just now, and nothing of it is left. */
static void assert_gone(struct guest *who)
{
    cr_assert_eq(who->dones, 1, "recorded once");
    place_turn(&place, 2);
    place_assert_idle(&place);
}

Test(abandon, while_its_body_arrives)
{
    set_up(ONE_PLACE);
    guest_ask(guest, POST "\nContent-Length: 4");
    cr_assert_str_eq(guest->req->wait_why, "upload");
    guest_leave(guest);
    cr_expect_not(guest->wants_upload);
    assert_gone(guest);

    guest_ask(guest, POST "\nContent-Length: 4");
    guest_send(guest, "ab", false);
    guest_leave(guest);
    assert_gone(guest);
    tear_down();
}

Test(abandon, while_it_waits_for_its_turn)
{
    set_up(ONE_PLACE);
    guest_ask(&guests[0], POST);
    guest_ask(&guests[1], POST);
    cr_assert_str_eq(guests[1].req->fetch->wait_why, "permit");
    guest_leave(&guests[1]);
    cr_expect_eq(line_waiting(place.world->supplies[0].line), 0);
    guest_leave(&guests[0]);
    assert_gone(&guests[1]);
    tear_down();
}

Test(abandon, while_its_turn_is_being_told)
{
    set_up(ONE_PLACE);
    struct line *line = place.world->supplies[0].line;
    guest_ask(&guests[0], POST);
    guest_ask(&guests[1], POST);
    guest_leave(&guests[0]); /* gives its place to the second, whose post is on the way now */
    cr_assert_eq(line_inside(line), 1);
    cr_assert_eq(line_waiting(line), 0);
    guest_leave(&guests[1]);
    assert_gone(&guests[1]);
    tear_down();
}

Test(abandon, while_the_app_is_dialled_or_thinks)
{
    set_up(ONE_PLACE);
    guest_ask(guest, POST);
    guest_leave(guest); /* not even connected */
    assert_gone(guest);
    guest_ask(guest, POST);
    cr_assert_str_eq(guest->req->fetch->wait_why, "app");
    app_accept(&place.apps[0]);
    guest_leave(guest);
    assert_gone(guest);
    guest_ask(guest, POST);
    app_accept(&place.apps[0]);
    app_expect(&place.apps[0], "\r\n\r\n");
    guest_leave(guest);
    assert_gone(guest);
    tear_down();
}

Test(abandon, while_the_app_takes_the_body)
{
    set_up(ONE_PLACE);
    guest_ask(guest, POST "\nContent-Length: 20");
    guest_send(guest, "0123456789", false);
    app_head(&place.apps[0]);
    guest_leave(guest);
    assert_gone(guest);
    char byte;
    UNTIL(&place,
          recv(place.apps[0].fd, &byte, 1, MSG_DONTWAIT) == 0); /* a truncated upload is never completed */
    tear_down();
}

Test(abandon, while_somebody_else_fetches_it)
{
    set_up(ONE_PLACE);
    guest_ask(&guests[0], GET);
    guest_ask(&guests[1], GET);
    cr_assert_str_eq(guests[1].req->wait_why, "coalesced");
    guest_leave(&guests[1]);
    cr_assert_eq(guests[1].dones, 1);
    guest_leave(&guests[0]);
    assert_gone(&guests[0]);
    tear_down();
}

Test(abandon, while_the_news_is_on_its_way)
{
    static const char *const replies[] = { KEEP "abcd", LENGTH "abcd", "nonsense\r\n\r\n" };
    for (size_t i = 0; i < COUNT_OF(replies); i++) {
        set_up(ONE_PLACE);
        guest_ask(&guests[0], GET);
        guest_ask(&guests[1], GET);
        app_head(&place.apps[0]);
        app_send(&place.apps[0], replies[i]);
        /* The first is told within the turn in which the second's news is posted: it takes the second along.
         */
        for (unsigned k = 0; k < TURNS_MAX && guests[0].req; k++)
            loop_turn(place.lane->loop, 5);
        guest_leave(&guests[1]);
        assert_gone(&guests[0]);
        tear_down();
    }
}

Test(abandon, by_the_leader_makes_a_waiter_lead)
{
    set_up(ONE_PLACE);
    guest_ask(&guests[2], POST "\nConnection: close"); /* the upstream's place */
    guest_ask(&guests[0], GET);
    guest_ask(&guests[1], GET);
    guest_leave(&guests[0]); /* in the line; the fetch goes on for the second */
    guest_leave(&guests[1]);
    guest_leave(&guests[2]);
    place_turn(&place, 3);
    /* Nobody waits for it any more, but it was on its way. */
    if (place.lane->now->requests > 0) {
        app_head(&place.apps[0]);
        app_send(&place.apps[0], KEEP "abcd");
    }
    UNTIL(&place, place.lane->now->requests == 0);
    tear_down();
}

Test(abandon, while_a_reply_is_relayed)
{
    set_up(ONE_PLACE);
    guest_ask(guest, POST);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], LENGTH "ab");
    UNTIL(&place, buf_len(&guest->body) == 2);
    guest_leave(guest);
    assert_gone(guest);
    tear_down();
}

Test(abandon, while_more_of_a_growing_reply_is_awaited)
{
    set_up(ONE_PLACE);
    for (unsigned i = 0; i < 2; i++)
        guest_ask(&guests[i], GET);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], KEEP "ab");
    UNTIL(&place, buf_len(&guests[0].body) == 2 && buf_len(&guests[1].body) == 2);
    guest_leave(&guests[1]);
    app_send(&place.apps[0], "cd");
    guest_until_done(&guests[0]);
    cr_expect(guest_has_body(&guests[0], "abcd"));
    assert_gone(&guests[0]);
    tear_down();
}

Test(abandon, while_the_client_is_slow)
{
    set_up(ONE_PLACE);
    guest_meets(&guests[1], GET, &place.apps[0], KEEP "abcd");
    guest->room = 2;
    guest_ask(guest, GET);
    cr_assert_not_null(guest->req);
    guest_leave(guest);
    assert_gone(guest);
    guest->room = 2;
    guest_ask(guest, POST);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], LENGTH "abcd");
    UNTIL(&place, guest->stuck == 2);
    guest->stuck = 0;
    guest_leave(guest);
    assert_gone(guest);
    tear_down();
}

/* --- in the middle of what it is told --- */

static const enum guest_act acts[] = { GUEST_LEAVES_AT_BEGIN, GUEST_LEAVES_AT_WRITE };

Test(abandon, as_a_problem_is_told)
{
    for (size_t i = 0; i < COUNT_OF(acts); i++) {
        set_up(ONE_PLACE);
        guest->act = acts[i];
        guest_ask(guest, "GET / HTTP/1.1");
        assert_gone(guest);
        guest->act = acts[i];
        guest_ask(guest, GET "\nCache-Control: only-if-cached");
        assert_gone(guest);
        tear_down();
    }
}

Test(abandon, as_a_hit_is_told)
{
    for (size_t i = 0; i < COUNT_OF(acts); i++) {
        set_up(ONE_PLACE);
        guest_meets(guest, GET, &place.apps[0], KEEP "abcd");
        guest->act = acts[i];
        guest_ask(guest, GET);
        assert_gone(guest);
        guest->act = acts[i];
        guest_ask(guest, GET "\nRange: bytes=1-2");
        assert_gone(guest);
        tear_down();
    }
}

Test(abandon, as_a_reply_begins)
{
    static const char *const lines[] = { GET, POST, "HEAD /x HTTP/1.1\nHost: a" };
    static const char *const replies[] = { KEEP "abcd", LENGTH "abcd", KEEP };
    for (size_t i = 0; i < COUNT_OF(acts) * COUNT_OF(lines); i++) {
        set_up(ONE_PLACE);
        guest->act = acts[i % 2];
        guest_ask(guest, lines[i / 2]);
        app_head(&place.apps[0]);
        app_send(&place.apps[0], replies[i / 2]);
        UNTIL(&place, guest->dones == 1);
        UNTIL(&place, place.lane->now->requests == 0);
        assert_gone(guest);
        tear_down();
    }
}

Test(abandon, as_an_interim_reply_is_told)
{
    set_up(ONE_PLACE);
    guest->act = GUEST_LEAVES_AT_INTERIM;
    guest_ask(guest, POST);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n");
    guest_until_done(guest);
    assert_gone(guest);
    tear_down();
}

Test(abandon, as_it_is_told_to_go_on)
{
    set_up(ONE_PLACE);
    guest->act = GUEST_LEAVES_AT_INTERIM; /* a small body: weir itself says so */
    guest_ask(guest, POST "\nContent-Length: 4\nExpect: 100-continue");
    assert_gone(guest);

    guest->act = GUEST_LEAVES_AT_INTERIM; /* a large one: the app does */
    guest_ask(guest, POST "\nContent-Length: 400\nExpect: 100-continue");
    app_head(&place.apps[0]);
    app_send(&place.apps[0], "HTTP/1.1 100 Continue\r\n\r\n");
    guest_until_done(guest);
    assert_gone(guest);

    guest->act = GUEST_LEAVES_AT_INTERIM; /* or it says nothing for a second */
    guest_ask(guest, POST "\nContent-Length: 400\nExpect: 100-continue");
    app_head(&place.apps[0]);
    guest_until_done(guest);
    assert_gone(guest);
    tear_down();
}

/* --- what its upload does --- */

Test(abandon, an_upload_that_fails_is_told_while_it_can_be)
{
    static const struct {
        const char *length;
        const char *piece;
    } rows[] = {
        { "\nContent-Length: 4", "ab" },          /* being read */
        { "\nContent-Length: 40", "0123456789" }, /* being sent on */
        { "\nTransfer-Encoding: chunked", "ab" },
    };
    set_up(ONE_PLACE);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char lines[128];
        snprintf(lines, sizeof lines, POST "%s", rows[i].length);
        guest_ask(guest, lines);
        guest_send(guest, rows[i].piece, false);
        request_upload_failed(guest->req, ERR_BODY_TIMEOUT);
        cr_expect_eq(guest_status(guest), 408, "row %zu", i);
        cr_expect_str_eq(guest_reason(guest), "body-timeout", "row %zu", i);
        assert_gone(guest);
    }
    tear_down();
}

Test(abandon, an_early_reply_stays_when_the_upload_fails)
{
    set_up(ONE_PLACE);
    guest_ask(guest, POST "\nContent-Length: 40");
    guest_send(guest, "0123456789", false);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], "HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno");
    guest_until_done(guest);
    cr_expect_eq(guest_status(guest), 413);
    cr_expect(guest_has_body(guest, "no"));
    assert_gone(guest);
    tear_down();
}

/* --- bounded both ways --- */

static char *bytes_of(size_t n)
{
    char *bytes = malloc(n);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)('a' + (i * 7 + i / 251) % 26);
    return bytes;
}

/* The app sends all it can; the client reads in steps. Both move together. */
static void pump(const char *bytes, size_t size, size_t step)
{
    size_t sent = 0;
    size_t most = 0;
    for (unsigned i = 0; i < 100000 && guest->req; i++) {
        ssize_t n =
            sent < size ? send(place.apps[0].fd, bytes + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        sent += n > 0 ? (size_t)n : 0;
        loop_turn(place.lane->loop, 0);
        most = guest->stuck > most ? guest->stuck : most;
        guest_read(guest, step);
    }
    cr_assert_null(guest->req);
    cr_assert_eq(buf_len(&guest->body), size);
    cr_expect_eq(memcmp(buf_str(&guest->body).data, bytes, size), 0);
    cr_expect_leq(most, 64 * 1024 + 512 * 1024, "what a slow client has not read is bounded: %zu", most);
}

Test(abandon, a_relayed_reply_goes_at_its_readers_pace)
{
    const size_t size = 6 << 20;
    char *bytes = bytes_of(size);
    set_up("upstreams: {app: {primary: [\"@0\"], buffer: {reply: 64KiB}}}\n");
    guest->room = 0;
    guest_ask(guest, POST);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], "HTTP/1.1 200 OK\r\nContent-Length: 6291456\r\n\r\n");
    pump(bytes, size, 50000);
    free(bytes);
    tear_down();
}

Test(abandon, a_reply_too_large_to_store_does_too)
{
    const size_t size = 6 << 20;
    char *bytes = bytes_of(size);
    set_up("upstreams: {app: {primary: [\"@0\"], buffer: {reply: 64KiB}}}\ncache: {memory: 1MiB, object_max: "
           "64KiB}\n");
    guest->room = 0;
    guest_ask(guest, GET);
    app_head(&place.apps[0]);
    app_send(&place.apps[0],
             "HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\n\r\n"); /* its length shows late */
    size_t sent = 0;
    for (unsigned i = 0; i < 300; i++) { /* without a reader the app is not heard for long */
        ssize_t n = send(place.apps[0].fd, bytes + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        loop_turn(place.lane->loop, 0);
    }
    cr_assert_not_null(guest->req);
    cr_expect(object_is_window(guest->req->reader.object));
    cr_expect_leq(object_held_bytes(guest->req->reader.object), 1024 * 1024);
    for (unsigned i = 0; i < 100000 && guest->req; i++) {
        ssize_t n =
            sent < size ? send(place.apps[0].fd, bytes + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        sent += n > 0 ? (size_t)n : 0;
        if (sent == size && place.apps[0].fd >= 0)
            app_close(&place.apps[0]);
        loop_turn(place.lane->loop, 0);
        guest_read(guest, 50000);
    }
    cr_assert_null(guest->req);
    cr_assert_eq(buf_len(&guest->body), size);
    cr_expect_eq(memcmp(buf_str(&guest->body).data, bytes, size), 0);
    guest->room = SIZE_MAX;
    guest_meets(guest, GET, &place.apps[0], LENGTH "abcd");
    cr_expect_eq(guest_status(guest), 200, "it was not kept");
    free(bytes);
    tear_down();
}

Test(abandon, a_window_ends_with_its_last_reader)
{
    const size_t size = 1 << 20;
    char *bytes = bytes_of(size);
    set_up("upstreams: {app: {primary: [\"@0\"], buffer: {reply: 64KiB}}}\ncache: {memory: 1MiB, object_max: "
           "64KiB}\n");
    guest->room = 0;
    guest_ask(guest, GET);
    app_head(&place.apps[0]);
    app_send(&place.apps[0], "HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\n\r\n");
    size_t sent = 0;
    for (unsigned i = 0; i < 100; i++) {
        ssize_t n = send(place.apps[0].fd, bytes + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        loop_turn(place.lane->loop, 0);
    }
    cr_assert(object_is_window(guest->req->reader.object));
    guest_leave(guest);
    UNTIL(&place, place.lane->now->requests == 0);
    free(bytes);
    tear_down();
}
