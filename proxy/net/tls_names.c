#include <openssl/x509v3.h>
#include <stdlib.h>

#include "net/tls_int.h"

#include "base/map.h"

#define NAME_BYTES_MAX 256

struct tls_names {
    struct map *exact;    /* "www.example.com" -> SSL_CTX */
    struct map *wildcard; /* "*.example.com" as ".example.com" -> SSL_CTX */
    char **keys;          /* what the maps borrow */
    size_t count;
};

struct tls_names *tls_names_new(void)
{
    struct tls_names *names = calloc(1, sizeof *names);
    if (!names)
        return NULL;
    names->exact = map_new();
    names->wildcard = map_new();
    if (!names->exact || !names->wildcard) {
        tls_names_free(names);
        return NULL;
    }
    return names;
}

void tls_names_free(struct tls_names *names)
{
    if (!names)
        return;
    if (names->exact)
        map_free(names->exact);
    if (names->wildcard)
        map_free(names->wildcard);
    for (size_t i = 0; i < names->count; i++)
        free(names->keys[i]);
    free(names->keys);
    free(names);
}

/* --- the names in a certificate --- */

static bool common_name_each(X509 *certificate, bool (*fn)(void *arg, struct str name), void *arg)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID((X509_NAME *)subject, NID_commonName, -1);
    if (at < 0)
        return true;
    const ASN1_STRING *text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    return fn(arg, str_n((const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)));
}

bool tls_names_each(X509 *certificate, bool (*fn)(void *arg, struct str name), void *arg)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool has_dns_names = false;
    bool is_going_on = true;

    for (int i = 0; is_going_on && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS)
            continue;
        const ASN1_STRING *text = name->d.dNSName;
        has_dns_names = true;
        is_going_on =
            fn(arg, str_n((const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)));
    }
    GENERAL_NAMES_free(names);
    /* RFC 6125 6.4.4: the common name counts only where there are no alternative names. */
    return has_dns_names ? is_going_on : common_name_each(certificate, fn, arg);
}

/* --- filing --- */

struct filing {
    struct tls_names *names;
    SSL_CTX *context;
};

static char *key_add(struct tls_names *names, struct str name)
{
    char **keys = realloc(names->keys, (names->count + 1) * sizeof *keys);
    if (!keys)
        return NULL;
    names->keys = keys;
    char *key = str_dup(name);
    if (!key)
        return NULL;
    for (char *c = key; *c; c++)
        *c = ascii_lower(*c);
    return names->keys[names->count++] = key;
}

static bool name_add(void *arg, struct str name)
{
    struct filing *filing = arg;
    struct map *map = filing->names->exact;

    if (name.len == 0 || name.len >= NAME_BYTES_MAX || memchr(name.data, '\0', name.len))
        return true;
    if (str_has_prefix(name, STR("*."))) {
        name = str_from(name, 1);
        map = filing->names->wildcard;
    }
    char *key = key_add(filing->names, name);
    if (!key)
        return false;
    return map_get(map, str_of(key)) || map_put(map, str_of(key), filing->context);
}

bool tls_names_add(struct tls_names *names, X509 *certificate, SSL_CTX *context)
{
    struct filing filing = { names, context };
    return tls_names_each(certificate, name_add, &filing);
}

SSL_CTX *tls_names_find(const struct tls_names *names, const char *server_name)
{
    char name[NAME_BYTES_MAX];
    struct str key = { name, str_copy(str_of(server_name), name, sizeof name) };

    for (size_t i = 0; i < key.len; i++)
        name[i] = ascii_lower(name[i]);
    if (key.len > 0 && name[key.len - 1] == '.')
        key.len--;
    SSL_CTX *found = map_get(names->exact, key);
    ptrdiff_t dot = str_find(key, '.');
    if (found || dot <= 0)
        return found;
    return map_get(names->wildcard, str_from(key, (size_t)dot));
}
