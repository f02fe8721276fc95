/* Between the files of net/ only: contexts as streams need them, and the names in a certificate. */
#ifndef NET_TLS_INT_H
#define NET_TLS_INT_H

#include <openssl/ssl.h>

#include "base/str.h"
#include "net/tls.h"

/* A connection's half-made state, with what the context asks for; NULL when out of memory. */
SSL *tls_server_ssl_new(struct tls_server *tls);
SSL *tls_client_ssl_new(struct tls_client *tls, const char *server_name);

/* Calls fn for every DNS name the certificate is good for: the subject's alternative names, or its common
 * name if there are none. False as soon as fn says so. */
bool tls_names_each(X509 *certificate, bool (*fn)(void *arg, struct str name), void *arg);

/* Which of several contexts serves a name. */
struct tls_names;

struct tls_names *tls_names_new(void);
void tls_names_free(struct tls_names *names); /* NULL is fine */

/* All names of the certificate; a name that is there already stays with who came first. False when out of
 * memory. */
bool tls_names_add(struct tls_names *names, X509 *certificate, SSL_CTX *context);

/* Exact before wildcard (one label, the leftmost); NULL: nobody. */
SSL_CTX *tls_names_find(const struct tls_names *names, const char *server_name);

#endif
