/* What must hold of keys, worked out in another and slower way than share.c does: for tests of the unit and
 * the fuzzed kind. Two texts say what a request shows of credentials: `exact` byte by byte, and `meant` as an
 * app may read it, blanks around names and values aside. Equal exact texts have to give equal keys, unequal
 * meant ones unequal keys. */
#ifndef TEST_SHARE_MODEL_H
#define TEST_SHARE_MODEL_H

#include <stdlib.h>

#include "base/check.h"
#include "http/writer.h"
#include "pipeline/share.h"

#define MODEL_BYTES 24000

struct model {
    struct writer primary;
    struct writer exact;
    struct writer meant;
    bool shows_something;
    char bytes[3][MODEL_BYTES];
};

static inline struct str model_name(struct str pair)
{
    ptrdiff_t equals = str_find(pair, '=');
    return str_trim(equals < 0 ? pair : str_n(pair.data, (size_t)equals));
}

static inline bool model_ends_name(struct str pair, size_t at, bool is_behind)
{
    return at >= pair.len || strchr(is_behind ? " \t,=" : " \t,", pair.data[at]);
}

/* Some apps end a pair at a blank or a comma: wherever a listed name stands by itself, it counts. */
static inline bool model_counts(struct str pair, const struct config_cache_rule *rule)
{
    bool is_found = !rule || !rule->has_cookies;
    for (unsigned i = 0; !is_found && i < rule->cookie_count; i++) {
        struct str name = rule->cookies[i];
        for (size_t at = 0; !is_found && at + name.len <= pair.len; at++)
            is_found = str_eq(str_n(pair.data + at, name.len), name) &&
                       model_ends_name(pair, at - 1, false) && model_ends_name(pair, at + name.len, true);
    }
    return is_found && pair.len > 0;
}

static inline void model_put(struct writer *w, char kind, struct str text)
{
    writer_put(w, str_n(&kind, 1));
    writer_put_u64(w, text.len); /* no byte of one part can pass for another's */
    writer_put(w, STR(":"));
    writer_put(w, text);
}

static inline void model_cookies(struct model *model, const struct asker *asker)
{
    for (unsigned i = 0; i < asker->msg->field_count; i++) {
        struct str rest = asker->msg->fields[i].value;
        struct str pair;
        if (!str_ieq(asker->msg->fields[i].name, STR("cookie")))
            continue;
        while (str_split(&rest, ';', &pair)) {
            pair = str_trim(pair);
            if (!model_counts(pair, asker->rule))
                continue;
            ptrdiff_t equals = str_find(pair, '=');
            model->shows_something = true;
            model_put(&model->exact, 'c', pair);
            model_put(&model->meant, 'n', model_name(pair));
            if (equals >= 0)
                model_put(&model->meant, 'v', str_trim(str_from(pair, (size_t)equals + 1)));
        }
    }
}

/* Parameters by name, those of one name in their order: as slowly and plainly as can be. */
static inline void model_target(struct model *model, struct str target, bool is_sorted)
{
    struct str parameters[65];
    unsigned count = 0;
    ptrdiff_t mark = str_find(target, '?');
    struct str rest = mark < 0 ? (struct str){ NULL, 0 } : str_from(target, (size_t)mark + 1);
    while (is_sorted && count < COUNT_OF(parameters) && str_split(&rest, '&', &parameters[count]))
        count++;
    if (count < 2 || count == COUNT_OF(parameters)) {
        model_put(&model->primary, 't', target);
        return;
    }
    for (unsigned i = 1; i < count; i++) {
        for (unsigned k = i; k > 0; k--) {
            ptrdiff_t a_equals = str_find(parameters[k - 1], '='), b_equals = str_find(parameters[k], '=');
            size_t a_len = a_equals < 0 ? parameters[k - 1].len : (size_t)a_equals;
            size_t b_len = b_equals < 0 ? parameters[k].len : (size_t)b_equals;
            size_t common = a_len < b_len ? a_len : b_len;
            int order = common ? memcmp(parameters[k - 1].data, parameters[k].data, common) : 0;
            if (order < 0 || (order == 0 && a_len <= b_len))
                break;
            struct str swapped = parameters[k];
            parameters[k] = parameters[k - 1];
            parameters[k - 1] = swapped;
        }
    }
    struct str path = str_n(target.data, (size_t)mark + 1);
    struct writer text;
    char *bytes = malloc(target.len + 1);
    CHECK(bytes != NULL);
    writer_init(&text, bytes, target.len + 1);
    writer_put(&text, path);
    for (unsigned i = 0; i < count; i++) {
        writer_put(&text, i > 0 ? STR("&") : STR(""));
        writer_put(&text, parameters[i]);
    }
    CHECK(!text.is_over);
    CHECK(text.len == target.len);
    model_put(&model->primary, 't', writer_str(&text));
    free(bytes);
}

static inline void model_init(struct model *model, const struct asker *asker)
{
    const struct config_cache_rule *rule = asker->rule;
    model->shows_something = false;
    writer_init(&model->primary, model->bytes[0], MODEL_BYTES);
    writer_init(&model->exact, model->bytes[1], MODEL_BYTES);
    writer_init(&model->meant, model->bytes[2], MODEL_BYTES);
    model_put(&model->primary, 'w', rule && rule->is_for_all_tenants ? STR("") : asker->tenant);
    model_put(&model->primary, 's', asker->is_https ? STR("https") : STR("http"));
    model_put(&model->primary, 'h', asker->authority);
    model_target(model, asker->target, rule && rule->is_query_sorted);
    for (unsigned i = 0; i < asker->msg->field_count; i++) {
        const struct field *field = &asker->msg->fields[i];
        if (!str_ieq(field->name, STR("authorization")))
            continue;
        model->shows_something = true;
        model_put(&model->exact, 'a', field->value);
        model_put(&model->meant, 'a', field->value);
    }
    model_cookies(model, asker);
    if (!rule || rule->share != SHARE_CREDENTIAL)
        model->exact.len = model->meant.len = 0;
    model_put(&model->exact, 'e', asker->version);
    model_put(&model->meant, 'e', asker->version);
    model_put(&model->exact, 'u', asker->upstream);
    model_put(&model->meant, 'u', asker->upstream);
    CHECK(!model->primary.is_over && !model->exact.is_over && !model->meant.is_over);
}

static inline bool model_path_is_plain(struct str path)
{
    static const char *const bad[] = { "//", ";", "\\", "%2f", "%2F", "%2e", "%2E", "%5c", "%5C" };
    struct str segment;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (path.len > 0 && memmem(path.data, path.len, bad[i], strlen(bad[i])))
            return false;
    }
    while (str_split(&path, '/', &segment)) {
        if (str_eq(segment, STR(".")) || str_eq(segment, STR("..")))
            return false;
    }
    return true;
}

/* Of one decision: what it may never say, and what it would be a pity not to say. */
static inline void model_check_one(const struct asker *asker, const struct model *model,
                                   const struct shared *shared)
{
    const struct config_cache_rule *rule = asker->rule;
    bool is_apart = rule && rule->share == SHARE_CREDENTIAL;
    bool is_known = rule && rule->share == SHARE_TENANT && asker->is_verified;
    bool is_plain = model_path_is_plain(asker->path);
    CHECK(shared->key.primary.data != NULL);
    CHECK(shared->is_apart == is_apart);
    CHECK(!model->shows_something || shared->has_credential);
    if (shared->has_credential && !is_apart && !is_known) {
        CHECK(!shared->may_use_ttl);
        CHECK(!shared->may_guess);
    }
    CHECK(!shared->may_use_ttl || (rule && rule->ttl_ms >= 0 && is_plain));
    CHECK(!shared->may_guess || is_plain);
    CHECK(!shared->may_guess || !rule || !rule->is_heuristic_off);
    if (is_plain && (!shared->has_credential || is_apart || is_known)) {
        CHECK(shared->may_use_ttl == (rule && rule->ttl_ms >= 0));
        CHECK(shared->may_guess == !(rule && rule->is_heuristic_off));
    }
}

static inline bool keys_are_equal(const struct key *a, const struct key *b)
{
    bool is_equal = str_eq(a->primary, b->primary) && str_eq(a->selector, b->selector);
    CHECK(!is_equal || (a->hash == b->hash && a->select == b->select));
    return is_equal;
}

static inline void model_check_two(const struct model *a, const struct key *a_key, const struct model *b,
                                   const struct key *b_key)
{
    bool is_same_primary = str_eq(writer_str(&a->primary), writer_str(&b->primary));
    CHECK(str_eq(a_key->primary, b_key->primary) == is_same_primary);
    if (!str_eq(writer_str(&a->meant), writer_str(&b->meant)))
        CHECK(!str_eq(a_key->selector, b_key->selector));
    if (is_same_primary && str_eq(writer_str(&a->exact), writer_str(&b->exact)))
        CHECK(keys_are_equal(a_key, b_key));
}

#endif
