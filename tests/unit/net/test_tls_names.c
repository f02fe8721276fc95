#include "certs.h"

#include <criterion/criterion.h>

#include "base/check.h"
#include "net/tls_int.h"

static struct cert certs[3];
static SSL_CTX *contexts[3];
static struct tls_names *names;

static void setup(void)
{
    cert_make(&certs[0], "one", "DNS:www.example.com,DNS:Mixed.Example.com", NULL);
    cert_make(&certs[1], "two", "DNS:*.example.com,DNS:www.example.com,IP:127.0.0.1", NULL);
    cert_make(&certs[2], "common.example", NULL, NULL);
    names = tls_names_new();
    for (unsigned i = 0; i < 3; i++) {
        contexts[i] = SSL_CTX_new(TLS_server_method());
        cr_assert(tls_names_add(names, certs[i].x509, contexts[i]));
    }
}

static void teardown(void)
{
    tls_names_free(names);
    tls_names_free(NULL);
    for (unsigned i = 0; i < 3; i++) {
        SSL_CTX_free(contexts[i]);
        cert_free(&certs[i]);
    }
    certs_remove();
}

TestSuite(tls_names, .init = setup, .fini = teardown);

Test(tls_names, exact_comes_before_wildcard_and_first_before_later)
{
    static const struct {
        const char *name;
        int want; /* -1: nobody */
    } rows[] = {
        { "www.example.com", 0 },
        { "WWW.example.COM", 0 },
        { "www.example.com.", 0 },
        { "mixed.example.com", 0 },
        { "other.example.com", 1 },
        { "a.b.example.com", -1 },
        { "example.com", -1 },
        { "common.example", 2 },
        { "one", -1 },
        { "127.0.0.1", -1 },
        { "", -1 },
        { ".", -1 },
        { ".example.com", -1 },
        { "*.example.com", 1 },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SSL_CTX *want = rows[i].want < 0 ? NULL : contexts[rows[i].want];
        cr_expect_eq(tls_names_find(names, rows[i].name), want, "row %zu: %s", i, rows[i].name);
    }
}

static bool count_name(void *arg, struct str name)
{
    ++*(unsigned *)arg;
    return true;
}

Test(tls_names, the_common_name_counts_only_without_alternative_names)
{
    unsigned count = 0;
    cr_assert(tls_names_each(certs[0].x509, count_name, &count));
    cr_assert_eq(count, 2);
    cr_assert(tls_names_each(certs[2].x509, count_name, &count));
    cr_assert_eq(count, 3);
}
