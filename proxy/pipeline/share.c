#include "pipeline/share.h"

#include <stdlib.h>

#include "base/check.h"
#include "http/target.h"
#include "http/writer.h"

#define PARAMETERS_MAX 64 /* a query with more is taken as it is */

static bool is_listed(struct str piece, const struct config_cache_rule *rule)
{
    ptrdiff_t equals = str_find(piece, '=');
    struct str name = equals < 0 ? piece : str_n(piece.data, (size_t)equals);
    for (unsigned i = 0; i < rule->cookie_count; i++) {
        if (str_eq(name, rule->cookies[i]))
            return true;
    }
    return false;
}

/* Apps read cookies in many ways: some end a pair at a blank or a comma too, some trim the name. What any of
 * them takes for a listed cookie counts as one. */
static bool counts_as_credential(struct str pair, const struct config_cache_rule *rule)
{
    size_t start = 0;
    if (pair.len == 0)
        return false;
    if (!rule || !rule->has_cookies)
        return true;
    for (size_t i = 0; i <= pair.len; i++) {
        char c = i < pair.len ? pair.data[i] : ' ';
        if (c != ' ' && c != '\t' && c != ',')
            continue;
        if (is_listed(str_n(pair.data + start, i - start), rule))
            return true;
        start = i + 1;
    }
    return false;
}

/* The cookies that count as credentials; data NULL: there are none. False: out of memory, which must not look
 * like that. */
static bool credential_cookies(const struct asker *asker, struct arena *arena, struct str *out)
{
    const struct field *first = message_field(asker->msg, FIELD_COOKIE);
    size_t size = 0;
    struct writer w;

    *out = (struct str){ NULL, 0 };
    for (const struct field *field = first; field; field = message_next(asker->msg, field))
        size += field->value.len + 2;
    if (size == 0)
        return true;
    char *data = arena_alloc(arena, size);
    if (!data)
        return false;
    writer_init(&w, data, size);
    for (const struct field *field = first; field; field = message_next(asker->msg, field)) {
        struct str rest = field->value;
        struct str pair;
        while (str_split(&rest, ';', &pair)) {
            pair = str_trim(pair);
            if (!counts_as_credential(pair, asker->rule))
                continue;
            writer_put(&w, pair);
            writer_put(&w, STR(";"));
        }
    }
    if (w.len > 0)
        *out = writer_str(&w);
    return !w.is_over;
}

/* All Authorization lines: apps take the first, the last, or join them. data NULL: there is none. */
static bool all_authorization(const struct asker *asker, struct arena *arena, struct str *out)
{
    const struct field *first = message_field(asker->msg, FIELD_AUTHORIZATION);
    size_t size = 0;
    struct writer w;

    *out = first ? first->value : (struct str){ NULL, 0 };
    if (!first || !message_next(asker->msg, first))
        return true;
    for (const struct field *field = first; field; field = message_next(asker->msg, field))
        size += field->value.len + 1;
    char *data = arena_alloc(arena, size);
    if (!data)
        return false;
    writer_init(&w, data, size);
    for (const struct field *field = first; field; field = message_next(asker->msg, field)) {
        writer_put(&w, field->value);
        writer_put(&w, STR("\n")); /* which no value holds */
    }
    *out = writer_str(&w);
    return !w.is_over;
}

/* --- query: sorted --- */

/* By name: the order of two values of one name may mean something, and stays. */
static int compare_parameters(const void *left, const void *right)
{
    const struct str *a = left, *b = right;
    ptrdiff_t a_end = str_find(*a, '='), b_end = str_find(*b, '=');
    size_t a_len = a_end < 0 ? a->len : (size_t)a_end, b_len = b_end < 0 ? b->len : (size_t)b_end;
    int order = memcmp(a->data, b->data, a_len < b_len ? a_len : b_len);
    if (order != 0)
        return order;
    if (a_len != b_len)
        return a_len < b_len ? -1 : 1;
    return a->data < b->data ? -1 : a->data > b->data;
}

/* The target with its parameters in order; as it is, if there is nothing to sort. data NULL: no memory. */
static struct str sort_query(struct str target, struct arena *arena)
{
    struct str parameters[PARAMETERS_MAX];
    unsigned count = 0;
    ptrdiff_t mark = str_find(target, '?');
    if (mark < 0)
        return target;
    struct str rest = str_from(target, (size_t)mark + 1);
    struct str parameter;
    while (str_split(&rest, '&', &parameter)) {
        if (count == COUNT_OF(parameters))
            return target;
        parameters[count++] = parameter;
    }
    if (count < 2)
        return target;
    qsort(parameters, count, sizeof *parameters, compare_parameters);
    struct writer w;
    char *data = arena_alloc(arena, target.len + 1);
    if (!data)
        return (struct str){ NULL, 0 };
    writer_init(&w, data, target.len + 1);
    writer_put(&w, str_n(target.data, (size_t)mark + 1));
    for (unsigned i = 0; i < count; i++) {
        writer_put(&w, i ? STR("&") : STR(""));
        writer_put(&w, parameters[i]);
    }
    return writer_str(&w);
}

/* --- keys --- */

static bool is_apart(const struct asker *asker)
{
    return asker->rule && asker->rule->share == SHARE_CREDENTIAL;
}

static bool make(const struct asker *asker, struct str target, struct str cookies, bool is_part,
                 struct arena *arena, struct key *out)
{
    const struct str none = { NULL, 0 };
    struct str authorization = none;
    if (is_apart(asker) && !all_authorization(asker, arena, &authorization))
        return false;
    if (asker->rule && asker->rule->is_query_sorted) {
        target = sort_query(target, arena);
        if (!target.data)
            return false;
    }
    const struct key_parts parts = {
        .tenant = asker->rule && asker->rule->is_for_all_tenants ? STR("") : asker->tenant,
        .is_https = asker->is_https,
        .authority = asker->authority,
        .target = target,
        .version = asker->version,
        .upstream = asker->upstream,
        .method_class = is_part ? STR("PART") : STR("GET"),
        .authorization = authorization,
        .cookie = is_apart(asker) ? cookies : none,
    };
    return key_make(out, &parts, arena);
}

bool share_key_for(const struct asker *asker, struct str target, bool is_part, struct arena *arena,
                   struct key *out)
{
    struct str cookies = { NULL, 0 };
    if (is_apart(asker) && !credential_cookies(asker, arena, &cookies))
        return false;
    return make(asker, target, cookies, is_part, arena, out);
}

bool share_decide(const struct asker *asker, struct arena *arena, struct shared *out)
{
    const struct config_cache_rule *rule = asker->rule;
    struct str cookies;
    if (!credential_cookies(asker, arena, &cookies) ||
        !make(asker, asker->target, cookies, false, arena, &out->key))
        return false;
    bool is_plain = path_is_plain(asker->path);
    out->is_apart = is_apart(asker);
    out->has_credential = message_field(asker->msg, FIELD_AUTHORIZATION) || cookies.data;
    bool is_for_it =
        !out->has_credential || out->is_apart || (rule && rule->share == SHARE_TENANT && asker->is_verified);
    out->may_use_ttl = rule && rule->ttl_ms >= 0 && is_plain && is_for_it;
    out->may_guess = !(rule && rule->is_heuristic_off) && is_plain && is_for_it;
    return true;
}
