/* Certificates made for one test, in a folder that goes with it. */
#ifndef TESTS_NET_CERTS_H
#define TESTS_NET_CERTS_H

#include <openssl/x509.h>

struct cert {
    X509 *x509;
    EVP_PKEY *key;
    char certificate[96]; /* paths */
    char key_path[96];
};

/* names: subjectAltName as OpenSSL writes it ("DNS:a.example,IP:127.0.0.1"), or NULL. issuer NULL: signs
 * itself and may sign others. */
void cert_make(struct cert *cert, const char *common_name, const char *names, const struct cert *issuer);
void cert_free(struct cert *cert);

/* The folder the files are in; made at the first call. */
const char *certs_dir(void);
void certs_remove(void);

#endif
