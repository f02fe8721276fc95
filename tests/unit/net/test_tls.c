#include "tls_pair.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "net/tls_int.h"

static struct cert one;
static struct cert two;
static char error[256];

static void setup(void)
{
    cert_make(&one, "one.example", NULL, NULL);
    cert_make(&two, "two.example", NULL, NULL);
    error[0] = '\0';
}

static void teardown(void)
{
    cert_free(&one);
    cert_free(&two);
    certs_remove();
}

TestSuite(tls, .init = setup, .fini = teardown);

Test(tls, every_mistake_is_named_with_its_file)
{
    struct tls_certificate good = { one.certificate, one.key_path };
    struct tls_certificate crossed = { one.certificate, two.key_path };
    struct tls_certificate missing = { "/nowhere/leaf.pem", one.key_path };
    struct tls_certificate no_key = { one.certificate, "/nowhere/leaf.key" };
    struct tls_certificate no_pem = { one.key_path, one.key_path };

    cr_assert_null(tls_server_new(&crossed, 1, NULL, NULL, error, sizeof error));
    cr_expect(strstr(error, "is not that of") && strstr(error, two.key_path), "%s", error);
    cr_assert_null(tls_server_new(&missing, 1, NULL, NULL, error, sizeof error));
    cr_expect(strstr(error, "/nowhere/leaf.pem: No such file"), "%s", error);
    cr_assert_null(tls_server_new(&no_key, 1, NULL, NULL, error, sizeof error));
    cr_expect(strstr(error, "/nowhere/leaf.key"), "%s", error);
    cr_assert_null(tls_server_new(&no_pem, 1, NULL, NULL, error, sizeof error));
    cr_expect(strstr(error, one.key_path), "%s", error);
    cr_assert_null(tls_server_new(&good, 1, "/nowhere/ca.pem", NULL, error, sizeof error));
    cr_expect(strstr(error, "/nowhere/ca.pem"), "%s", error);
    cr_assert_null(tls_client_new("/nowhere/ca.pem", error, sizeof error));
    cr_expect(strstr(error, "/nowhere/ca.pem"), "%s", error);
}

Test(tls, contexts_go_with_their_last_holder)
{
    struct tls_certificate certificates[] = { { one.certificate, one.key_path },
                                              { two.certificate, two.key_path } };
    struct tls_server *made =
        tls_server_new(certificates, 2, one.certificate, "h2,http/1.1", error, sizeof error);
    cr_assert_not_null(made, "%s", error);
    cr_assert_eq(tls_server_ref(made), made);
    cr_assert_null(tls_server_unref(made));
    cr_assert_null(tls_server_unref(made));
    cr_assert_null(tls_server_unref(NULL));

    struct tls_client *client = tls_client_new(NULL, error, sizeof error);
    cr_assert_not_null(client, "%s", error);
    cr_assert_eq(tls_client_ref(client), client);
    cr_assert_null(tls_client_unref(client));
    cr_assert_null(tls_client_unref(client));
    cr_assert_null(tls_client_unref(NULL));
}

Test(tls, nothing_older_than_1_2_and_no_renegotiation_is_spoken)
{
    struct tls_certificate certificate = { one.certificate, one.key_path };
    struct tls_server *made = tls_server_new(&certificate, 1, NULL, NULL, error, sizeof error);
    struct tls_client *client = tls_client_new(one.certificate, error, sizeof error);
    SSL *ends[] = { tls_server_ssl_new(made), tls_client_ssl_new(client, "one.example") };
    for (unsigned i = 0; i < 2; i++) {
        cr_expect_eq(SSL_get_min_proto_version(ends[i]), TLS1_2_VERSION);
        cr_expect(SSL_get_options(ends[i]) & SSL_OP_NO_RENEGOTIATION);
        cr_expect(SSL_get_options(ends[i]) & SSL_OP_NO_COMPRESSION);
        SSL_free(ends[i]);
    }
    tls_client_unref(client);
    tls_server_unref(made);
}

Test(tls, addresses_are_verified_as_addresses_and_not_sent_as_names)
{
    struct tls_client *client = tls_client_new(one.certificate, error, sizeof error);
    SSL *by_name = tls_client_ssl_new(client, "one.example");
    SSL *by_address = tls_client_ssl_new(client, "127.0.0.1");
    SSL *by_v6 = tls_client_ssl_new(client, "::1");
    cr_expect_str_eq(SSL_get_servername(by_name, TLSEXT_NAMETYPE_host_name), "one.example");
    cr_expect_null(SSL_get_servername(by_address, TLSEXT_NAMETYPE_host_name));
    cr_expect_null(SSL_get_servername(by_v6, TLSEXT_NAMETYPE_host_name));
    cr_expect_eq(SSL_get_verify_mode(by_name), SSL_VERIFY_PEER);
    SSL_free(by_name);
    SSL_free(by_address);
    SSL_free(by_v6);
    tls_client_unref(client);
}

/* --- names, protocols, certificates, as a client sees them --- */

TestSuite(tls_wire, .init = tls_pair_setup, .fini = tls_pair_teardown, .timeout = 20);

static bool peer_sees(const struct cert *cert)
{
    X509 *seen = SSL_get1_peer_certificate(peer);
    bool is_same = X509_cmp(seen, cert->x509) == 0;
    X509_free(seen);
    return is_same;
}

Test(tls_wire, the_name_chooses_the_certificate_and_the_first_is_the_default)
{
    static const char *const names[] = { "leaf.example", "other.example", "unknown.example", NULL };
    const struct cert *const wanted[] = { &leaf, &other, &leaf, &leaf };

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        connect_peer();
        if (names[i])
            SSL_set_tlsext_host_name(peer, names[i]);
        cr_assert(shake());
        cr_expect(peer_sees(wanted[i]), "row %zu", i);
        cr_expect(str_eq(stream_sni(stream), str_of(names[i])), "row %zu", i);
        disconnect_peer();
    }
}

Test(tls_wire, protocols_are_agreed_in_our_order)
{
    static const struct {
        const char *offered;
        bool is_ok;
        const char *want;
    } rows[] = {
        { "\x08http/1.1\x02h2", true, "h2" },
        { "\x08http/1.1", true, "http/1.1" },
        { NULL, true, NULL },
        { "\x03"
          "ftp",
          false, NULL },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        connect_peer();
        if (rows[i].offered)
            SSL_set_alpn_protos(peer, (const unsigned char *)rows[i].offered,
                                (unsigned)strlen(rows[i].offered));
        cr_expect_eq(shake(), rows[i].is_ok, "row %zu", i);
        cr_expect(str_eq(stream_alpn(stream), str_of(rows[i].want)), "row %zu", i);
        disconnect_peer();
    }
}

static void replace_server(struct tls_server *fresh)
{
    tls_server_unref(server);
    server = fresh;
}

Test(tls_wire, clients_without_a_certificate_are_refused_where_one_is_needed)
{
    char byte;
    struct cert client;
    replace_server(server_make(ca.certificate, NULL));
    connect_peer();
    shake();
    cr_assert_eq(read_when_ready(&byte, 1), STREAM_ERROR);
    disconnect_peer();

    cert_make(&client, "client", NULL, &ca);
    SSL_CTX_use_certificate(peer_context, client.x509);
    SSL_CTX_use_PrivateKey(peer_context, client.key);
    connect_peer();
    cr_assert(shake());
    SSL_write(peer, "x", 1);
    cr_assert_eq(read_when_ready(&byte, 1), 1);
    disconnect_peer();
    cert_free(&client);

    cert_make(&client, "stranger", NULL, NULL);
    SSL_CTX_use_certificate(peer_context, client.x509);
    SSL_CTX_use_PrivateKey(peer_context, client.key);
    connect_peer();
    shake();
    cr_assert_eq(read_when_ready(&byte, 1), STREAM_ERROR);
    cert_free(&client);
}

/* --- tickets --- */

static SSL_SESSION *ticket_of(void)
{
    char byte;
    connect_peer();
    cr_assert(shake());
    cr_assert_eq(stream_write(stream, "x", 1), 1);
    cr_assert_eq(SSL_read(peer, &byte, 1), 1);
    SSL_SESSION *session = SSL_get1_session(peer);
    SSL_set_shutdown(peer, SSL_SENT_SHUTDOWN);
    disconnect_peer();
    return session;
}

static bool resumes(SSL_SESSION *session)
{
    connect_peer();
    SSL_set_session(peer, session);
    cr_assert(shake());
    bool is_resumed = SSL_session_reused(peer);
    SSL_set_shutdown(peer, SSL_SENT_SHUTDOWN);
    disconnect_peer();
    return is_resumed;
}

Test(tls_wire, tickets_outlive_a_reload_that_adopts_them)
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

    for (unsigned i = 0; i < 2; i++) {
        SSL_CTX_set_max_proto_version(peer_context, versions[i]);
        SSL_SESSION *session = ticket_of();
        cr_assert(resumes(session));
        struct tls_server *fresh = server_make(NULL, NULL);
        tls_server_adopt(fresh, server);
        replace_server(fresh);
        cr_assert(resumes(session));
        replace_server(server_make(NULL, NULL));
        cr_assert_not(resumes(session), "other keys");
        SSL_SESSION_free(session);
    }
}

Test(tls_wire, a_ticket_is_worth_nothing_under_other_client_authorities)
{
    struct cert client;
    char byte;
    cert_make(&client, "client", NULL, &ca);
    SSL_CTX_use_certificate(peer_context, client.x509);
    SSL_CTX_use_PrivateKey(peer_context, client.key);
    replace_server(server_make(ca.certificate, NULL));
    SSL_SESSION *session = ticket_of();
    cr_assert(resumes(session));

    struct tls_server *fresh = server_make(leaf.certificate, NULL);
    tls_server_adopt(fresh, server);
    replace_server(fresh);
    connect_peer();
    SSL_set_session(peer, session);
    shake();
    cr_assert_eq(read_when_ready(&byte, 1), STREAM_ERROR);
    SSL_SESSION_free(session);
    cert_free(&client);
}
