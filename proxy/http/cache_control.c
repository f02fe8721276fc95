/* Reading Cache-Control and Pragma, RFC 9111 5.2 and 5.4, and targeted fields, RFC 9213. */
#include <stddef.h>

#include "base/check.h"
#include "http/caching.h"
#include "http/chars.h"
#include "http/structured.h"

#define SECONDS_MAX ((int64_t)1 << 31) /* RFC 9111 1.2.2: what does not fit counts as this */

enum kind {
    FORBIDS, /* a flag that takes something away */
    GRANTS,  /* a flag that allows something */
    SECONDS,
    SECONDS_OR_ANY, /* without a value: without a limit */
    FIELDS,         /* a flag, or names of the fields it is about */
};

struct row {
    struct str name;
    enum kind kind;
    size_t at;        /* in struct cache_control */
    size_t fields_at; /* FIELDS: where the names go */
};

#define AT(field) offsetof(struct cache_control, field)

static const struct row rows[] = {
    { STR_INIT("max-age"), SECONDS, AT(max_age_s), 0 },
    { STR_INIT("s-maxage"), SECONDS, AT(s_maxage_s), 0 },
    { STR_INIT("no-store"), FORBIDS, AT(is_no_store), 0 },
    { STR_INIT("no-cache"), FIELDS, AT(is_no_cache), AT(no_cache_fields) },
    { STR_INIT("private"), FIELDS, AT(is_private), AT(private_fields) },
    { STR_INIT("public"), GRANTS, AT(is_public), 0 },
    { STR_INIT("must-revalidate"), FORBIDS, AT(is_must_revalidate), 0 },
    { STR_INIT("proxy-revalidate"), FORBIDS, AT(is_proxy_revalidate), 0 },
    { STR_INIT("must-understand"), GRANTS, AT(is_must_understand), 0 },
    { STR_INIT("only-if-cached"), FORBIDS, AT(is_only_if_cached), 0 },
    { STR_INIT("immutable"), GRANTS, AT(is_immutable), 0 },
    { STR_INIT("min-fresh"), SECONDS, AT(min_fresh_s), 0 },
    { STR_INIT("max-stale"), SECONDS_OR_ANY, AT(max_stale_s), 0 },
    { STR_INIT("stale-while-revalidate"), SECONDS, AT(stale_while_revalidate_s), 0 },
    { STR_INIT("stale-if-error"), SECONDS, AT(stale_if_error_s), 0 },
};

static const struct cache_control nothing_said = {
    .max_age_s = -1,
    .s_maxage_s = -1,
    .min_fresh_s = -1,
    .max_stale_s = -1,
    .stale_while_revalidate_s = -1,
    .stale_if_error_s = -1,
};

static const struct row *row_of(struct str name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (str_ieq(name, rows[i].name))
            return &rows[i];
    }
    return NULL;
}

static bool *flag_at(struct cache_control *control, const struct row *row)
{
    return (void *)((char *)control + row->at);
}

static int64_t *seconds_at(struct cache_control *control, const struct row *row)
{
    return (void *)((char *)control + row->at);
}

static struct str *fields_at(struct cache_control *control, const struct row *row)
{
    return (void *)((char *)control + row->fields_at);
}

struct directive {
    struct str name;
    struct str argument; /* without quotes; data NULL: none */
    bool is_quoted;
    bool is_malformed; /* blanks around "=", or something behind the quotes */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The length of the quoted-string (RFC 9110 5.6.4) in front, 0 if there is none. One that never closes is
 * none: it must not swallow a no-store. */
static size_t quoted_len(struct str text)
{
    if (text.len == 0 || text.data[0] != '"')
        return 0;
    for (size_t i = 1; i < text.len; i++) {
        if (text.data[i] == '\\')
            i++;
        else if (text.data[i] == '"')
            return i + 1;
    }
    return 0;
}

static bool next_directive(struct str *rest, struct directive *out)
{
    while (rest->len > 0 && (rest->data[0] == ',' || is_blank(rest->data[0])))
        *rest = str_from(*rest, 1);
    if (rest->len == 0)
        return false;
    size_t at = 0;
    while (at < rest->len && rest->data[at] != ',' && rest->data[at] != '=')
        at++;
    struct str name = str_n(rest->data, at);
    *out = (struct directive){ .name = str_trim(name) };
    *rest = str_from(*rest, at);
    if (rest->len == 0 || rest->data[0] == ',')
        return true;

    *rest = str_from(*rest, 1);
    size_t quoted = quoted_len(*rest);
    struct str behind = str_from(*rest, quoted);
    ptrdiff_t comma = str_find(behind, ',');
    struct str plain = comma < 0 ? behind : str_n(behind.data, (size_t)comma);
    out->is_quoted = quoted > 0;
    out->argument = quoted ? str_n(rest->data + 1, quoted - 2) : str_trim(plain);
    out->is_malformed = out->name.len != name.len ||
                        (quoted ? str_trim(plain).len > 0 : plain.len > 0 && is_blank(plain.data[0]));
    *rest = str_from(behind, plain.len);
    return true;
}

/* RFC 9111 1.2.2. What is no number counts as 0: 4.2.1 wants such a reply stale. */
static int64_t seconds_of(const struct directive *directive)
{
    struct str argument = directive->argument;
    uint64_t value;
    for (size_t i = 0; i < argument.len; i++) {
        if (!char_is(argument.data[i], CHAR_DIGIT))
            return 0;
    }
    if (argument.len == 0 || directive->is_malformed)
        return 0;
    return str_to_u64(argument, &value) && value < (uint64_t)SECONDS_MAX ? (int64_t)value : SECONDS_MAX;
}

/* Fields without which the stored rest would be read wrongly. */
static bool may_be_left_out(struct str name)
{
    switch (field_id_of(name)) {
    case FIELD_CONTENT_ENCODING:
    case FIELD_CONTENT_LENGTH:
    case FIELD_CONTENT_RANGE:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_VARY:
        return false;
    default:
        return true;
    }
}

static bool is_name_list(struct str list)
{
    struct str name;
    bool has_any = false;
    while (str_split(&list, ',', &name)) {
        name = str_trim(name);
        if (name.len == 0)
            continue;
        if (!is_token(name) || !may_be_left_out(name))
            return false;
        has_any = true;
    }
    return has_any;
}

/* RFC 9111 4.2.1: of repeated ones the first counts. 5.2.2.4, 5.2.2.7: with field names they mean only those;
 * two such lists, or an odd argument, mean the whole reply. */
static void apply(struct cache_control *out, const struct directive *directive)
{
    const struct row *row = row_of(directive->name);
    if (!row)
        return;
    bool is_any = row->kind == SECONDS_OR_ANY && !directive->argument.data;
    switch (row->kind) {
    case SECONDS:
    case SECONDS_OR_ANY:
        if (*seconds_at(out, row) < 0)
            *seconds_at(out, row) = is_any ? INT64_MAX : seconds_of(directive);
        break;
    case FIELDS:
        if (directive->is_quoted && !directive->is_malformed && !fields_at(out, row)->data &&
            is_name_list(directive->argument))
            *fields_at(out, row) = directive->argument;
        else
            *flag_at(out, row) = true;
        break;
    case FORBIDS:
    case GRANTS:
        *flag_at(out, row) = true;
        break;
    }
}

void cache_control_read(const struct message *msg, struct cache_control *out)
{
    *out = nothing_said;
    const struct field *field = message_field(msg, FIELD_CACHE_CONTROL);
    out->has_any = field != NULL;
    for (; field; field = message_next(msg, field)) {
        struct str rest = field->value;
        struct directive directive;
        while (next_directive(&rest, &directive))
            apply(out, &directive);
    }
}

/* RFC 9213 2.1: values of another type than the directive's own are not to be made use of. A number that is
 * none is stale, as in Cache-Control, and what forbids does so in any type: both are the safe side. Of
 * repeated keys the last counts (RFC 9651 4.2.2). */
static void apply_member(struct cache_control *out, const struct structured_member *member)
{
    const struct row *row = row_of(member->key);
    if (!row)
        return;
    bool is_list = member->type == STRUCTURED_STRING && is_name_list(member->text);
    bool is_set = member->type == STRUCTURED_BOOLEAN ? member->integer != 0 : row->kind != GRANTS;
    switch (row->kind) {
    case SECONDS:
    case SECONDS_OR_ANY:
        *seconds_at(out, row) =
            member->type == STRUCTURED_INTEGER ? min_i64(max_i64(member->integer, 0), SECONDS_MAX) : 0;
        break;
    case FIELDS:
        *fields_at(out, row) = is_list ? member->text : (struct str){ NULL, 0 };
        *flag_at(out, row) = !is_list && is_set;
        break;
    case FORBIDS:
    case GRANTS:
        *flag_at(out, row) = is_set;
        break;
    }
}

/* False when there is none, or it says nothing, or is broken (RFC 9213 2.1). */
static bool read_targeted(const struct message *reply, enum field_id id, struct cache_control *out)
{
    *out = nothing_said;
    for (const struct field *field = message_field(reply, id); field; field = message_next(reply, field)) {
        struct str rest = field->value;
        struct structured_member member;
        enum structured_step step;
        while ((step = structured_next_entry(&rest, &member)) == STRUCTURED_MEMBER) {
            apply_member(out, &member);
            out->has_any = true;
        }
        if (step == STRUCTURED_BROKEN)
            return false;
    }
    out->is_targeted = out->has_any;
    return out->has_any;
}

void cache_control_of_reply(const struct message *reply, struct cache_control *out)
{
    if (!read_targeted(reply, FIELD_WEIR_CACHE_CONTROL, out) &&
        !read_targeted(reply, FIELD_CDN_CACHE_CONTROL, out))
        cache_control_read(reply, out);
}

static bool names(struct str list, struct str name)
{
    struct str member;
    while (str_split(&list, ',', &member)) {
        if (str_ieq(str_trim(member), name))
            return true;
    }
    return false;
}

bool field_is_kept_out(const struct cache_control *control, struct str name)
{
    return names(control->no_cache_fields, name) || names(control->private_fields, name);
}

void cache_request_read(const struct message *request, struct cache_request *out)
{
    cache_control_read(request, &out->control);
    /* RFC 9111 5.4: Pragma counts only where there is no Cache-Control. */
    out->is_no_cache = out->control.is_no_cache || out->control.no_cache_fields.data ||
                       (!out->control.has_any && message_list_has(request, FIELD_PRAGMA, STR("no-cache")));
    out->has_authorization = message_field(request, FIELD_AUTHORIZATION) != NULL;
    out->has_range = message_field(request, FIELD_RANGE) != NULL;
    out->has_origin_conditions = message_field(request, FIELD_IF_MATCH) != NULL ||
                                 message_field(request, FIELD_IF_UNMODIFIED_SINCE) != NULL;
    out->has_conditions = out->has_origin_conditions || message_field(request, FIELD_IF_NONE_MATCH) != NULL ||
                          message_field(request, FIELD_IF_MODIFIED_SINCE) != NULL;
}

void cache_request_ignore(struct cache_request *request, unsigned which)
{
    struct cache_control *control = &request->control;
    if (which & IGNORE_NO_CACHE) {
        request->is_no_cache = false;
        control->is_no_cache = false;
        control->no_cache_fields = (struct str){ NULL, 0 };
    }
    if (which & IGNORE_NO_STORE)
        control->is_no_store = false;
    if (which & IGNORE_MAX_AGE)
        control->max_age_s = -1;
    if (which & IGNORE_MIN_FRESH)
        control->min_fresh_s = -1;
    if (which & IGNORE_MAX_STALE)
        control->max_stale_s = -1;
    if (which & IGNORE_ONLY_IF_CACHED)
        control->is_only_if_cached = false;
}
