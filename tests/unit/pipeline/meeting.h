/* A request meets something stored. */
#ifndef TEST_PIPELINE_MEETING_H
#define TEST_PIPELINE_MEETING_H

#include "standing.h"

#define ROUTES(cache) APP "routes:\n  - {path: /**, cache: {" cache "}}\n"
#define SECOND        1000

static struct object_meta meta;
static struct request *req;
static struct object *object;

/* A request meets an answer like `meta`. */
static inline void meets(const char *control)
{
    char lines[256];
    snprintf(lines, sizeof lines, "GET /x HTTP/1.1\nHost: a%s%s", control[0] ? "\n" : "", control);
    req = standing(lines);
    object = shelved(&req->key, &meta, TEN);
}

static inline void part(void)
{
    go_away(req);
    object = object_unref(object);
}

#endif
