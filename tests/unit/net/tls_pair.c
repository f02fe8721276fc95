#include "tls_pair.h"

#include <signal.h>

struct loop *loop;
struct cert ca;
struct cert leaf;
struct cert other;
struct tls_server *server;
struct counted counted;
struct stream *stream;
SSL_CTX *peer_context;
SSL *peer;
int fds[2];
static char error[256];

struct tls_server *server_make(const char *client_ca, const char *alpn)
{
    struct tls_certificate certificates[] = { { leaf.certificate, leaf.key_path },
                                              { other.certificate, other.key_path } };
    struct tls_server *made = tls_server_new(certificates, 2, client_ca, alpn, error, sizeof error);
    cr_assert_not_null(made, "%s", error);
    return made;
}

void connect_peer(void)
{
    tcp_pair(fds);
    counted = (struct counted){ 0 };
    stream = stream_new(loop, fds[0], server, &counted_events, &counted);
    cr_assert_not_null(stream);
    stream_want_read(stream, true);
    peer = SSL_new(peer_context);
    SSL_set_fd(peer, fds[1]);
    SSL_set_connect_state(peer);
}

void disconnect_peer(void)
{
    stream_close(stream);
    stream = NULL;
    SSL_free(peer);
    peer = NULL;
    close(fds[1]);
}

void tls_pair_setup(void)
{
    signal(SIGPIPE, SIG_IGN); /* for the peer's side */
    loop = loop_new();
    cert_make(&ca, "authority", NULL, NULL);
    cert_make(&leaf, "leaf", "DNS:leaf.example", &ca);
    cert_make(&other, "other", "DNS:other.example", &ca);
    server = server_make(NULL, "h2,http/1.1");
    peer_context = SSL_CTX_new(TLS_client_method());
}

void tls_pair_teardown(void)
{
    if (stream)
        disconnect_peer();
    SSL_CTX_free(peer_context);
    tls_server_unref(server);
    cert_free(&ca);
    cert_free(&leaf);
    cert_free(&other);
    certs_remove();
    loop_free(loop);
}

bool shake(void)
{
    for (unsigned i = 0; i < 100; i++) {
        int rc = SSL_do_handshake(peer);
        loop_turn(loop, 0);
        if (rc == 1 && !stream_is_handshaking(stream))
            return true;
        if (rc != 1 && SSL_get_error(peer, rc) != SSL_ERROR_WANT_READ)
            return false;
    }
    return false;
}

ssize_t read_when_ready(void *data, size_t size)
{
    ssize_t n;
    while ((n = stream_read(stream, data, size)) == STREAM_AGAIN)
        loop_turn(loop, -1);
    return n;
}
