#include "graphql_request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "graphql.h"
#include "json.h"

struct stored {
    const struct weir_str *ids;
    unsigned count;
};

/* What a request's object may have that says what is done. Names of stored documents differ by server; what
 * is beside them and not in here does not matter (variables, a client's own marks). */
enum member {
    MEMBER_QUERY,
    MEMBER_OPERATION_NAME,
    MEMBER_EXTENSIONS,
    MEMBER_DOCUMENT,
    MEMBER_MUTATION,
    MEMBER_FIRST_ID,
    MEMBERS = MEMBER_FIRST_ID + 8
};

static const char *const member_names[MEMBERS] = {
    "query",  "operationName", "extensions", "document",   "mutation",       "id", "documentId", "queryId",
    "doc_id", "docId",         "hash",       "sha256Hash", "persistedQuery",
};

static bool has_name(struct weir_str text, const char *name)
{
    return text.len == strlen(name) && strncasecmp(text.data, name, text.len) == 0;
}

static bool is_same(struct weir_str a, struct weir_str b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static bool is_plain(struct weir_str name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.data[i] >= 0x7f || name.data[i] == '\\')
            return false;
    return true;
}

/* Puts an object's members of these names into out; null is like absent. False: one is there twice or in
 * another case (some readers take "Query" for "query"), or a name is written in a way to hide what it is. */
static bool pick(struct weir_str object, const char *const *names, unsigned count, struct weir_str *out)
{
    struct json_walk walk = json_walk(object);
    bool has[MEMBERS] = { false };

    memset(out, 0, count * sizeof *out);
    if (json_kind(object) != JSON_OBJECT)
        return false;
    while (json_next(&walk)) {
        if (!is_plain(walk.name))
            return false;
        for (unsigned i = 0; i < count; i++) {
            if (!has_name(walk.name, names[i]))
                continue;
            if (has[i] || memcmp(walk.name.data, names[i], walk.name.len) != 0)
                return false;
            has[i] = true;
            if (json_kind(walk.value) != JSON_NULL)
                out[i] = walk.value;
        }
    }
    return true;
}

/* --- stored documents --- */

/* A string without escapes, or a number. */
static bool is_stored_read(const struct stored *stored, struct weir_str value)
{
    enum json_kind kind = json_kind(value);

    if (kind == JSON_STRING)
        value = (struct weir_str){ value.data + 1, value.len - 2 };
    else if (kind != JSON_NUMBER)
        return false;
    for (unsigned i = 0; i < stored->count; i++)
        if (is_same(value, stored->ids[i]))
            return value.len > 0;
    return false;
}

/* Automatic persisted queries: extensions.persistedQuery.sha256Hash. False: unclear. */
static bool find_hash(struct weir_str extensions, struct weir_str *out_hash)
{
    static const char *const outer[] = { "persistedQuery" }, *const inner[] = { "sha256Hash" };
    struct weir_str stored;

    *out_hash = (struct weir_str){ 0 };
    if (!extensions.data)
        return true;
    if (!pick(extensions, outer, 1, &stored))
        return false;
    return !stored.data || pick(stored, inner, 1, out_hash);
}

/* --- documents --- */

/* A string's text: a view if it has no escapes, else in *out_memory, which the caller frees. data NULL: it is
 * no string, or there is no memory. */
static struct weir_str text_of(struct weir_str value, char **out_memory)
{
    struct weir_str text = { 0 };
    size_t len;

    *out_memory = NULL;
    if (json_kind(value) != JSON_STRING || value.len > 6 * GRAPHQL_DOCUMENT_MAX)
        return text;
    if (!memchr(value.data, '\\', value.len))
        return (struct weir_str){ value.data + 1, value.len - 2 };
    *out_memory = malloc(value.len);
    if (*out_memory && json_text(value, *out_memory, &len))
        text = (struct weir_str){ *out_memory, len };
    return text;
}

static bool document_is_read(struct weir_str query, struct weir_str operation_name)
{
    char *query_memory = NULL, *name_memory = NULL;
    struct weir_str document = text_of(query, &query_memory);
    struct weir_str name = { 0 };
    bool is_clear = document.data != NULL;

    if (operation_name.data) {
        name = text_of(operation_name, &name_memory);
        is_clear = is_clear && name.data;
    }
    is_clear = is_clear && graphql_kind_of(document, name) == GRAPHQL_READ;
    free(query_memory);
    free(name_memory);
    return is_clear;
}

/* An id beside a document: some servers go by the one, some by the other. A hash beside it is of it: else the
 * server refuses both. */
static bool object_is_read(struct weir_str object, const struct stored *stored)
{
    struct weir_str members[MEMBERS], hash;
    bool has_id = false;

    if (!pick(object, member_names, MEMBERS, members) || !find_hash(members[MEMBER_EXTENSIONS], &hash))
        return false;
    if (members[MEMBER_DOCUMENT].data || members[MEMBER_MUTATION].data)
        return false;
    for (unsigned i = MEMBER_FIRST_ID; i < MEMBERS; i++) {
        if (!members[i].data)
            continue;
        if (!is_stored_read(stored, members[i]))
            return false;
        has_id = true;
    }
    if (members[MEMBER_QUERY].data)
        return document_is_read(members[MEMBER_QUERY], members[MEMBER_OPERATION_NAME]);
    return hash.data ? is_stored_read(stored, hash) : has_id;
}

static bool batch_is_read(struct weir_str array, const struct stored *stored)
{
    struct json_walk walk = json_walk(array);
    unsigned count = 0;

    while (json_next(&walk))
        if (++count > GRAPHQL_BATCH_MAX || !object_is_read(walk.value, stored))
            return false;
    return count > 0;
}

/* --- HTTP --- */

static struct weir_str trimmed(struct weir_str text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = (struct weir_str){ text.data + 1, text.len - 1 };
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* Takes what stands before the first of these bytes off *rest, and that byte. */
static struct weir_str take_until(struct weir_str *rest, const char *ends)
{
    size_t len = 0;
    struct weir_str part;

    while (len < rest->len && (!rest->data[len] || !strchr(ends, rest->data[len])))
        len++;
    part = (struct weir_str){ rest->data, len };
    len += len < rest->len;
    *rest = (struct weir_str){ rest->data + len, rest->len - len };
    return part;
}

/* In another encoding the bytes would be other characters. */
static bool has_foreign_charset(struct weir_str parameters)
{
    while (parameters.len > 0) {
        struct weir_str value = trimmed(take_until(&parameters, ";"));
        struct weir_str name = trimmed(take_until(&value, "="));

        value = trimmed(value);
        if (has_name(name, "charset") && !has_name(value, "utf-8") && !has_name(value, "utf8") &&
            !has_name(value, "\"utf-8\""))
            return true;
    }
    return false;
}

/* Some servers take a document or its name from the URL, even of a POST. Escaped names might be any. */
static bool says_in_url(struct weir_str query_string)
{
    while (query_string.len > 0) {
        struct weir_str pair = take_until(&query_string, "&;");
        struct weir_str name = take_until(&pair, "=[.");

        if (!is_plain(name) ||
            (name.len > 0 && (memchr(name.data, '%', name.len) || memchr(name.data, '+', name.len))))
            return true;
        for (unsigned i = 0; i < MEMBERS; i++)
            if (has_name(name, member_names[i]))
                return true;
    }
    return false;
}

bool graphql_request_is_read(const struct graphql_request *request, const struct weir_str *ids,
                             unsigned count)
{
    struct stored stored = { ids, count };
    struct weir_str parameters = request->content_type;
    struct weir_str body = request->body;
    struct weir_str type;

    if (!body.data || body.len > GRAPHQL_BODY_MAX || !parameters.data)
        return false;
    type = trimmed(take_until(&parameters, ";"));
    if (has_foreign_charset(parameters) || says_in_url(request->query_string))
        return false;
    if (has_name(type, "application/graphql"))
        return graphql_kind_of(body, (struct weir_str){ 0 }) == GRAPHQL_READ;
    if (!has_name(type, "application/json") || !json_is_valid(body))
        return false;
    return json_kind(body) == JSON_ARRAY ? batch_is_read(body, &stored) : object_is_read(body, &stored);
}
