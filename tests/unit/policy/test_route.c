#include "policy/route.h"

#include "ask.h"

struct row {
    const char *host; /* NULL: any */
    const char *path;
    const char *method; /* NULL: any */
};

static void fill(struct config_route *route, struct str *method, const struct row *row)
{
    *route = (struct config_route){ .host = str_of(row->host), .path = str_of(row->path) };
    if (row->method) {
        *method = str_of(row->method);
        route->methods = method;
        route->method_count = 1;
    }
}

static const struct row table[] = {
    /*  0 */ { NULL, "/items/**", NULL },
    /*  1 */ { NULL, "/items/new", NULL },
    /*  2 */ { NULL, "/items/*", NULL },
    /*  3 */ { NULL, "/items/*/parts", NULL },
    /*  4 */ { NULL, "/items/*/parts/**", "POST" },
    /*  5 */ { "shop.example.com", "/checkout", "POST" },
    /*  6 */ { NULL, "/checkout", NULL },
    /*  7 */ { "shop.example.com", "/items/**", NULL },
    /*  8 */ { NULL, "/**", "DELETE" },
    /*  9 */ { NULL, "/items/new", "PUT" },
    /* 10 */ { NULL, "/", NULL },
    /* 11 */ { NULL, "/a/*/c", NULL },
    /* 12 */ { NULL, "/a/b/**", "GET" },
};

Test(route, precedence_is_as_documented)
{
    static const struct {
        const char *host;
        const char *path;
        const char *method;
        int want; /* -1: none */
    } rows[] = {
        { "x", "/items", "GET", 0 },
        { "x", "/items/", "GET", 0 }, /* "*" is not empty */
        { "x", "/items/new", "GET", 1 },
        { "x", "/items/new", "PUT", 9 },
        { "x", "/items/new/", "GET", 0 },
        { "x", "/items/7", "GET", 2 },
        { "x", "/items/7/parts", "GET", 3 },
        { "x", "/items/7/parts", "POST", 3 }, /* a path that ends is closer */
        { "x", "/items/7/parts/1", "POST", 4 },
        { "x", "/items/7/parts/1", "GET", 0 }, /* back to the shorter one */
        { "x", "/items/7/8", "GET", 0 },
        { "x", "/itemsx", "GET", -1 },
        { "x", "/Items", "GET", -1 },
        { "x", "/item", "DELETE", 8 },
        { "shop.example.com", "/checkout", "POST", 5 },
        { "shop.example.com", "/checkout", "GET", 6 },  /* the host's does not fit */
        { "shop.example.com", "/items/new", "GET", 7 }, /* a host beats a longer path */
        { "shop.example.com", "/", "GET", 10 },
        { "x", "/", "GET", 10 },
        { "x", "", "GET", 10 }, /* a prefix was all of it */
        { "x", "*", "OPTIONS", -1 },
        { "x", "*", "DELETE", 8 },
        { "x", "/a/b/c", "GET", 12 }, /* the literal decides before what is behind it */
        { "x", "/a/b/c", "HEAD", 11 },
        { "x", "//items", "GET", -1 },
    };
    struct config_route routes[COUNT_OF(table)];
    struct str methods[COUNT_OF(table)];
    for (size_t i = 0; i < COUNT_OF(table); i++)
        fill(&routes[i], &methods[i], &table[i]);
    struct routes *all = routes_new(routes, COUNT_OF(table));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct config_route *got =
            routes_find(all, str_of(rows[i].host), str_of(rows[i].path), str_of(rows[i].method));
        cr_expect_eq(got ? (int)(got - routes) : -1, rows[i].want, "row %zu: %d", i,
                     got ? (int)(got - routes) : -1);
    }
    routes_free(all);
}

Test(route, no_routes_match_nothing)
{
    struct routes *none = routes_new(NULL, 0);
    cr_expect_null(routes_find(none, STR("x"), STR("/"), STR("GET")));
    routes_free(none);
    routes_free(NULL);
}

Test(route, without_a_path_it_takes_every_path)
{
    struct config_route rows[] = { { .host = STR("x") }, { .path = STR("/a") } };
    struct routes *routes = routes_new(rows, 2);
    cr_expect_eq(routes_find(routes, STR("x"), STR("/a"), STR("GET")), &rows[0]);
    cr_expect_eq(routes_find(routes, STR("x"), STR("*"), STR("OPTIONS")), &rows[0]);
    cr_expect_eq(routes_find(routes, STR("y"), STR("/a"), STR("GET")), &rows[1]);
    cr_expect_null(routes_find(routes, STR("y"), STR("/b"), STR("GET")));
    routes_free(routes);
}

/* --- the same rules written down plainly: match each route, then compare the two that match --- */

static unsigned split(struct str path, struct str parts[16])
{
    unsigned count = 0;
    struct str rest = str_from(path, 1);
    if (path.len == 1)
        rest = STR("");
    for (;;) {
        ptrdiff_t slash = str_find(rest, '/');
        parts[count++] = slash < 0 ? rest : str_n(rest.data, (size_t)slash);
        if (slash < 0)
            return count;
        rest = str_n(rest.data + slash + 1, rest.len - (size_t)slash - 1);
    }
}

static bool is_match(const struct config_route *route, struct str host, struct str path, struct str method)
{
    struct str have[16], want[16];
    if (route->host.data && !str_eq(route->host, host))
        return false;
    if (route->method_count > 0 && !str_eq(route->methods[0], method))
        return false;
    unsigned have_count = split(path, have), want_count = split(route->path, want);
    for (unsigned i = 0; i < want_count; i++) {
        if (str_eq(want[i], STR("**")))
            return true;
        if (i >= have_count)
            return false;
        if (str_eq(want[i], STR("*")) ? have[i].len == 0 : !str_eq(want[i], have[i]))
            return false;
    }
    return have_count == want_count;
}

static int rank(struct str segment)
{
    return str_eq(segment, STR("**")) ? 2 : str_eq(segment, STR("*")) ? 1 : 0;
}

static bool is_better(const struct config_route *a, const struct config_route *b)
{
    struct str x[16], y[16];
    if ((a->host.data != NULL) != (b->host.data != NULL))
        return a->host.data != NULL;
    unsigned x_count = split(a->path, x), y_count = split(b->path, y);
    for (unsigned i = 0; i < x_count || i < y_count; i++) {
        int left = i < x_count ? rank(x[i]) : -1, right = i < y_count ? rank(y[i]) : -1;
        if (left != right)
            return left < right;
    }
    if (a->method_count != b->method_count)
        return a->method_count > b->method_count;
    return a < b;
}

static struct str random_path(uint64_t *seed, bool is_pattern, char out[64])
{
    static const char *const words[] = { "a", "b", "c", "", "*", "**" };
    unsigned segments = 1 + random_below(seed, 4);
    char *at = out;
    for (unsigned i = 0; i < segments; i++) {
        bool is_last = i + 1 == segments;
        unsigned kinds = !is_pattern ? 4 : is_last ? 6 : 5;
        unsigned word = random_below(seed, kinds);
        if (words[word][0] == '\0' && !is_last)
            word = 0;
        at += sprintf(at, "/%s", words[word]);
    }
    return str_of(out);
}

Test(route, agrees_with_a_naive_matcher)
{
    enum {
        ROUTES = 24
    };
    static char paths[ROUTES][64], path[64];
    struct str hosts[] = { STR("h"), STR("i") }, methods[] = { STR("GET"), STR("POST") };
    uint64_t seed = 42;
    for (int round = 0; round < 300; round++) {
        struct config_route rows[ROUTES];
        unsigned count = 1 + random_below(&seed, ROUTES);
        for (unsigned i = 0; i < count; i++) {
            rows[i] = (struct config_route){ .path = random_path(&seed, true, paths[i]) };
            if (random_below(&seed, 4) == 0)
                rows[i].host = hosts[0];
            if (random_below(&seed, 3) == 0) {
                rows[i].methods = &methods[random_below(&seed, 2)];
                rows[i].method_count = 1;
            }
        }
        struct routes *routes = routes_new(rows, count);
        for (int i = 0; i < 100; i++) {
            struct str host = hosts[random_below(&seed, 2)], method = methods[random_below(&seed, 2)];
            struct str asked = random_path(&seed, false, path);
            const struct config_route *want = NULL;
            for (unsigned at = 0; at < count; at++) {
                if (is_match(&rows[at], host, asked, method) && (!want || is_better(&rows[at], want)))
                    want = &rows[at];
            }
            const struct config_route *got = routes_find(routes, host, asked, method);
            cr_assert_eq(got, want, "round %d: %s -> %.*s, want %.*s", round, path,
                         STR_FMT(got ? got->path : STR("-")), STR_FMT(want ? want->path : STR("-")));
        }
        routes_free(routes);
    }
}
