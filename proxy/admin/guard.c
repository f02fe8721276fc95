#include "admin/guard.h"

#include <arpa/inet.h>

#include "http/target.h"

#define AUTHORITY_MAX 300 /* a name, brackets, a port */

static bool is_literal(struct str authority, struct str host)
{
    char text[INET6_ADDRSTRLEN + 1];
    unsigned char bytes[16];
    bool is_v6 = authority.len > 0 && authority.data[0] == '[';
    if (host.len == 0 || host.len >= sizeof text)
        return false;
    str_copy(host, text, sizeof text);
    return inet_pton(is_v6 ? AF_INET6 : AF_INET, text, bytes) == 1;
}

bool guard_is_our_host(struct str authority, struct str name)
{
    char text[AUTHORITY_MAX];
    size_t len = authority_normalise(authority, false, text, sizeof text);
    if (len == 0)
        return false;
    struct str normal = str_n(text, len);
    struct str host = authority_host(normal);
    return is_literal(normal, host) || str_eq(host, STR("localhost")) || (name.data && str_ieq(host, name));
}

bool guard_is_own_origin(struct str origin, struct str authority)
{
    char theirs[AUTHORITY_MAX];
    char ours[AUTHORITY_MAX];
    /* https: something in front of us may have taken TLS off. */
    bool is_https = str_has_iprefix(origin, STR("https://"));
    if (!is_https && !str_has_iprefix(origin, STR("http://")))
        return false;
    struct str from = str_from(origin, is_https ? 8 : 7);
    if (!authority_is_valid(from))
        return false;
    size_t theirs_len = authority_normalise(from, is_https, theirs, sizeof theirs);
    size_t ours_len = authority_normalise(authority, is_https, ours, sizeof ours);
    return theirs_len > 0 && str_eq(str_n(theirs, theirs_len), str_n(ours, ours_len));
}

bool guard_is_json(struct str content_type)
{
    ptrdiff_t semicolon = str_find(content_type, ';');
    struct str media = semicolon < 0 ? content_type : str_n(content_type.data, (size_t)semicolon);
    return str_ieq(str_trim(media), STR("application/json"));
}

bool guard_is_right_bearer(struct str authorization, struct str token)
{
    if (!str_has_iprefix(authorization, STR("Bearer ")))
        return false;
    return guard_is_same_secret(str_trim(str_from(authorization, 7)), token);
}

bool guard_is_same_secret(struct str given, struct str secret)
{
    if (secret.len == 0)
        return false;
    unsigned different = given.len != secret.len;
    for (size_t i = 0; i < given.len; i++)
        different |= (unsigned char)(given.data[i] ^ secret.data[i % secret.len]);
    return different == 0;
}
