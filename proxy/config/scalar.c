#include "config/scalar.h"

#include "base/addr.h"
#include "base/check.h"
#include "config/config.h"
#include "config/value.h"

bool scalar_is_number(enum setting_kind kind)
{
    return kind >= SETTING_COUNT && kind <= SETTING_SHARE;
}

static bool is_whole(enum setting_kind kind)
{
    return kind == SETTING_COUNT || kind == SETTING_DURATION || kind == SETTING_SIZE ||
           kind == SETTING_BYTE_RATE;
}

/* Whole numbers live in bool, unsigned, enum or int64_t; the field's size says which. */
static void store_whole(const struct setting *setting, int64_t number, void *field)
{
    if (setting->size == sizeof(bool)) {
        *(bool *)field = number != 0;
    } else if (setting->size == sizeof(unsigned)) {
        *(unsigned *)field = (unsigned)number;
    } else {
        CHECK(setting->size == sizeof(int64_t));
        *(int64_t *)field = number;
    }
}

static enum scalar_result read_whole(const struct setting *setting, struct str text, int64_t *out)
{
    bool ok;
    if (setting->kind == SETTING_COUNT)
        ok = value_count(text, out);
    else if (setting->kind == SETTING_DURATION)
        ok = value_duration(text, out);
    else if (setting->kind == SETTING_SIZE)
        ok = value_size(text, out);
    else
        ok = value_byte_rate(text, out);
    if (!ok)
        return SCALAR_WRONG;
    bool is_in = *out >= setting->min && (setting->max == 0 || *out <= setting->max);
    return is_in ? SCALAR_OK : SCALAR_RANGE;
}

static enum scalar_result read_real(const struct setting *setting, struct str text, double *out)
{
    bool has_sign = str_has_suffix(text, STR("%"));
    bool ok;
    if (setting->kind == SETTING_RATE) {
        ok = value_rate(text, out);
    } else if (setting->kind == SETTING_AMOUNT) {
        ok = value_number(text, out);
    } else {
        ok = value_number(has_sign ? str_n(text.data, text.len - 1) : text, out);
        ok = ok && (has_sign || setting->kind == SETTING_PERCENT);
    }
    if (!ok)
        return SCALAR_WRONG;
    bool is_in = *out >= (double)setting->min && (setting->max == 0 || *out <= (double)setting->max);
    if (setting->kind == SETTING_SHARE)
        *out /= 100;
    return is_in ? SCALAR_OK : SCALAR_RANGE;
}

static enum scalar_result read_number(const struct setting *setting, struct str text, void *field)
{
    CHECK(setting->size == 0 || is_whole(setting->kind) || setting->size == sizeof(double));
    int64_t whole = 0;
    double real = 0;
    enum scalar_result result;
    if (setting->may_be_unlimited && str_eq(text, STR("unlimited"))) {
        whole = NEVER;
        real = NEVER;
        result = SCALAR_OK;
    } else if (setting->words && value_word(text, setting->words) == 0) {
        result = setting->are_words_not_built ? SCALAR_NOT_BUILT : SCALAR_OK;
    } else if (is_whole(setting->kind)) {
        result = read_whole(setting, text, &whole);
    } else {
        result = read_real(setting, text, &real);
    }
    if (result != SCALAR_OK || !field)
        return result;
    if (is_whole(setting->kind))
        store_whole(setting, whole, field);
    else
        *(double *)field = real;
    return SCALAR_OK;
}

/* Cuts the pattern at its placeholder; false unless it is there exactly once. */
static bool cut(struct str text, const char *placeholder, struct str *out_before, struct str *out_after)
{
    size_t len = strlen(placeholder);
    const char *at = memmem(text.data, text.len, placeholder, len);
    if (!at)
        return false;
    *out_before = str_n(text.data, (size_t)(at - text.data));
    *out_after = str_from(text, out_before->len + len);
    return str_find(*out_before, '{') < 0 && str_find(*out_after, '{') < 0 &&
           str_find(*out_before, '}') < 0 && str_find(*out_after, '}') < 0;
}

static bool is_host_pattern(struct str before, struct str after)
{
    if (before.len > 0 && (before.data[before.len - 1] != '.' || !value_is_host(before)))
        return false;
    return after.len == 0 || (after.data[0] == '.' && value_is_host(after));
}

static bool is_path_pattern(struct str before, struct str after)
{
    if (!value_is_route_path(before) || before.data[before.len - 1] != '/' || str_find(before, '*') >= 0)
        return false;
    return after.len == 0 || (value_is_route_path(after) && str_find(after, '*') < 0);
}

static bool is_media_pattern(struct str before, struct str after)
{
    ptrdiff_t slash = str_find(before, '/');
    if (slash < 0 || !value_is_token(str_n(before.data, (size_t)slash)))
        return false;
    struct str subtype = str_from(before, (size_t)slash + 1);
    return (subtype.len == 0 || value_is_token(subtype)) && (after.len == 0 || value_is_token(after));
}

static struct str arena_lower(struct arena *arena, struct str text)
{
    struct str copy = arena_str(arena, text);
    for (size_t i = 0; copy.data && i < copy.len; i++)
        ((char *)copy.data)[i] = ascii_lower(copy.data[i]);
    return copy;
}

/* field is the first of two: the part before the placeholder and the part after. */
static enum scalar_result read_pattern(const struct setting *setting, struct str text, struct arena *arena,
                                       struct str *field)
{
    struct str before;
    struct str after;
    bool ok = text.len <= 1024 && cut(text, setting->words, &before, &after);
    if (ok && setting->kind == SETTING_HOST_PATTERN)
        ok = is_host_pattern(before, after);
    else if (ok && setting->kind == SETTING_PATH_PATTERN)
        ok = is_path_pattern(before, after);
    else if (ok)
        ok = is_media_pattern(before, after);
    if (!ok)
        return SCALAR_WRONG;
    /* "/t/{tenant}" means the same as "/t/{tenant}/": a prefix of whole segments. */
    bool needs_slash = setting->kind == SETTING_PATH_PATTERN && !str_has_suffix(after, STR("/"));
    bool has_case = setting->kind == SETTING_PATH_PATTERN;
    field[0] = has_case ? arena_str(arena, before) : arena_lower(arena, before);
    field[1] = has_case ? arena_printf(arena, "%.*s%s", STR_FMT(after), needs_slash ? "/" : "")
                        : arena_lower(arena, after);
    return field[0].data && field[1].data ? SCALAR_OK : SCALAR_NO_MEMORY;
}

static bool is_text_of(enum setting_kind kind, struct str text)
{
    if (text.len == 0 || value_has_control(text))
        return false;
    switch (kind) {
    case SETTING_LINK:
        return value_is_link(text);
    case SETTING_NAME:
        return value_is_name(text);
    case SETTING_TENANT:
        return value_is_tenant(text);
    case SETTING_TOKEN:
        return value_is_token(text);
    case SETTING_METHOD:
        return value_is_method(text);
    case SETTING_HOST:
        return value_is_host(text);
    case SETTING_URL_PATH:
        return text.data[0] == '/' && str_find(text, ' ') < 0 && str_find(text, '#') < 0;
    case SETTING_ROUTE_PATH:
        return value_is_route_path(text);
    case SETTING_FILE:
    case SETTING_PATH:
        return text.len < 4096;
    default:
        CHECK(kind == SETTING_TEXT);
        return text.len < 4096;
    }
}

static enum scalar_result read_redis_url(struct str text, struct arena *arena, struct str *field)
{
    bool has_tls;
    if (!value_is_redis_url(text, &has_tls))
        return SCALAR_WRONG;
    if (has_tls)
        return SCALAR_NOT_BUILT;
    *field = arena_str(arena, text);
    return field->data ? SCALAR_OK : SCALAR_NO_MEMORY;
}

static enum scalar_result read_text(const struct setting *setting, struct str text, struct arena *arena,
                                    struct str folder, struct str *field)
{
    if (!is_text_of(setting->kind, text))
        return SCALAR_WRONG;
    bool is_path = setting->kind == SETTING_FILE || setting->kind == SETTING_PATH;
    bool is_word = setting->words && value_word(text, setting->words) >= 0;
    if (is_path && !is_word && text.data[0] != '/' && folder.len > 0)
        *field = arena_printf(arena, "%.*s/%.*s", STR_FMT(folder), STR_FMT(text));
    else if (setting->kind == SETTING_TENANT || setting->kind == SETTING_HOST)
        *field = arena_lower(arena, text);
    else
        *field = arena_str(arena, text);
    return field->data ? SCALAR_OK : SCALAR_NO_MEMORY;
}

/* A wrong address leaves the field as it was: the cross checks know an empty one. */
static enum scalar_result read_address(struct str text, struct addr *field)
{
    struct addr address;
    if (!addr_parse(text, &address))
        return SCALAR_WRONG;
    *field = address;
    return SCALAR_OK;
}

static enum scalar_result read_date(const struct setting *setting, struct str text, void *field)
{
    int64_t s;
    if (!value_date(text, &s))
        return SCALAR_WRONG;
    store_whole(setting, s, field);
    return SCALAR_OK;
}

static enum scalar_result read_bool_or_word(const struct setting *setting, struct str text, void *field)
{
    bool is_true = false;
    int position = -1;
    if (setting->kind == SETTING_WORD)
        position = value_word(text, setting->words);
    else if (value_bool(text, &is_true))
        position = is_true;
    if (position < 0)
        return SCALAR_WRONG;
    store_whole(setting, setting->is_negated ? !position : position, field);
    return SCALAR_OK;
}

static bool is_only_built(const struct setting *setting, const void *field)
{
    if (!setting->only_built)
        return true;
    struct setting plain = *setting;
    plain.only_built = NULL;
    int64_t built = 0;
    CHECK(setting->size <= sizeof built);
    CHECK(scalar_read(&plain, str_of(setting->only_built), NULL, STR(""), &built) == SCALAR_OK);
    return memcmp(&built, field, setting->size) == 0;
}

enum scalar_result scalar_read(const struct setting *setting, struct str text, struct arena *arena,
                               struct str folder, void *field)
{
    enum scalar_result result;
    switch (setting->kind) {
    case SETTING_BOOL:
    case SETTING_WORD:
        result = read_bool_or_word(setting, text, field);
        break;
    case SETTING_DATE:
        result = read_date(setting, text, field);
        break;
    case SETTING_ADDRESS:
        result = read_address(text, field);
        break;
    case SETTING_CIDR:
        result = cidr_parse(text, field) ? SCALAR_OK : SCALAR_WRONG;
        break;
    case SETTING_REDIS_URL:
        result = read_redis_url(text, arena, field);
        break;
    case SETTING_HOST_PATTERN:
    case SETTING_PATH_PATTERN:
    case SETTING_MEDIA_PATTERN:
        result = read_pattern(setting, text, arena, field);
        break;
    default:
        if (scalar_is_number(setting->kind))
            result = read_number(setting, text, field);
        else
            result = read_text(setting, text, arena, folder, field);
    }
    if (result == SCALAR_OK && !is_only_built(setting, field))
        return SCALAR_NOT_BUILT;
    return result;
}

enum scalar_result scalar_set_absent(const struct setting *setting, struct arena *arena, void *field)
{
    if (setting->preset)
        return scalar_read(setting, str_of(setting->preset), arena, STR(""), field);
    if (setting->absent == ABSENT_ZERO)
        return SCALAR_OK;
    int64_t whole = setting->absent == ABSENT_NEVER ? NEVER : INT64_MIN;
    if (is_whole(setting->kind))
        store_whole(setting, whole, field);
    else
        *(double *)field = (double)whole;
    return SCALAR_OK;
}
