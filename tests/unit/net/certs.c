#include "certs.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[64];
static unsigned made;

const char *certs_dir(void)
{
    if (!dir[0]) {
        snprintf(dir, sizeof dir, "/tmp/weir-test-XXXXXX");
        cr_assert_not_null(mkdtemp(dir));
    }
    return dir;
}

void certs_remove(void)
{
    for (unsigned i = 1; i <= made; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%u.crt", dir, i);
        unlink(path);
        snprintf(path, sizeof path, "%s/%u.key", dir, i);
        unlink(path);
    }
    if (dir[0])
        rmdir(dir);
    dir[0] = '\0';
}

static void add_extension(X509 *x509, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    cr_assert_not_null(extension, "%s", value);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
}

static void write_files(struct cert *cert)
{
    snprintf(cert->certificate, sizeof cert->certificate, "%s/%u.crt", certs_dir(), ++made);
    snprintf(cert->key_path, sizeof cert->key_path, "%s/%u.key", certs_dir(), made);
    FILE *file = fopen(cert->certificate, "w");
    cr_assert(PEM_write_X509(file, cert->x509));
    fclose(file);
    file = fopen(cert->key_path, "w");
    cr_assert(PEM_write_PrivateKey(file, cert->key, NULL, NULL, 0, NULL, NULL));
    fclose(file);
}

void cert_make(struct cert *cert, const char *common_name, const char *names, const struct cert *issuer)
{
    cert->key = EVP_EC_gen("P-256");
    cert->x509 = X509_new();
    X509_set_version(cert->x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert->x509), (long)made + 1);
    X509_gmtime_adj(X509_getm_notBefore(cert->x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert->x509), 3600);
    X509_set_pubkey(cert->x509, cert->key);
    X509_NAME *subject = X509_get_subject_name(cert->x509);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1, 0);
    X509_set_issuer_name(cert->x509, issuer ? X509_get_subject_name(issuer->x509) : subject);
    if (!issuer)
        add_extension(cert->x509, NID_basic_constraints, "critical,CA:TRUE");
    if (names)
        add_extension(cert->x509, NID_subject_alt_name, names);
    cr_assert_gt(X509_sign(cert->x509, issuer ? issuer->key : cert->key, EVP_sha256()), 0);
    write_files(cert);
}

void cert_free(struct cert *cert)
{
    X509_free(cert->x509);
    EVP_PKEY_free(cert->key);
}
