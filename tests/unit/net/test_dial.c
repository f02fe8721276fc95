#include "certs.h"
#include "pair.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "net/dial.h"
#include "net/listener.h"
#include "net/tls.h"

static struct loop *loop;
static char error[256];

struct result {
    unsigned calls;
    struct stream *stream;
    int err;
};

static void on_done(void *arg, struct stream *stream, int err)
{
    struct result *result = arg;
    static struct counted counted;
    result->calls++;
    result->stream = stream;
    result->err = err;
    if (stream)
        stream_set_owner(stream, &counted_events, &counted);
}

static struct addr address(const char *text)
{
    struct addr addr;
    cr_assert(addr_parse(str_of(text), &addr), "%s", text);
    return addr;
}

/* A listening socket on a port of the kernel's; *out_addr says where, under the given host. */
static int listening(const char *host, struct addr *out_addr)
{
    struct addr any = address("127.0.0.1:0");
    struct addr bound;
    char text[128];
    int fd;
    cr_assert_eq(listener_open(&any, 1, &fd, &bound), 0);
    snprintf(text, sizeof text, "%s:%u", host, bound.port);
    *out_addr = address(text);
    return fd;
}

static struct result dial_to(const struct addr *addr, struct tls_client *tls, const char *server_name,
                             int64_t timeout_ms)
{
    struct result result = { 0 };
    struct endpoint *endpoint = endpoint_new(addr);
    struct dial *dial = dial_start(loop, endpoint, tls, server_name, timeout_ms, on_done, &result);
    cr_assert_not_null(dial);
    cr_assert_eq(result.calls, 0, "never from within dial_start()");
    endpoint_unref(endpoint);
    while (result.calls == 0)
        loop_turn(loop, -1);
    loop_turn(loop, 0);
    cr_assert_eq(result.calls, 1);
    cr_assert_eq(result.stream == NULL, result.err != 0);
    return result;
}

static void setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    loop = loop_new();
}

static void teardown(void)
{
    loop_free(loop);
}

TestSuite(dial, .init = setup, .fini = teardown, .timeout = 20);

Test(dial, connects_and_hands_over_a_stream)
{
    static const char *const hosts[] = { "127.0.0.1", "localhost" };

    for (unsigned i = 0; i < 2; i++) {
        struct addr addr;
        char byte;
        int fd = listening(hosts[i], &addr);
        struct result result = dial_to(&addr, NULL, NULL, i ? 5000 : -1);
        cr_assert_eq(result.err, 0, "%s: %s", hosts[i], err_word(result.err));
        while (stream_write(result.stream, "x", 1) == 0)
            loop_turn(loop, 0);
        int peer;
        while ((peer = accept(fd, NULL, NULL)) < 0)
            ;
        cr_assert_eq(read(peer, &byte, 1), 1);
        stream_close(result.stream);
        close(peer);
        close(fd);
    }
}

Test(dial, connects_to_unix_sockets)
{
    char dir[] = "/tmp/weir-test-XXXXXX";
    char text[64];
    int fd;
    cr_assert_not_null(mkdtemp(dir));
    snprintf(text, sizeof text, "unix:%s/s", dir);
    struct addr addr = address(text);
    cr_assert_eq(listener_open(&addr, 1, &fd, NULL), 0);
    struct result result = dial_to(&addr, NULL, NULL, 1000);
    cr_assert_eq(result.err, 0);
    stream_close(result.stream);
    close(fd);
    cr_assert_eq(dial_to(&addr, NULL, NULL, 1000).err, ERR_CONNECT_REFUSED,
                 "the file is there, nobody listens");
    unlink(addr.host);
    cr_assert_eq(dial_to(&addr, NULL, NULL, 1000).err, ERR_CONNECT_FAILED);
    rmdir(dir);
}

Test(dial, says_refused_when_nobody_listens)
{
    struct addr addr;
    close(listening("127.0.0.1", &addr));
    cr_assert_eq(dial_to(&addr, NULL, NULL, 1000).err, ERR_CONNECT_REFUSED);
    addr = address("localhost:1");
    cr_assert_eq(dial_to(&addr, NULL, NULL, 1000).err, ERR_CONNECT_REFUSED,
                 "after every address of the name");
}

/* A full accept queue swallows the handshake, as a dead host would. */
Test(dial, says_timeout_when_nobody_answers)
{
    struct addr addr;
    int fd = listening("127.0.0.1", &addr);
    int waiting[4];
    listen(fd, 0);
    for (unsigned i = 0; i < 4; i++) {
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(waiting[i], (struct sockaddr *)&addr.sa, addr.sa_len);
    }
    int64_t start_ns = loop_tick_ns(loop);
    struct result result = dial_to(&addr, NULL, NULL, 100);
    cr_assert_eq(result.err, ERR_CONNECT_TIMEOUT, "%s", err_word(result.err));
    cr_assert_geq(loop_tick_ns(loop) - start_ns, 100000000);
    for (unsigned i = 0; i < 4; i++)
        close(waiting[i]);
    close(fd);
}

Test(dial, a_name_that_does_not_exist_fails)
{
    /* A label over 63 bytes: refused without asking a server. */
    struct addr addr =
        address("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid:80");
    struct endpoint *endpoint = endpoint_new(&addr);
    struct result result = { 0 };
    dial_start(loop, endpoint, NULL, NULL, 15000, on_done, &result);
    while (result.calls == 0)
        loop_turn(loop, -1);
    cr_assert_eq(result.err, ERR_CONNECT_FAILED, "%s", err_word(result.err));
    endpoint_unref(endpoint);
}

Test(dial, a_cancelled_one_says_nothing)
{
    struct result result = { 0 };
    struct addr addr;
    int fd = listening("localhost", &addr);
    struct endpoint *endpoint = endpoint_new(&addr);

    /* At once, while looking up, and at every later point of it. */
    dial_cancel(dial_start(loop, endpoint, NULL, NULL, 1000, on_done, &result));
    dial_cancel(NULL);
    for (int turns = 0; turns < 4; turns++) {
        struct dial *dial = dial_start(loop, endpoint, NULL, NULL, 1000, on_done, &result);
        for (int i = 0; i < turns && result.calls == 0; i++)
            loop_turn(loop, 0);
        if (result.calls == 0)
            dial_cancel(dial);
        for (int i = 0; i < 5; i++)
            loop_turn(loop, 0);
        stream_close(result.stream);
        result = (struct result){ 0 };
    }
    endpoint_unref(endpoint);
    close(fd);
}

/* --- TLS --- */

struct tls_peer {
    int fd;
    struct tls_server *tls;
    struct listener *listener;
    struct stream *stream;
    struct counted counted;
};

static void on_accept(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
    struct tls_peer *tls_peer = arg;
    tls_peer->stream = stream_new(loop, fd, tls_peer->tls, &counted_events, &tls_peer->counted);
}

static void tls_peer_init(struct tls_peer *peer, const struct cert *cert, struct addr *out_addr)
{
    struct tls_certificate certificate = { cert->certificate, cert->key_path };
    *peer = (struct tls_peer){ .fd = listening("127.0.0.1", out_addr) };
    peer->tls = tls_server_new(&certificate, 1, NULL, NULL, error, sizeof error);
    cr_assert_not_null(peer->tls, "%s", error);
    peer->listener = listener_new(loop, peer->fd, on_accept, peer);
}

static void tls_peer_fini(struct tls_peer *peer)
{
    stream_close(peer->stream);
    listener_free(peer->listener);
    tls_server_unref(peer->tls);
    close(peer->fd);
}

Test(dial, verifies_the_chain_and_the_name)
{
    struct cert ca;
    struct cert leaf;
    struct cert stranger;
    cert_make(&ca, "authority", NULL, NULL);
    cert_make(&leaf, "leaf", "DNS:leaf.example,DNS:*.wild.example,IP:127.0.0.1", &ca);
    cert_make(&stranger, "leaf", "DNS:leaf.example", NULL);
    const struct {
        const struct cert *cert;
        const char *name;
        int want;
    } rows[] = {
        { &leaf, "leaf.example", 0 },
        { &leaf, "a.wild.example", 0 },
        { &leaf, "127.0.0.1", 0 },
        { &leaf, "other.example", ERR_UPSTREAM_TLS },
        { &leaf, "127.0.0.2", ERR_UPSTREAM_TLS },
        { &leaf, "leaf", ERR_UPSTREAM_TLS },
        { &stranger, "leaf.example", ERR_UPSTREAM_TLS },
    };
    struct tls_client *client = tls_client_new(ca.certificate, error, sizeof error);

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tls_peer peer;
        struct addr addr;
        tls_peer_init(&peer, rows[i].cert, &addr);
        struct result result = dial_to(&addr, client, rows[i].name, 5000);
        cr_expect_eq(result.err, rows[i].want, "row %zu: %s", i, err_word(result.err));
        if (result.stream) {
            char byte;
            cr_expect(stream_is_tls(result.stream));
            cr_expect_eq(stream_write(result.stream, "x", 1), 1);
            while (stream_read(peer.stream, &byte, 1) == STREAM_AGAIN)
                loop_turn(loop, 0);
            cr_expect_eq(byte, 'x');
            cr_expect_not(stream_is_stale(result.stream), "a session ticket is nothing the peer said");
            stream_close(result.stream);
        }
        tls_peer_fini(&peer);
    }
    tls_client_unref(client);
    cert_free(&ca);
    cert_free(&leaf);
    cert_free(&stranger);
    certs_remove();
}

Test(dial, a_peer_that_speaks_no_tls_or_nothing_ends_the_handshake)
{
    struct tls_client *client = tls_client_new(NULL, error, sizeof error);
    struct addr addr;
    int fd = listening("127.0.0.1", &addr);
    cr_assert_eq(dial_to(&addr, client, "leaf.example", 100).err, ERR_CONNECT_TIMEOUT);

    int first = accept(fd, NULL, NULL);
    struct result result = { 0 };
    struct endpoint *endpoint = endpoint_new(&addr);
    dial_start(loop, endpoint, client, "leaf.example", 5000, on_done, &result);
    loop_turn(loop, 0);
    int second;
    while ((second = accept(fd, NULL, NULL)) < 0)
        loop_turn(loop, 0);
    cr_assert_eq(write(second, "HTTP/1.1 400 Bad Request\r\n\r\n", 28), 28);
    while (result.calls == 0)
        loop_turn(loop, -1);
    cr_assert_eq(result.err, ERR_UPSTREAM_TLS);
    endpoint_unref(endpoint);
    close(first);
    close(second);
    close(fd);
    tls_client_unref(client);
}
