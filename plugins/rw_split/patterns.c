#include "patterns.h"

#include <stdlib.h>
#include <string.h>

void patterns_fini(struct patterns *patterns)
{
    for (unsigned i = 0; i < patterns->count; i++) {
        free(patterns->rows[i].method);
        free(patterns->rows[i].path);
    }
    free(patterns->rows);
    *patterns = (struct patterns){ 0 };
}

static const char *check_path(struct weir_str path)
{
    if (path.len == 0 || path.data[0] != '/')
        return "needs a path that begins with a slash";
    for (size_t i = 0; i < path.len; i++) {
        if (path.data[i] <= ' ' || path.data[i] == '?' || path.data[i] == '#')
            return "needs a path without spaces and queries";
        if (i > 0 && path.data[i] == '*' && path.data[i - 1] == '*' && i + 1 < path.len)
            return "may have ** at its end only";
    }
    return NULL;
}

const char *patterns_add(struct patterns *patterns, struct weir_str text, const char *method_default)
{
    const char *space = text.len ? memchr(text.data, ' ', text.len) : NULL;
    size_t method_len = space ? (size_t)(space - text.data) : 0;
    struct weir_str path = text;
    struct pattern *rows;
    struct pattern row;
    const char *why;

    if (space)
        path = (struct weir_str){ space + 1, text.len - method_len - 1 };
    else if (!method_default)
        return "needs a method and a path, as in POST /search";
    if (space && method_len == 0)
        return "needs a method before its path";
    for (size_t i = 0; i < method_len; i++) /* RFC 9110 9.1: case-sensitive, and all that are known are so */
        if (text.data[i] >= 'a' && text.data[i] <= 'z')
            return "needs its method in capitals, as in POST /search";
    why = check_path(path);
    if (why)
        return why;
    row.method = space ? strndup(text.data, method_len) : strdup(method_default);
    row.path = strndup(path.data, path.len);
    rows = realloc(patterns->rows, (patterns->count + 1) * sizeof *rows);
    if (rows)
        patterns->rows = rows;
    if (!rows || !row.method || !row.path) {
        free(row.method);
        free(row.path);
        return "found no memory";
    }
    patterns->rows[patterns->count++] = row;
    return NULL;
}

/* The length of what stands before the next slash. */
static size_t segment(const char *at, const char *end)
{
    const char *slash = at < end ? memchr(at, '/', (size_t)(end - at)) : NULL;

    return (size_t)((slash ? slash : end) - at);
}

static bool fits(const char *pattern, struct weir_str path)
{
    const char *pattern_end = pattern + strlen(pattern);
    const char *at = path.data;
    const char *end = path.data + path.len;

    /* Both stand on a slash, or at the end. */
    while (pattern < pattern_end && at < end) {
        size_t want = segment(++pattern, pattern_end);
        size_t have;

        if (want == 2 && memcmp(pattern, "**", 2) == 0)
            return true;
        have = segment(++at, end);
        if (want == 1 && *pattern == '*') {
            if (have == 0)
                return false;
        } else if (want != have || memcmp(pattern, at, want) != 0) {
            return false;
        }
        pattern += want;
        at += have;
    }
    return pattern == pattern_end && at == end;
}

bool patterns_have(const struct patterns *patterns, struct weir_str method, struct weir_str path)
{
    if (path.len == 0 || path.data[0] != '/')
        return false;
    for (unsigned i = 0; i < patterns->count; i++) {
        const struct pattern *row = &patterns->rows[i];
        size_t len = strlen(row->method);
        bool is_method = strcmp(row->method, "*") == 0 ||
                         (len == method.len && memcmp(row->method, method.data, len) == 0);

        if (is_method && fits(row->path, path))
            return true;
    }
    return false;
}
