/* A server's TLS stream and a client that is OpenSSL by itself, so that what weir's half gets wrong is not
 * wrong twice. One pair at a time. */
#ifndef TESTS_NET_TLS_PAIR_H
#define TESTS_NET_TLS_PAIR_H

#include <openssl/ssl.h>

#include "certs.h"
#include "pair.h"

#include "net/tls.h"

extern struct loop *loop;
extern struct cert ca;    /* signed the others */
extern struct cert leaf;  /* leaf.example, the server's default */
extern struct cert other; /* other.example */
extern struct tls_server *server;
extern struct stream *stream; /* wants to read */
extern struct counted counted;
extern SSL_CTX *peer_context;
extern SSL *peer;
extern int fds[2]; /* the stream's and the peer's */

void tls_pair_setup(void);
void tls_pair_teardown(void);

/* A server with leaf and other. */
struct tls_server *server_make(const char *client_ca, const char *alpn);

void connect_peer(void);
void disconnect_peer(void);

/* True when both sides are through. */
bool shake(void);

ssize_t read_when_ready(void *data, size_t size);

#endif
