/* An exchange with a server that speaks TLS. The server's side is weir's own stream: what TLS does on the
 * wire is net's business and tested there. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "../net/certs.h"
#include "base/err.h"
#include "net/stream.h"
#include "net/tls.h"
#include "peer.h"

static struct world world;
static struct owner owner;
static struct peer *peer = &world.peers[0];
static struct cert ca;
static struct cert leaf;
static struct tls_server *tls;
static struct stream *server; /* the peer's side */

static void on_readable(void *arg)
{
    char bytes[1024];
    ssize_t n = stream_read(server, bytes, sizeof bytes);
    if (n > 0)
        buf_append(&peer->got, bytes, (size_t)n);
    else if (n != STREAM_AGAIN)
        stream_want_read(server, false);
}

static const struct stream_events server_events = { .on_readable = on_readable };

static void set_up(void)
{
    char error[256];
    cert_make(&ca, "a test's authority", NULL, NULL);
    cert_make(&leaf, "app.internal", "DNS:app.internal", &ca);
    const struct tls_certificate certificate = { leaf.certificate, leaf.key_path };
    tls = tls_server_new(&certificate, 1, NULL, NULL, error, sizeof error);
    cr_assert_not_null(tls, "%s", error);

    world_open(&world, 1);
    upstream_free(world.upstream);
    world.config.has_tls = true;
    world.config.tls_ca = str_of(ca.certificate);
    world.config.tls_server_name = STR("app.internal");
    world.upstream = upstream_new(&world.config, NULL, error, sizeof error);
    cr_assert_not_null(world.upstream, "%s", error);
    owner_init(&owner, &world);
}

static void tear_down(void)
{
    owner_fini(&owner);
    stream_close(server);
    tls_server_unref(tls);
    cert_free(&leaf);
    cert_free(&ca);
    certs_remove();
    world_close(&world);
}

static void accept_tls(void)
{
    peer_accept(peer);
    server = stream_new(world.loop, peer->fd, tls, &server_events, NULL);
    peer->fd = -1;
    stream_want_read(server, true);
}

static void serve(const char *reply)
{
    for (unsigned i = 0; i < 1000 && buf_len(&peer->got) < strlen(GET_HEAD); i++)
        loop_turn(world.loop, 5);
    cr_assert(str_eq(buf_str(&peer->got), STR(GET_HEAD)));
    buf_consume(&peer->got, buf_len(&peer->got));
    cr_assert_eq(stream_write(server, reply, strlen(reply)), (ssize_t)strlen(reply));
}

WorldTest(exchange_tls, keeps_its_connection_although_tickets_arrive)
{
    owner_get(&owner);
    accept_tls();
    serve(OK_REPLY);
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.err, 0);
    world_turn(&world, 10);
    cr_assert_eq(pools_idle(world.pools), 1);

    owner_fini(&owner);
    owner_get(&owner);
    cr_assert(exchange_was_reused(owner.exchange));
    serve(OK_REPLY);
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.err, 0);
    stream_close(server);
    server = NULL;
    world_turn(&world, 10);
    cr_assert_eq(pools_idle(world.pools), 0, "the goodbye is heard");
}

static const struct {
    bool is_cut;
    int err;
} ends[] = { { false, 0 }, { true, ERR_UPSTREAM_CUT } };

WorldTest(exchange_tls, body_to_the_close_ends_with_a_goodbye_only)
{
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        owner_fini(&owner);
        owner_get(&owner);
        accept_tls();
        serve("HTTP/1.1 200 OK\r\n\r\nto the end");
        world_turn(&world, 5);
        cr_assert_not(owner.is_over);
        if (ends[i].is_cut)
            shutdown(stream_fd(server), SHUT_WR);
        else
            stream_shutdown_write(server);
        world_wait(&world, &owner.is_over);
        cr_expect_eq(owner.err, ends[i].err, "row %zu: %s", i, err_word(owner.err));
        cr_expect(owner_has_body(&owner, "to the end"), "row %zu", i);
        stream_close(server);
        server = NULL;
    }
}

WorldTest(exchange_tls, refuses_a_server_of_another_name)
{
    char error[256];
    upstream_free(world.upstream);
    world.config.tls_server_name = STR("other.internal");
    world.upstream = upstream_new(&world.config, NULL, error, sizeof error);
    owner_get(&owner);
    accept_tls();
    world_wait(&world, &owner.is_over);
    cr_assert_eq(owner.err, ERR_UPSTREAM_TLS);
}

WorldTest(exchange_tls, megabytes_pass_whole)
{
    static char body[2 * 1024 * 1024];
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)(i * 31 >> 3);
    owner_get(&owner);
    accept_tls();
    serve("HTTP/1.1 200 OK\r\nContent-Length: 2097152\r\n\r\n");
    size_t sent = 0;
    while (sent < sizeof body) {
        ssize_t n = stream_write(server, body + sent, sizeof body - sent);
        cr_assert(n >= 0);
        sent += (size_t)n;
        loop_turn(world.loop, n > 0 ? 0 : 1);
    }
    stream_want_write(server, false);
    world_wait(&world, &owner.is_over);
    cr_assert(str_eq(buf_str(&owner.body), str_n(body, sizeof body)));
    cr_assert_eq(pools_idle(world.pools), 1);
}
