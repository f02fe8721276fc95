#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/tls_int.h"

#include "base/check.h"

/* Forward secrecy and authenticated encryption only; TLS 1.3 has no others. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS  "X25519:P-256:P-384"

struct tls_server {
    atomic_uint refs;
    unsigned count;
    SSL_CTX **contexts; /* one a certificate; the first is the default and owns the ticket keys */
    struct tls_names *names;
    unsigned char alpn[256]; /* as on the wire: length, name, length, name */
    unsigned alpn_len;
};

struct tls_client {
    atomic_uint refs;
    SSL_CTX *context;
};

/* --- errors --- */

/* The sentence, and OpenSSL's first reason behind it: the later ones only say who passed it on. */
static void explain(char *error, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void explain(char *error, size_t size, const char *format, ...)
{
    unsigned long code = ERR_peek_error();
    const char *reason =
        ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    va_list args;

    va_start(args, format);
    int n = vsnprintf(error, size, format, args);
    va_end(args);
    if (code != 0 && reason && n >= 0 && (size_t)n < size)
        snprintf(error + n, size - (size_t)n, ": %s", reason);
    ERR_clear_error();
}

/* --- what both sides have in common --- */

static SSL_CTX *context_new(const SSL_METHOD *method)
{
    SSL_CTX *context = SSL_CTX_new(method);
    if (!context)
        return NULL;
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    /* One recv() for a record's head and its body. */
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return context;
}

/* --- the server's side --- */

static int no_password(char *buf, int size, int is_writing, void *arg)
{
    return 0; /* rather than asking on the terminal */
}

static int on_server_name(SSL *ssl, int *out_alert, void *arg)
{
    const struct tls_server *tls = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *context = name ? tls_names_find(tls->names, name) : NULL;

    if (context)
        SSL_set_SSL_CTX(ssl, context);
    return SSL_TLSEXT_ERR_OK;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *offered,
                   unsigned offered_len, void *arg)
{
    const struct tls_server *tls = arg;
    int rc =
        SSL_select_next_proto((unsigned char **)out, out_len, tls->alpn, tls->alpn_len, offered, offered_len);
    /* RFC 7301 3.2: no common protocol ends the handshake. That also stops attacks that bring a browser's
     * request to a server of another kind. */
    return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool alpn_parse(struct tls_server *tls, const char *alpn)
{
    struct str rest = str_of(alpn);
    struct str name;

    while (str_next_member(&rest, &name)) {
        if (name.len > 255 || tls->alpn_len + 1 + name.len > sizeof tls->alpn)
            return false;
        tls->alpn[tls->alpn_len++] = (unsigned char)name.len;
        memcpy(tls->alpn + tls->alpn_len, name.data, name.len);
        tls->alpn_len += (unsigned)name.len;
    }
    return true;
}

/* A ticket counts as much as the check of the client's certificate it stands for: so only where the same
 * authorities are trusted. */
static bool set_session_scope(SSL_CTX *context, const char *client_ca)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool is_ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
    BIO *file = client_ca ? BIO_new_file(client_ca, "r") : NULL;
    char piece[1024];
    int n;

    while (is_ok && file && (n = BIO_read(file, piece, sizeof piece)) > 0)
        is_ok = EVP_DigestUpdate(md, piece, (size_t)n) == 1;
    is_ok = is_ok && EVP_DigestFinal_ex(md, digest, &len) == 1 &&
            SSL_CTX_set_session_id_context(context, digest, len < 32 ? len : 32) == 1;
    BIO_free(file);
    EVP_MD_CTX_free(md);
    return is_ok;
}

static bool set_client_ca(SSL_CTX *context, const char *client_ca, char *error, size_t error_size)
{
    if (client_ca) {
        STACK_OF(X509_NAME) *authorities = SSL_load_client_CA_file(client_ca);
        if (!authorities || SSL_CTX_load_verify_locations(context, client_ca, NULL) != 1) {
            sk_X509_NAME_pop_free(authorities, X509_NAME_free);
            explain(error, error_size, "cannot read the client CA %s", client_ca);
            return false;
        }
        SSL_CTX_set_client_CA_list(context, authorities);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    if (set_session_scope(context, client_ca))
        return true;
    explain(error, error_size, "out of memory");
    return false;
}

static bool load_certificate(SSL_CTX *context, const struct tls_certificate *from, char *error,
                             size_t error_size)
{
    SSL_CTX_set_default_passwd_cb(context, no_password);
    if (SSL_CTX_use_certificate_chain_file(context, from->certificate) != 1) {
        explain(error, error_size, "cannot read the certificate %s", from->certificate);
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(context, from->key, SSL_FILETYPE_PEM) != 1) {
        bool is_other = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
        explain(error, error_size,
                is_other ? "the key %s is not that of %s" : "cannot read the key %s (of %s)", from->key,
                from->certificate);
        return false;
    }
    return true;
}

static SSL_CTX *server_context_new(struct tls_server *tls, const struct tls_certificate *from,
                                   const char *client_ca, char *error, size_t error_size)
{
    SSL_CTX *context = context_new(TLS_server_method());
    if (!context) {
        explain(error, error_size, "out of memory");
        return NULL;
    }
    if (!load_certificate(context, from, error, error_size) ||
        !set_client_ca(context, client_ca, error, error_size)) {
        SSL_CTX_free(context);
        return NULL;
    }
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_cipher_list(context, CIPHERS);
    SSL_CTX_set1_groups_list(context, GROUPS);
    SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(context, tls);
    if (tls->alpn_len > 0)
        SSL_CTX_set_alpn_select_cb(context, on_alpn, tls);
    return context;
}

struct tls_server *tls_server_new(const struct tls_certificate *certificates, unsigned count,
                                  const char *client_ca, const char *alpn, char *error, size_t error_size)
{
    CHECK(count > 0);
    struct tls_server *tls = calloc(1, sizeof *tls);
    ERR_clear_error();
    if (tls) {
        atomic_init(&tls->refs, 1);
        tls->contexts = calloc(count, sizeof(SSL_CTX *));
        tls->names = tls_names_new();
    }
    if (!tls || !tls->contexts || !tls->names) {
        explain(error, error_size, "out of memory");
        return tls_server_unref(tls);
    }
    if (alpn && !alpn_parse(tls, alpn)) {
        explain(error, error_size, "the protocols for ALPN are too long: %s", alpn);
        return tls_server_unref(tls);
    }
    for (unsigned i = 0; i < count; i++) {
        SSL_CTX *context = server_context_new(tls, &certificates[i], client_ca, error, error_size);
        if (!context)
            return tls_server_unref(tls);
        tls->contexts[tls->count++] = context;
        if (!tls_names_add(tls->names, SSL_CTX_get0_certificate(context), context)) {
            explain(error, error_size, "out of memory");
            return tls_server_unref(tls);
        }
    }
    return tls;
}

void tls_server_adopt(struct tls_server *fresh, const struct tls_server *old)
{
    unsigned char keys[128];
    /* Only the context a connection begins with deals with tickets. */
    long size = SSL_CTX_get_tlsext_ticket_keys(old->contexts[0], NULL, 0);
    if (size <= 0 || (size_t)size > sizeof keys)
        return;
    if (SSL_CTX_get_tlsext_ticket_keys(old->contexts[0], keys, size) == 1)
        SSL_CTX_set_tlsext_ticket_keys(fresh->contexts[0], keys, size);
    OPENSSL_cleanse(keys, sizeof keys);
}

struct tls_server *tls_server_ref(struct tls_server *tls)
{
    atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
    return tls;
}

struct tls_server *tls_server_unref(struct tls_server *tls)
{
    if (!tls || atomic_fetch_sub_explicit(&tls->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    for (unsigned i = 0; i < tls->count; i++)
        SSL_CTX_free(tls->contexts[i]);
    free(tls->contexts);
    tls_names_free(tls->names);
    free(tls);
    return NULL;
}

SSL *tls_server_ssl_new(struct tls_server *tls)
{
    SSL *ssl = SSL_new(tls->contexts[0]);
    if (ssl)
        SSL_set_accept_state(ssl);
    return ssl;
}

/* --- the client's side --- */

struct tls_client *tls_client_new(const char *ca, char *error, size_t error_size)
{
    struct tls_client *tls = calloc(1, sizeof *tls);
    ERR_clear_error();
    if (tls) {
        atomic_init(&tls->refs, 1);
        tls->context = context_new(TLS_client_method());
    }
    if (!tls || !tls->context) {
        explain(error, error_size, "out of memory");
        return tls_client_unref(tls);
    }
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
    int rc = ca ? SSL_CTX_load_verify_locations(tls->context, ca, NULL)
                : SSL_CTX_set_default_verify_paths(tls->context);
    if (rc != 1) {
        explain(error, error_size, ca ? "cannot read the CA %s" : "cannot find the system's CAs", ca);
        return tls_client_unref(tls);
    }
    return tls;
}

struct tls_client *tls_client_ref(struct tls_client *tls)
{
    atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
    return tls;
}

struct tls_client *tls_client_unref(struct tls_client *tls)
{
    if (!tls || atomic_fetch_sub_explicit(&tls->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    SSL_CTX_free(tls->context);
    free(tls);
    return NULL;
}

static bool is_ip(const char *name)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

SSL *tls_client_ssl_new(struct tls_client *tls, const char *server_name)
{
    SSL *ssl = SSL_new(tls->context);
    if (!ssl)
        return NULL;
    SSL_set_connect_state(ssl);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    /* RFC 6066 3: addresses are no server names. */
    bool is_ok = is_ip(server_name) ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), server_name) == 1
                                    : SSL_set1_host(ssl, server_name) == 1 &&
                                          SSL_set_tlsext_host_name(ssl, server_name) == 1;
    if (is_ok)
        return ssl;
    SSL_free(ssl);
    return NULL;
}
