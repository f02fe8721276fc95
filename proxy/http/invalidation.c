/* Which stored target a Location or Content-Location names: RFC 9111 4.4, RFC 3986 5.2. */
#include "http/caching.h"
#include "http/chars.h"
#include "http/target.h"
#include "http/writer.h"

#define AUTHORITY_MAX 512

struct reference {
    struct str scheme;    /* data NULL: none */
    struct str authority; /* data NULL: none */
    struct str path;
    struct str query; /* data NULL: none */
};

/* RFC 3986 3.1. The colon of a scheme comes before any "/", "?". */
static size_t scheme_len(struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = ascii_lower(value.data[i]);
        if (c == ':')
            return i;
        bool is_letter = c >= 'a' && c <= 'z';
        if (!is_letter && (i == 0 || !(char_is(c, CHAR_DIGIT) || c == '+' || c == '-' || c == '.')))
            return 0;
    }
    return 0;
}

static struct str cut_query(struct str *path)
{
    ptrdiff_t mark = str_find(*path, '?');
    if (mark < 0)
        return (struct str){ NULL, 0 };
    struct str query = str_from(*path, (size_t)mark + 1);
    *path = str_n(path->data, (size_t)mark);
    return query;
}

static struct reference split(struct str value)
{
    struct reference out = { .scheme = { NULL, 0 } };
    ptrdiff_t hash = str_find(value, '#');
    if (hash >= 0)
        value = str_n(value.data, (size_t)hash);
    size_t scheme = scheme_len(value);
    if (scheme > 0) {
        out.scheme = str_n(value.data, scheme);
        value = str_from(value, scheme + 1);
    }
    if (str_has_prefix(value, STR("//"))) {
        size_t len = 2;
        while (len < value.len && value.data[len] != '/' && value.data[len] != '?')
            len++;
        out.authority = str_n(value.data + 2, len - 2);
        value = str_from(value, len);
    }
    out.path = value;
    out.query = cut_query(&out.path);
    return out;
}

/* RFC 9110 4.3.1: scheme, host and port. */
static bool is_same_origin(const struct reference *ref, bool is_https, struct str authority)
{
    char normal[AUTHORITY_MAX];
    if (ref->scheme.data && !str_ieq(ref->scheme, is_https ? STR("https") : STR("http")))
        return false;
    if (!ref->authority.data)
        return !ref->scheme.data; /* "http:path" names no authority: no http reference (4.2.1) */
    if (!authority_is_valid(ref->authority))
        return false;
    size_t len = authority_normalise(ref->authority, is_https, normal, sizeof normal);
    return len > 0 && str_eq(str_n(normal, len), authority);
}

/* Adds one segment, with the slash before it, to a path (RFC 3986 5.2.4). */
static void put_segment(struct writer *w, struct str segment, bool is_last)
{
    bool is_up = str_eq(segment, STR(".."));
    if (is_up) {
        while (w->len > 0 && w->data[w->len - 1] != '/')
            w->len--;
        if (w->len > 0)
            w->len--;
    }
    if (is_up || str_eq(segment, STR("."))) {
        if (is_last)
            writer_put(w, STR("/"));
        return;
    }
    writer_put(w, STR("/"));
    writer_put(w, segment);
}

/* RFC 3986 5.2.3: all of the base but its last segment, then the reference. head is empty or begins with a
 * slash; what follows it is cut at slashes, so that neither has to be joined anywhere first. */
static void put_path(struct writer *w, struct str head, struct str path)
{
    struct str rest = str_from(head, 1);
    struct str segment;
    while (str_split(&rest, '/', &segment)) {
        if (rest.data)
            put_segment(w, segment, false);
    }
    rest = path;
    while (str_split(&rest, '/', &segment))
        put_segment(w, segment, !rest.data);
}

static struct str base_head(struct str path)
{
    size_t len = path.len;
    while (len > 0 && path.data[len - 1] != '/')
        len--;
    return str_n(path.data, len);
}

bool invalidation_target(struct str value, bool is_https, struct str authority, struct str base_target,
                         char *out, size_t size, struct str *out_target)
{
    struct reference ref = split(value);
    struct str base_path = base_target;
    struct str base_query = cut_query(&base_path);
    struct writer w;
    if (value.len == 0 || !is_same_origin(&ref, is_https, authority))
        return false;

    writer_init(&w, out, size);
    if (ref.path.len > 0 && ref.path.data[0] == '/') {
        put_path(&w, STR(""), str_from(ref.path, 1));
    } else if (ref.path.len > 0 && !ref.authority.data) {
        put_path(&w, base_head(base_path), ref.path);
    } else if (ref.authority.data) {
        writer_put(&w, STR("/"));
    } else { /* only a query or a fragment: the same path as it stands */
        writer_put(&w, base_path);
        ref.query = ref.query.data ? ref.query : base_query;
    }
    if (ref.query.data) {
        writer_put(&w, STR("?"));
        writer_put(&w, ref.query);
    }
    *out_target = writer_str(&w);
    return !w.is_over && target_is_valid(*out_target);
}
