#include "http/target.h"

#include <arpa/inet.h>

#include "http/chars.h"

#define HOST_MAX 255 /* RFC 1035 2.3.4, with a trailing dot */

bool target_is_valid(struct str target)
{
    if (target.len == 0 || target.data[0] != '/')
        return false;
    for (size_t i = 0; i < target.len; i++) {
        if (!char_is(target.data[i], CHAR_TARGET))
            return false;
    }
    return true;
}

struct authority {
    struct str host; /* with brackets */
    struct str port; /* data NULL: none */
};

static struct authority split(struct str authority)
{
    /* A colon inside of brackets belongs to the literal. */
    size_t from = 0;
    if (authority.len > 0 && authority.data[0] == '[') {
        ptrdiff_t close = str_find(authority, ']');
        from = close < 0 ? authority.len : (size_t)close + 1;
    }
    ptrdiff_t colon = str_find(str_from(authority, from), ':');
    if (colon < 0)
        return (struct authority){ authority, { NULL, 0 } };
    size_t at = from + (size_t)colon;
    return (struct authority){ str_n(authority.data, at), str_from(authority, at + 1) };
}

static bool is_literal(struct str host)
{
    char text[INET6_ADDRSTRLEN + 1];
    unsigned char bytes[16];
    if (host.len < 4 || host.len - 2 >= sizeof text || host.data[host.len - 1] != ']')
        return false;
    str_copy(str_n(host.data + 1, host.len - 2), text, sizeof text);
    return inet_pton(AF_INET6, text, bytes) == 1;
}

/* Stricter than RFC 3986's reg-name: what no name on the network has (percent signs, sub-delims, empty
 * labels) is refused, since the app behind us may read it otherwise. */
static bool is_name(struct str host)
{
    if (host.len == 0 || host.len > HOST_MAX || host.data[0] == '.')
        return false;
    for (size_t i = 0; i < host.len; i++) {
        if (!char_is(host.data[i], CHAR_NAME))
            return false;
        if (host.data[i] == '.' && i + 1 < host.len && host.data[i + 1] == '.')
            return false;
    }
    return true;
}

static bool is_port(struct str port)
{
    uint64_t value;
    return port.len >= 1 && port.len <= 5 && port.data[0] != '0' && str_to_u64(port, &value) &&
           value <= 65535;
}

bool authority_is_valid(struct str authority)
{
    struct authority parts = split(authority);
    if (parts.port.data && !is_port(parts.port))
        return false;
    return parts.host.len > 0 && parts.host.data[0] == '[' ? is_literal(parts.host) : is_name(parts.host);
}

size_t authority_normalise(struct str authority, bool is_https, char *out, size_t size)
{
    struct authority parts = split(authority);
    struct str host = parts.host;
    struct str port = parts.port;
    if (host.len > 1 && host.data[host.len - 1] == '.')
        host.len--;
    if (port.len == 0 || str_eq(port, is_https ? STR("443") : STR("80")))
        port = (struct str){ NULL, 0 };
    size_t len = host.len + (port.data ? 1 + port.len : 0);
    if (host.len == 0 || len > size)
        return 0;
    for (size_t i = 0; i < host.len; i++)
        out[i] = ascii_lower(host.data[i]);
    if (port.data) {
        out[host.len] = ':';
        memcpy(out + host.len + 1, port.data, port.len);
    }
    return len;
}

struct str authority_host(struct str authority)
{
    struct str host = split(authority).host;
    if (host.len >= 2 && host.data[0] == '[' && host.data[host.len - 1] == ']')
        return str_n(host.data + 1, host.len - 2);
    return host;
}

/* An encoded "/", "." or "\" at the percent sign, in either case. */
static bool is_encoded_separator(struct str at)
{
    if (at.len < 3)
        return false;
    char low = ascii_lower(at.data[2]);
    return (at.data[1] == '2' && (low == 'f' || low == 'e')) || (at.data[1] == '5' && low == 'c');
}

bool path_is_plain(struct str path)
{
    for (size_t i = 0; i < path.len; i++) {
        char c = path.data[i];
        if (c == ';' || c == '\\')
            return false;
        if (c == '%' && is_encoded_separator(str_from(path, i)))
            return false;
        if (c != '/')
            continue;
        /* What follows a slash: another one, or a segment that is "." or "..". */
        struct str rest = str_from(path, i + 1);
        if (rest.len > 0 && rest.data[0] == '/')
            return false;
        size_t dots = 0;
        while (dots < rest.len && dots < 3 && rest.data[dots] == '.')
            dots++;
        if ((dots == 1 || dots == 2) && (dots == rest.len || rest.data[dots] == '/'))
            return false;
    }
    return true;
}

bool query_find(struct str query, struct str name, struct str *out_value)
{
    struct str pair;
    while (str_split(&query, '&', &pair)) {
        ptrdiff_t equals = str_find(pair, '=');
        struct str key = equals < 0 ? pair : str_n(pair.data, (size_t)equals);
        if (key.len > 0 && str_eq(key, name)) {
            *out_value = equals < 0 ? str_from(pair, pair.len) : str_from(pair, (size_t)equals + 1);
            return true;
        }
    }
    return false;
}
