/* What is stored for a request. */
#ifndef TEST_PIPELINE_KEPT_H
#define TEST_PIPELINE_KEPT_H

#include "standing.h"

#define GET_X         "GET /x HTTP/1.1\nHost: a"
#define ROUTES(cache) APP "routes:\n  - {path: /**, cache: {" cache "}}\n"
#define OK(fields)    "HTTP/1.1 200 OK\r\n" fields "Content-Length: 0\r\n\r\n"
#define RENEW(fields) "HTTP/1.1 304 Not Modified\r\n" fields "\r\n"

static struct cache_found found;
static struct object_meta meta;

/* What is there for that request: found and meta, until let_go(). */
static inline bool finds(const char *lines)
{
    struct request *req = standing(lines);
    cache_find(place.city.cache, &req->key, &req->msg, now_ms(), &found);
    go_away(req);
    if (found.object)
        object_meta_read(found.object, &meta);
    return found.object != NULL;
}

static inline void let_go(void)
{
    found.object = object_unref(found.object);
}

static inline bool is_kept(const char *lines)
{
    bool is_there = finds(lines);
    let_go();
    return is_there;
}

#endif
