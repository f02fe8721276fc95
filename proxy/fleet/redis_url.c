/* Reading the address of a Redis. No sentence here repeats a part of the url: it may hold a password. */
#include "fleet/redis.h"

#include <stdio.h>

#include "base/check.h"

#define PORT_REDIS    6379
#define PORT_SENTINEL 26379
#define DB_MAX        65535

#define FORMS                                                                          \
    "allowed are redis://[[user]:password@]host[:port][/db], unix:///path[?db=N] and " \
    "redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/master[/db]"

struct scheme {
    struct str name;
    bool is_unix;
    bool is_sentinel;
};

static const struct scheme schemes[] = {
    { STR_INIT("redis"), false, false },
    { STR_INIT("unix"), true, false },
    { STR_INIT("redis+unix"), true, false },
    { STR_INIT("redis+sentinel"), false, true },
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False for a broken escape, a control byte, or what does not fit. */
static bool decode(struct str s, char *out, size_t size)
{
    size_t len = 0;
    for (size_t i = 0; i < s.len; i++) {
        int c = (unsigned char)s.data[i];
        if (c == '%') {
            if (s.len - i < 3 || hex_value(s.data[i + 1]) < 0 || hex_value(s.data[i + 2]) < 0)
                return false;
            c = hex_value(s.data[i + 1]) * 16 + hex_value(s.data[i + 2]);
            i += 2;
        }
        if (c < 0x20 || c == 0x7f || len + 1 >= size)
            return false;
        out[len++] = (char)c;
    }
    out[len] = '\0';
    return true;
}

/* Cuts s at the first c: what stands before it is returned, *rest is what follows (data NULL: there is no c).
 */
static struct str cut(struct str s, char c, struct str *rest)
{
    ptrdiff_t at = str_find(s, c);
    *rest = at < 0 ? (struct str){ NULL, 0 } : str_from(s, (size_t)at + 1);
    return at < 0 ? s : str_n(s.data, (size_t)at);
}

static const char *read_db(struct str text, struct redis_url *out)
{
    uint64_t db;
    if (!str_to_u64(text, &db) || db > DB_MAX)
        return "the database is not a number from 0 to 65535";
    out->db = (int)db;
    return NULL;
}

static const char *read_query(struct str query, struct redis_url *out)
{
    if (!query.data)
        return NULL;
    if (!str_has_prefix(query, STR("db=")))
        return "behind \"?\" only db=N is allowed";
    return read_db(str_from(query, 3), out);
}

/* Takes "user:password@" off the authority. The last "@" counts, so that an unescaped one in a password is
 * no host. */
static const char *read_user(struct str *authority, struct redis_url *out)
{
    size_t at = authority->len;
    while (at > 0 && authority->data[at - 1] != '@')
        at--;
    if (at == 0)
        return NULL;
    struct str password;
    struct str user = cut(str_n(authority->data, at - 1), ':', &password);
    *authority = str_from(*authority, at);
    if (!password.data || password.len == 0)
        return "before \"@\" stands user:password, or :password for the default user";
    if (!decode(user, out->user, sizeof out->user) || !decode(password, out->password, sizeof out->password))
        return "user and password are percent-encoded, without control characters, of at most 127 and 255 "
               "bytes";
    return NULL;
}

static const char *read_host(struct str text, unsigned port, struct redis_url *out)
{
    if (out->addr_count == REDIS_ADDRS_MAX)
        return "at most 8 Sentinels are allowed";
    bool is_v6 = text.len > 0 && text.data[0] == '[';
    bool has_port = is_v6 ? text.data[text.len - 1] != ']' : str_find(text, ':') >= 0;
    char full[160];
    int len = has_port ? snprintf(full, sizeof full, "%.*s", STR_FMT(text))
                       : snprintf(full, sizeof full, "%.*s:%u", STR_FMT(text), port);
    struct addr *addr = &out->addrs[out->addr_count];
    if (len < 0 || (size_t)len >= sizeof full || str_has_prefix(text, STR("unix:")) ||
        !addr_parse(str_n(full, (size_t)len), addr) || addr->port == 0)
        return "a host is a name, an IPv4 address or an [IPv6 address], with a port from 1 to 65535 behind "
               "\":\" "
               "if it is not the usual one";
    out->addr_count++;
    return NULL;
}

static const char *read_unix(struct str path, struct redis_url *out)
{
    char full[5 + 128] = "unix:";
    if (!decode(path, full + 5, sizeof full - 5) || !addr_parse(str_of(full), &out->addrs[0]))
        return "a socket's path has at most 107 bytes and no control characters";
    out->addr_count = 1;
    return NULL;
}

static const char *read_sentinel(struct str hosts, struct str path, struct redis_url *out)
{
    struct str host;
    while (str_split(&hosts, ',', &host)) {
        const char *why = read_host(host, PORT_SENTINEL, out);
        if (why)
            return why;
    }
    if (out->addr_count == 0)
        return "a Sentinel's host is missing";
    struct str db;
    struct str master = cut(path, '/', &db);
    if (master.len == 0 || !decode(master, out->master, sizeof out->master))
        return "behind the Sentinels stands /master-name, of at most 63 bytes";
    return db.len > 0 ? read_db(db, out) : NULL;
}

static const char *read_rest(const struct scheme *scheme, struct str rest, struct redis_url *out)
{
    struct str query;
    rest = cut(rest, '?', &query);
    ptrdiff_t slash = str_find(rest, '/');
    struct str authority = slash < 0 ? rest : str_n(rest.data, (size_t)slash);
    struct str path = slash < 0 ? str_n("", 0) : str_from(rest, (size_t)slash + 1);

    const char *why = read_query(query, out);
    if (!why)
        why = read_user(&authority, out);
    if (why)
        return why;
    if (scheme->is_unix) {
        if (authority.len > 0 || slash < 0)
            return "a socket is written unix:///path";
        return read_unix(str_from(rest, (size_t)slash), out);
    }
    if (scheme->is_sentinel)
        return read_sentinel(authority, path, out);
    why = read_host(authority, PORT_REDIS, out);
    return why || path.len == 0 ? why : read_db(path, out);
}

bool redis_url_parse(struct str url, struct redis_url *out, const char **why)
{
    *out = (struct redis_url){ 0 };
    *why = "a scheme is missing or unknown: " FORMS;
    ptrdiff_t colon = str_find(url, ':');
    if (colon < 0 || !str_has_prefix(str_from(url, (size_t)colon), STR("://")))
        return false;
    struct str name = str_n(url.data, (size_t)colon);
    if (str_eq(name, STR("rediss"))) {
        *why = "rediss (TLS) is not part of this build: " FORMS;
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        if (!str_eq(name, schemes[i].name))
            continue;
        out->is_sentinel = schemes[i].is_sentinel;
        *why = read_rest(&schemes[i], str_from(url, (size_t)colon + 3), out);
        return *why == NULL;
    }
    return false;
}

void redis_url_show(const struct redis_url *url, char *out, size_t size)
{
    bool is_unix = url->addr_count > 0 && url->addrs[0].kind == ADDR_UNIX;
    size_t at = 0;
    for (unsigned i = 0; i <= url->addr_count + 1 && at < size; i++) {
        int n = 0;
        if (i == 0)
            n = snprintf(out + at, size - at, "%s",
                         url->is_sentinel ? "redis+sentinel://"
                         : is_unix        ? ""
                                          : "redis://");
        else if (i <= url->addr_count)
            n = snprintf(out + at, size - at, "%s%s", i > 1 ? "," : "", url->addrs[i - 1].text);
        else
            n = snprintf(out + at, size - at, "%s%s%s%d", *url->master ? "/" : "", url->master,
                         is_unix ? "?db=" : "/", url->db);
        at += n > 0 ? (size_t)n : 0;
    }
}
