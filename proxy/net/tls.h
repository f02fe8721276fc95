/* TLS contexts: OpenSSL 3, TLS 1.2 and 1.3, no renegotiation, no compression, session tickets.
 * Contexts are shared by all threads and immutable once made. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>

struct tls_server;
struct tls_client;

struct tls_certificate {
    const char *certificate; /* PEM chain, leaf first */
    const char *key;         /* PEM */
};

/* The first certificate is the default; SNI picks among all by the names in them (exact before wildcard).
 * client_ca NULL: no client certificates; else they are required and verified. alpn: what is offered, in
 * order, e.g. "http/1.1" or "h2,http/1.1". NULL and a sentence in error (at least 256 bytes) on failure. */
struct tls_server *tls_server_new(const struct tls_certificate *certificates, unsigned count,
                                  const char *client_ca, const char *alpn, char *error, size_t error_size);
/* Session tickets of the old context stay good in the new one (reload). */
void tls_server_adopt(struct tls_server *fresh, const struct tls_server *old);
struct tls_server *tls_server_ref(struct tls_server *tls);
struct tls_server *tls_server_unref(struct tls_server *tls); /* NULL is fine; returns NULL */

/* ca NULL: the system's roots. Peers are always verified, name included. */
struct tls_client *tls_client_new(const char *ca, char *error, size_t error_size);
struct tls_client *tls_client_ref(struct tls_client *tls);
struct tls_client *tls_client_unref(struct tls_client *tls);

#endif
