/* Reading Cache-Control and Pragma, RFC 9111 5.2 and 5.4. */
#include "http/caching.h"

#define SECONDS_MAX ((int64_t)1 << 31) /* RFC 9111 1.2.2: what does not fit counts as this */

struct directive {
    struct str name;
    struct str argument; /* without quotes; data NULL: none */
    bool is_quoted;
};

static bool next_directive(struct str *rest, struct directive *out)
{
    struct str member;
    if (!str_next_member(rest, &member))
        return false;
    *out = (struct directive){ .name = member };
    ptrdiff_t equals = str_find(member, '=');
    if (equals < 0)
        return true;
    out->name = str_trim(str_n(member.data, (size_t)equals));
    out->argument = str_trim(str_from(member, (size_t)equals + 1));
    size_t len = out->argument.len;
    if (len >= 2 && out->argument.data[0] == '"' && out->argument.data[len - 1] == '"') {
        out->argument = str_n(out->argument.data + 1, len - 2);
        out->is_quoted = true;
    }
    return true;
}

/* RFC 9111 1.2.2. What is no number counts as 0: 4.2.1 wants such a reply stale. */
static int64_t seconds_of(struct str argument)
{
    uint64_t value;
    for (size_t i = 0; i < argument.len; i++) {
        if (argument.data[i] < '0' || argument.data[i] > '9')
            return 0;
    }
    if (argument.len == 0)
        return 0;
    return str_to_u64(argument, &value) && value < (uint64_t)SECONDS_MAX ? (int64_t)value : SECONDS_MAX;
}

/* RFC 9111 4.2.1: of repeated ones the first counts. */
static void set_seconds(int64_t *field, const struct directive *directive)
{
    if (*field < 0)
        *field = seconds_of(directive->argument);
}

/* no-cache and private: with field names they mean only those. Two such lists, or an odd argument, mean
 * the whole reply. */
static void set_flag_or_fields(bool *flag, struct str *fields, const struct directive *directive)
{
    bool has_fields = directive->is_quoted && directive->argument.len > 0;
    if (!has_fields || fields->data)
        *flag = true;
    else
        *fields = directive->argument;
}

static void apply(struct cache_control *out, const struct directive *directive)
{
    const struct {
        struct str name;
        bool *flag;
        int64_t *seconds;
    } rows[] = {
        { STR("no-store"), &out->is_no_store, NULL },
        { STR("public"), &out->is_public, NULL },
        { STR("must-revalidate"), &out->is_must_revalidate, NULL },
        { STR("proxy-revalidate"), &out->is_proxy_revalidate, NULL },
        { STR("must-understand"), &out->is_must_understand, NULL },
        { STR("only-if-cached"), &out->is_only_if_cached, NULL },
        { STR("immutable"), &out->is_immutable, NULL },
        { STR("max-age"), NULL, &out->max_age_s },
        { STR("s-maxage"), NULL, &out->s_maxage_s },
        { STR("min-fresh"), NULL, &out->min_fresh_s },
        { STR("stale-while-revalidate"), NULL, &out->stale_while_revalidate_s },
        { STR("stale-if-error"), NULL, &out->stale_if_error_s },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!str_ieq(directive->name, rows[i].name))
            continue;
        if (rows[i].flag)
            *rows[i].flag = true;
        else
            set_seconds(rows[i].seconds, directive);
        return;
    }
    if (str_ieq(directive->name, STR("no-cache"))) {
        set_flag_or_fields(&out->is_no_cache, &out->no_cache_fields, directive);
    } else if (str_ieq(directive->name, STR("private"))) {
        set_flag_or_fields(&out->is_private, &out->private_fields, directive);
    } else if (str_ieq(directive->name, STR("max-stale")) && out->max_stale_s < 0) {
        /* RFC 9111 5.2.1.2: without a number, any age will do. */
        out->max_stale_s = directive->argument.data ? seconds_of(directive->argument) : INT64_MAX;
    }
}

void cache_control_read(const struct message *msg, struct cache_control *out)
{
    *out = (struct cache_control){
        .max_age_s = -1,
        .s_maxage_s = -1,
        .min_fresh_s = -1,
        .max_stale_s = -1,
        .stale_while_revalidate_s = -1,
        .stale_if_error_s = -1,
    };
    const struct field *field = message_field(msg, FIELD_CACHE_CONTROL);
    out->has_any = field != NULL;
    for (; field; field = message_next(msg, field)) {
        struct str rest = field->value;
        struct directive directive;
        while (next_directive(&rest, &directive))
            apply(out, &directive);
    }
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
