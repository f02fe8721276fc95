/* A client's connection: when it begins a request, waits, goes on or ends. */
#include "pipeline/client.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "visitor.h"

#define APP    "upstreams: {app: {primary: [\"@0\"]}}\n"
#define LENGTH "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd"
#define POST   "POST / HTTP/1.1\nHost: a\n\n"

static struct place place;
static struct visitor visitor;
static struct said said;

static void set_up(const char *yaml)
{
    place_open(&place, yaml);
    visitor_open(&visitor, &place, 0);
}

static void tear_down(void)
{
    said_fini(&said);
    visitor_close(&visitor);
    place_close(&place);
}

static void app_answers(const char *text)
{
    app_head(&place.apps[0]);
    app_send(&place.apps[0], text);
}

Test(client, a_head_may_come_byte_by_byte)
{
    static const char head[] = "\r\n\r\nPOST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    set_up(APP);
    for (size_t i = 0; head[i]; i++) {
        cr_assert_eq(send(visitor.fd, head + i, 1, 0), 1);
        place_turn(&place, 1);
    }
    cr_expect_not_null(strstr(app_head(&place.apps[0]), "\r\n\r\nbody"));
    app_send(&place.apps[0], LENGTH);
    said_hear(&said, &visitor, METHOD_POST);
    cr_expect_eq(said.status, 200);
    tear_down();
}

Test(client, between_two_requests_it_holds_no_memory)
{
    set_up(APP);
    visitor_say(&visitor, "POST / HTTP/1.1\nHost: a\nContent-Length: 4\n\nbo");
    visitor_say(&visitor, "dy");
    app_answers(LENGTH);
    said_hear(&said, &visitor, METHOD_POST);
    cr_expect_eq(visitor.client->state, CLIENT_IDLE);
    cr_expect_null(visitor.client->req);
    cr_expect_null(visitor.client->in.data);
    cr_expect_null(visitor.client->out.data);
    cr_expect_null(visitor.client->upload);
    tear_down();
}

Test(client, what_is_no_request_is_refused_and_ends_it)
{
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        { "GET / HTTP/1.1\nHost: a\nHost: b\n\n", 400 },
        { "GET / HTTP/2.0\nHost: a\n\n", 505 },
        { "nonsense\n\n", 400 },
        { "POST / HTTP/1.1\nHost: a\nContent-Length: 4\nTransfer-Encoding: chunked\n\n", 400 },
        { "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\nxyz\n", 400 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        set_up(APP);
        visitor_say(&visitor, rows[i].text);
        visitor_say(&visitor, POST); /* nothing behind it is read as a request */
        visitor_until_over(&visitor);
        said_hear(&said, &visitor, METHOD_POST);
        cr_expect_eq(said.status, rows[i].status, "row %zu: %d", i, said.status);
        cr_expect_not_null(said_field(&said, "Connection:"), "row %zu", i);
        cr_expect_eq(buf_len(&visitor.got), 0, "row %zu", i);
        cr_expect_eq(place.world->supplies[0].upstream->servers[0]->requests, 0, "row %zu", i);
        tear_down();
    }
}

Test(client, a_head_over_the_limit_is_refused_before_it_ends)
{
    static char lines[4000];
    set_up(APP "clients: {head_max: 2KiB}\n");
    int n = snprintf(lines, sizeof lines, "GET / HTTP/1.1\nHost: a\n");
    for (unsigned i = 0; i < 60; i++)
        n += snprintf(lines + n, sizeof lines - (size_t)n, "X-%u: %030d\n", i, 0);
    visitor_say(&visitor, lines);
    visitor_until_over(&visitor);
    said_hear(&said, &visitor, METHOD_GET);
    cr_expect_eq(said.status, 431);
    tear_down();
}

Test(client, half_a_head_is_told_when_its_time_is_up)
{
    set_up(APP "clients: {head_time: 100ms}\n");
    visitor_say(&visitor, "GET / HTTP/1.1\nHo");
    visitor_until_over(&visitor);
    said_hear(&said, &visitor, METHOD_GET);
    cr_expect_eq(said.status, 408);
    tear_down();

    set_up(APP "clients: {head_time: 100ms}\n");
    visitor_until_over(&visitor);
    cr_expect_eq(buf_len(&visitor.got), 0, "who said nothing is told nothing");
    tear_down();
}

Test(client, an_idle_connection_ends_without_a_word)
{
    set_up(APP "clients: {keepalive: 100ms}\n");
    visitor_say(&visitor, POST);
    app_answers(LENGTH);
    visitor_until_over(&visitor);
    said_hear(&said, &visitor, METHOD_POST);
    cr_expect_eq(said.status, 200);
    cr_expect_eq(buf_len(&visitor.got), 0);
    tear_down();
}

Test(client, a_body_that_stops_or_crawls_is_408)
{
    static const struct {
        const char *body;
        const char *reason;
    } rows[] = { { "", "\"body-timeout\"" }, { "bo", "\"body-too-slow\"" } };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        set_up(APP "clients: {body_idle: 100ms}\n");
        visitor_say(&visitor, "POST / HTTP/1.1\nHost: a\nContent-Length: 9\n\n");
        visitor_say(&visitor, rows[i].body);
        visitor_until_over(&visitor);
        said_hear(&said, &visitor, METHOD_POST);
        cr_expect_eq(said.status, 408);
        struct str body = buf_str(&said.body);
        cr_expect_not_null(memmem(body.data, body.len, rows[i].reason, strlen(rows[i].reason)), "%.*s",
                           STR_FMT(body));
        tear_down();
    }
}

Test(client, who_does_not_read_is_cut_off)
{
    static char text[300000];
    set_up(APP "clients: {write_stall: 100ms}\n");
    visitor_close(&visitor);
    visitor_open(&visitor, &place, 4608);
    memset(text, 'x', sizeof text);
    visitor_say(&visitor, "GET / HTTP/1.1\nHost: a\n\n");
    app_answers("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 300000\r\n\r\n");
    app_send_n(&place.apps[0], text, sizeof text);
    UNTIL(&place, place.lane->client_count == 0);
    visitor_until_over(&visitor);
    cr_expect_lt(buf_len(&visitor.got), sizeof text);
    tear_down();
}

Test(client, so_many_requests_and_then_another_connection)
{
    set_up(APP "clients: {keepalive_requests: 2}\n");
    for (unsigned i = 0; i < 2; i++) {
        visitor_say(&visitor, POST);
        app_answers(LENGTH);
        said_hear(&said, &visitor, METHOD_POST);
        cr_expect_eq(said_field(&said, "Connection:") != NULL, i == 1, "request %u", i);
    }
    visitor_until_over(&visitor);
    tear_down();
}

Test(client, an_address_has_so_many_connections)
{
    struct sockaddr_in peer = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000009) };
    int pair[2];
    char end;
    set_up(APP "clients: {per_address: 1}\n");
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    cr_expect_null(
        client_new(place.lane, &place.world->gates[0], pair[1], (struct sockaddr *)&peer, sizeof peer));
    cr_expect_eq(read(pair[0], &end, 1), 0, "it is closed");
    close(pair[0]);
    cr_expect_eq(place.lane->client_count, 1);
    cr_expect_eq(place.city.connections, 1);
    visitor_close(&visitor);
    cr_expect_eq(place.city.connections, 0);
    visitor_open(&visitor, &place, 0); /* its place is free again */
    tear_down();
}

Test(client, a_drain_waits_for_the_reply)
{
    set_up(APP);
    visitor_say(&visitor, POST);
    app_head(&place.apps[0]);
    place.lane->is_draining = true;
    client_drain(visitor.client);
    place_turn(&place, 3);
    app_send(&place.apps[0], LENGTH);
    visitor_until_over(&visitor);
    said_hear(&said, &visitor, METHOD_POST);
    cr_expect_eq(said.status, 200);
    cr_expect_str_eq(said_field(&said, "Connection:"), "close");
    tear_down();
}

Test(client, a_connection_lives_on_over_a_reload)
{
    set_up(APP);
    visitor_say(&visitor, POST);
    app_head(&place.apps[0]);
    cr_assert(place_reload(&place, APP));
    app_send(&place.apps[0], LENGTH);
    said_hear(&said, &visitor, METHOD_POST);
    cr_expect_eq(said.status, 200);
    cr_expect_null(place.lane->earlier);
    visitor_say(&visitor, POST);
    app_answers(LENGTH);
    said_hear(&said, &visitor, METHOD_POST);
    cr_expect_eq(said.status, 200);
    tear_down();
}

Test(client, what_is_sent_ahead_is_bounded)
{
    static char many[200000];
    set_up(APP);
    visitor_say(&visitor, POST);
    app_head(&place.apps[0]);
    memset(many, 'x', sizeof many);
    for (unsigned i = 0; i < 200; i++) {
        (void)!send(visitor.fd, many, sizeof many, MSG_DONTWAIT | MSG_NOSIGNAL);
        place_turn(&place, 1);
    }
    cr_expect_leq(buf_len(&visitor.client->in), 128 * 1024, "%zu", buf_len(&visitor.client->in));
    client_close(visitor.client);
    tear_down();
}

/* --- tunnels --- */

#define UPGRADE                                                                                  \
    "GET /ws HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Key: x\n" \
    "Sec-WebSocket-Version: 13\n\n"
#define SWITCH                                                                          \
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
    "Sec-WebSocket-Accept: y\r\n\r\n"

static void open_tunnel(void)
{
    visitor_say(&visitor, UPGRADE "early");
    const char *head = app_head(&place.apps[0]);
    cr_assert_not_null(strstr(head, "Upgrade: websocket\r\n"));
    app_send(&place.apps[0], SWITCH "hello");
    visitor_until(&visitor, "hello");
    cr_expect_not_null(
        memmem(buf_str(&visitor.got).data, buf_len(&visitor.got), "Sec-WebSocket-Accept: y\r\n", 25));
    app_expect(&place.apps[0], "early");
    cr_expect_eq(visitor.client->state, CLIENT_TUNNEL);
}

Test(client, a_tunnel_carries_bytes_both_ways)
{
    static char many[400000];
    set_up(APP);
    open_tunnel();
    visitor_say(&visitor, "ping");
    app_expect(&place.apps[0], "ping");
    app_send(&place.apps[0], "pong");
    visitor_until(&visitor, "pong");
    memset(many, 'm', sizeof many); /* more than it holds: each side's pace is the other's */
    size_t sent = 0;
    buf_consume(&visitor.got, buf_len(&visitor.got));
    for (unsigned i = 0; i < 20000 && buf_len(&visitor.got) < sizeof many; i++) {
        ssize_t n = sent < sizeof many
                        ? send(place.apps[0].fd, many + sent, sizeof many - sent, MSG_DONTWAIT | MSG_NOSIGNAL)
                        : 0;
        sent += n > 0 ? (size_t)n : 0;
        place_turn(&place, 1);
        visitor_read(&visitor, 3000);
    }
    cr_expect_eq(buf_len(&visitor.got), sizeof many);
    app_close(&place.apps[0]);
    visitor_until_over(&visitor);
    tear_down();
}

Test(client, a_tunnel_ends_with_its_client)
{
    char end;
    set_up(APP);
    open_tunnel();
    shutdown(visitor.fd, SHUT_WR);
    UNTIL(&place, recv(place.apps[0].fd, &end, 1, MSG_DONTWAIT) == 0);
    app_send(&place.apps[0], "last words");
    visitor_until(&visitor, "last words");
    app_close(&place.apps[0]);
    visitor_until_over(&visitor);
    UNTIL(&place, place.lane->client_count == 0);
    cr_expect_eq(place.lane->stats[LANE_REQUESTS], 1);
    tear_down();
}

Test(client, a_tunnel_can_be_closed_at_any_time)
{
    set_up(APP);
    open_tunnel();
    client_close(visitor.client);
    place_turn(&place, 2);
    place_assert_idle(&place);
    tear_down();
}

Test(client, a_refused_upgrade_is_an_ordinary_reply)
{
    set_up(APP);
    visitor_say(&visitor, UPGRADE);
    app_answers("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
    said_hear(&said, &visitor, METHOD_GET);
    cr_expect_eq(said.status, 403);
    cr_expect(said.is_whole);
    tear_down();
}

Test(client, a_route_may_refuse_upgrades)
{
    set_up(APP "routes: [{path: /ws, upgrade: none}]\n");
    visitor_say(&visitor, UPGRADE);
    const char *head = app_head(&place.apps[0]);
    cr_expect_null(head_field(head, "Upgrade:"));
    cr_expect_null(head_field(head, "Connection:"));
    app_send(&place.apps[0], SWITCH);
    said_hear(&said, &visitor, METHOD_GET);
    cr_expect_eq(said.status, 502, "nobody asked for that");
    tear_down();
}
