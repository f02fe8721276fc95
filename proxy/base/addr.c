#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/check.h"

static bool parse_unix(struct str path, struct addr *out)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->sa;
    if (path.len == 0 || path.len >= sizeof un->sun_path || path.len >= sizeof out->host)
        return false;
    out->kind = ADDR_UNIX;
    un->sun_family = AF_UNIX;
    str_copy(path, un->sun_path, sizeof un->sun_path);
    str_copy(path, out->host, sizeof out->host);
    out->sa_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    return true;
}

static bool parse_port(struct str text, uint16_t *out)
{
    uint64_t port;
    if (!str_to_u64(text, &port) || port > 65535 || text.len > 5)
        return false;
    *out = (uint16_t)port;
    return true;
}

static bool is_name(struct str host)
{
    if (host.len == 0 || host.len > 100)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = ascii_lower(host.data[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'))
            return false;
    }
    return true;
}

static bool fill_ip(struct addr *out, bool is_v6)
{
    struct sockaddr_in *in4 = (struct sockaddr_in *)&out->sa;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->sa;
    if (!is_v6 && inet_pton(AF_INET, out->host, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons(out->port);
        out->sa_len = sizeof *in4;
    } else if (is_v6 && inet_pton(AF_INET6, out->host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(out->port);
        out->sa_len = sizeof *in6;
    } else {
        return false;
    }
    out->kind = ADDR_IP;
    return true;
}

bool addr_parse(struct str text, struct addr *out)
{
    *out = (struct addr){ 0 };
    if (text.len == 0 || text.len >= sizeof out->text)
        return false;
    str_copy(text, out->text, sizeof out->text);
    if (str_has_prefix(text, STR("unix:")))
        return parse_unix(str_from(text, 5), out);

    struct str host;
    struct str port;
    bool is_v6 = text.data[0] == '[';
    if (is_v6) {
        ptrdiff_t close = str_find(text, ']');
        if (close < 0 || (size_t)close + 1 >= text.len || text.data[close + 1] != ':')
            return false;
        host = str_n(text.data + 1, (size_t)close - 1);
        port = str_from(text, (size_t)close + 2);
    } else {
        ptrdiff_t colon = str_find(text, ':');
        if (colon < 0)
            return false;
        host = str_n(text.data, (size_t)colon);
        port = str_from(text, (size_t)colon + 1);
    }
    if (host.len >= sizeof out->host || !parse_port(port, &out->port))
        return false;
    str_copy(host, out->host, sizeof out->host);
    if (fill_ip(out, is_v6))
        return true;
    /* All digits and dots that is no address is a typing mistake, not a name. */
    if (is_v6 || !is_name(host) || strspn(out->host, "0123456789.") == host.len)
        return false;
    out->kind = ADDR_NAME;
    return true;
}

static bool mapped(const struct sockaddr *sa, uint8_t out[16])
{
    if (sa->sa_family == AF_INET) {
        static const uint8_t prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
        memcpy(out, prefix, 12);
        memcpy(out + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
        return true;
    }
    if (sa->sa_family == AF_INET6) {
        memcpy(out, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
        return true;
    }
    return false;
}

static bool is_mapped_v4(const uint8_t bytes[16])
{
    static const uint8_t prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    return memcmp(bytes, prefix, 12) == 0;
}

bool addr_is_loopback(const struct addr *addr)
{
    if (addr->kind == ADDR_UNIX)
        return true;
    if (addr->kind == ADDR_NAME)
        return strcmp(addr->host, "localhost") == 0;
    static const uint8_t one[16] = { [15] = 1 };
    uint8_t bytes[16];
    CHECK(mapped((const struct sockaddr *)&addr->sa, bytes));
    return (is_mapped_v4(bytes) && bytes[12] == 127) || memcmp(bytes, one, 16) == 0;
}

static void format_v4(const uint8_t bytes[4], char *out)
{
    for (unsigned i = 0; i < 4; i++) {
        out += str_put_u64(out, bytes[i]);
        *out++ = i < 3 ? '.' : '\0';
    }
}

void addr_format_host(const struct sockaddr *sa, char *out, size_t size)
{
    CHECK(size >= 16);
    uint8_t bytes[16];
    if (!mapped(sa, bytes)) {
        snprintf(out, size, "unix");
        return;
    }
    if (is_mapped_v4(bytes)) /* inet_ntop() goes through printf, and this is asked for every request */
        format_v4(bytes + 12, out);
    else
        inet_ntop(AF_INET6, bytes, out, (socklen_t)size);
}

void addr_format(const struct sockaddr *sa, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    if (sa->sa_family == AF_UNIX) {
        snprintf(out, size, "unix:%s", ((const struct sockaddr_un *)sa)->sun_path);
        return;
    }
    addr_format_host(sa, host, sizeof host);
    snprintf(out, size, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, addr_port(sa));
}

uint16_t addr_port(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)sa)->sin_port);
    if (sa->sa_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)sa)->sin6_port);
    return 0;
}

/* True if the first `bits` of both are the same. */
static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    if (memcmp(a, b, bits / 8) != 0)
        return false;
    unsigned rest = bits % 8;
    if (rest == 0)
        return true;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));
    return (a[bits / 8] & mask) == (b[bits / 8] & mask);
}

bool cidr_parse(struct str text, struct cidr *out)
{
    char host[INET6_ADDRSTRLEN + 1];
    ptrdiff_t slash = str_find(text, '/');
    struct str host_part = slash < 0 ? text : str_n(text.data, (size_t)slash);
    if (host_part.len == 0 || host_part.len >= sizeof host)
        return false;
    str_copy(host_part, host, sizeof host);

    uint8_t raw[16];
    unsigned bits_max;
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, host, raw) == 1) {
        bits_max = 32;
        out->bytes[10] = out->bytes[11] = 0xff;
        memcpy(out->bytes + 12, raw, 4);
    } else if (inet_pton(AF_INET6, host, raw) == 1) {
        bits_max = 128;
        memcpy(out->bytes, raw, 16);
    } else {
        return false;
    }
    uint64_t bits = bits_max;
    if (slash >= 0 && (!str_to_u64(str_from(text, (size_t)slash + 1), &bits) || bits > bits_max))
        return false;
    out->bits = (uint8_t)(128 - bits_max + bits);
    for (unsigned bit = out->bits; bit < 128; bit++) {
        if (out->bytes[bit / 8] & (0x80 >> bit % 8))
            return false;
    }
    return true;
}

bool cidr_has(const struct cidr *cidr, const struct sockaddr *sa)
{
    uint8_t bytes[16];
    return mapped(sa, bytes) && same_prefix(bytes, cidr->bytes, cidr->bits);
}

void addr_client_key(const struct sockaddr *sa, uint8_t out[16])
{
    memset(out, 0, 16);
    if (mapped(sa, out) && !is_mapped_v4(out))
        memset(out + 8, 0, 8);
}
