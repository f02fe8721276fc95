/* Lists of requests by method and path, as in the config: "POST /search". Segment by segment: "*" is one
 * whole segment that is not empty, "**" at the end is whatever comes. Bytes are compared as sent, as weir's
 * routes do. Immutable once read; any thread. */
#ifndef RW_SPLIT_PATTERNS_H
#define RW_SPLIT_PATTERNS_H

#include <weir/plugin.h>

struct pattern {
    char *method; /* "*": any */
    char *path;
};

struct patterns {
    struct pattern *rows;
    unsigned count;
};

/* What the text says, in a sentence of why not otherwise; NULL: taken in. A text without a method counts for
 * method_default, if that is not NULL. */
const char *patterns_add(struct patterns *patterns, struct weir_str text, const char *method_default);
void patterns_fini(struct patterns *patterns);

bool patterns_have(const struct patterns *patterns, struct weir_str method, struct weir_str path);

#endif
