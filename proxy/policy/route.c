/* A trie of path segments for each host and one for routes without a host.
 *
 * Precedence, exactly:
 *   1. routes with the request's host; only if none of them fits, those without a host;
 *   2. among paths, segment by segment from the left: the literal, then "*", then "**". So the longer of
 *      two prefixes wins. A path that ends is closer than one that goes on: for /items, the route /items
 *      beats the one with "**" behind it. No path is the same as "**" alone;
 *   3. on equal paths, one with the request's method beats one without methods;
 *   4. then the first in the file.
 *
 * A route whose methods do not fit is as if it were not there. "*" is one whole segment that is not empty.
 * A slash at the end makes an empty last segment: /items and /items/ are two paths, "**" behind /items fits
 * both. Bytes are compared as sent, without decoding. "**" stands only at the end; the config is checked
 * for that.
 *
 * The work: one hash look-up a segment while the trie goes on; "*" beside literals may make it go back. */
#include "policy/route.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/map.h"

/* Routes with one and the same path, in the order of the file. */
struct choices {
    const struct config_route **rows;
    unsigned count;
};

struct node {
    struct map *literals; /* to struct node; NULL: none */
    struct node *star;
    struct choices here; /* the path ends at this node */
    struct choices rest; /* "**" behind this node */
    struct node *next;   /* all nodes, for freeing */
};

struct routes {
    struct node *all;
    struct map *hosts; /* to struct node */
    struct node *root; /* no host */
};

static struct node *node_new(struct routes *routes)
{
    struct node *node = calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->next = routes->all;
    routes->all = node;
    return node;
}

static bool choices_add(struct choices *choices, const struct config_route *route)
{
    const struct config_route **rows =
        realloc(choices->rows, (choices->count + 1) * sizeof(const struct config_route *));
    if (!rows)
        return false;
    rows[choices->count++] = route;
    choices->rows = rows;
    return true;
}

/* The child for a pattern's segment, made if it is not there. */
static struct node *child(struct routes *routes, struct node *node, struct str segment)
{
    if (str_eq(segment, STR("*"))) {
        if (!node->star)
            node->star = node_new(routes);
        return node->star;
    }
    if (!node->literals)
        node->literals = map_new();
    if (!node->literals)
        return NULL;
    struct node *next = map_get(node->literals, segment);
    if (next)
        return next;
    next = node_new(routes);
    return next && map_put(node->literals, segment, next) ? next : NULL;
}

/* Cuts the segment behind a "/" off *rest: "/a/b" gives "a" and leaves "/b". False at the end. */
static bool next_segment(struct str *rest, struct str *out_segment)
{
    if (rest->len == 0)
        return false;
    struct str behind = str_n(rest->data + 1, rest->len - 1);
    ptrdiff_t slash = str_find(behind, '/');
    *out_segment = slash < 0 ? behind : str_n(behind.data, (size_t)slash);
    *rest = str_n(behind.data + out_segment->len, behind.len - out_segment->len);
    return true;
}

static bool add(struct routes *routes, struct node *node, const struct config_route *route)
{
    struct str rest = route->path, segment;
    if (rest.len == 0)
        return choices_add(&node->rest, route);
    CHECK(rest.data[0] == '/');
    while (next_segment(&rest, &segment)) {
        if (rest.len == 0 && str_eq(segment, STR("**")))
            return choices_add(&node->rest, route);
        node = child(routes, node, segment);
        if (!node)
            return false;
    }
    return choices_add(&node->here, route);
}

struct routes *routes_new(const struct config_route *rows, unsigned count)
{
    struct routes *routes = calloc(1, sizeof *routes);
    if (!routes)
        return NULL;
    routes->root = node_new(routes);
    routes->hosts = map_new();
    if (!routes->root || !routes->hosts)
        goto fail;
    for (unsigned i = 0; i < count; i++) {
        struct node *node = routes->root;
        if (rows[i].host.data) {
            node = map_get(routes->hosts, rows[i].host);
            if (!node)
                node = node_new(routes);
            if (!node || !map_put(routes->hosts, rows[i].host, node))
                goto fail;
        }
        if (!add(routes, node, &rows[i]))
            goto fail;
    }
    return routes;

fail:
    routes_free(routes);
    return NULL;
}

void routes_free(struct routes *routes)
{
    if (!routes)
        return;
    while (routes->all) {
        struct node *node = routes->all;
        routes->all = node->next;
        map_free(node->literals);
        free(node->here.rows);
        free(node->rest.rows);
        free(node);
    }
    map_free(routes->hosts);
    free(routes);
}

static bool has_method(const struct config_route *route, struct str method)
{
    for (unsigned i = 0; i < route->method_count; i++) {
        if (str_eq(route->methods[i], method))
            return true;
    }
    return false;
}

static const struct config_route *pick(const struct choices *choices, struct str method)
{
    const struct config_route *any = NULL;
    for (unsigned i = 0; i < choices->count; i++) {
        const struct config_route *route = choices->rows[i];
        if (route->method_count == 0)
            any = any ? any : route;
        else if (has_method(route, method))
            return route;
    }
    return any;
}

/* As deep as the deepest pattern at most. */
static const struct config_route *find(const struct node *node, struct str rest, struct str method)
{
    const struct config_route *route;
    struct str segment;
    if (!next_segment(&rest, &segment)) {
        route = pick(&node->here, method);
        return route ? route : pick(&node->rest, method);
    }
    const struct node *next = node->literals ? map_get(node->literals, segment) : NULL;
    route = next ? find(next, rest, method) : NULL;
    if (!route && node->star && segment.len > 0)
        route = find(node->star, rest, method);
    return route ? route : pick(&node->rest, method);
}

static const struct config_route *find_in(const struct node *node, struct str path, struct str method)
{
    if (path.len == 0)
        path = STR("/"); /* a prefix was all of it */
    if (path.data[0] != '/')
        return pick(&node->rest, method); /* OPTIONS * */
    return find(node, path, method);
}

const struct config_route *routes_find(const struct routes *routes, struct str host, struct str path,
                                       struct str method)
{
    const struct node *node = map_count(routes->hosts) > 0 ? map_get(routes->hosts, host) : NULL;
    const struct config_route *route = node ? find_in(node, path, method) : NULL;
    return route ? route : find_in(routes->root, path, method);
}
