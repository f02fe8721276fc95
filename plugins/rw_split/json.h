/* A strict reader of JSON texts (RFC 8259) that keeps nothing: values are views into the text. Pure, any
 * thread.
 *
 * It knows the grammar and refuses what two readers might read differently: bytes that are no UTF-8, a byte
 * order mark, anything behind the value, nesting deeper than JSON_DEPTH_MAX. What a member means, and what to
 * make of one that is there twice, its callers know.
 *
 * Check the whole text once with json_is_valid(); the others take a value of a text that passed. */
#ifndef RW_SPLIT_JSON_H
#define RW_SPLIT_JSON_H

#include <weir/plugin.h>

#define JSON_DEPTH_MAX 64

bool json_is_valid(struct weir_str text);

enum json_kind {
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL
};

/* Of a value, blanks around it or not. */
enum json_kind json_kind(struct weir_str value);

/* Walks through an object or an array: begins with the value itself, then with what is left of it.
 *
 *     struct json_walk walk = json_walk(value);
 *     while (json_next(&walk))
 *         ... walk.name, walk.value ...
 */
struct json_walk {
    struct weir_str name;  /* a member's, between its quotes and with its escapes; empty in an array */
    struct weir_str value; /* without blanks around it */
    struct weir_str rest;
    bool is_object;
};

struct json_walk json_walk(struct weir_str value);
bool json_next(struct json_walk *walk);

/* A string's text without quotes and escapes, into out, which has value.len bytes. False: it is none, or has
 * half a surrogate pair in it, which is no character. */
bool json_text(struct weir_str value, char *out, size_t *out_len);

/* "replication.position": the value at the end of that path of members, the last one of those named alike;
 * data NULL: there is none, or the text is no JSON. Names with escapes are not found. */
struct weir_str json_find(struct weir_str text, const char *path);

#endif
