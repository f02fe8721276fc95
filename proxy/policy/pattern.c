#include "policy/pattern.h"

bool pattern_path(const struct config_source *source, struct str path, struct str *out_word,
                  size_t *out_bytes)
{
    if (!str_has_prefix(path, source->before))
        return false;
    struct str rest = str_from(path, source->before.len);
    ptrdiff_t slash = str_find(rest, '/');
    struct str segment = slash < 0 ? rest : str_n(rest.data, (size_t)slash);

    /* What follows the placeholder: more of its own segment, then whole segments. */
    slash = str_find(source->after, '/');
    struct str tail = slash < 0 ? source->after : str_n(source->after.data, (size_t)slash);
    struct str more = str_from(source->after, tail.len);
    if (more.len > 0 && more.data[more.len - 1] == '/')
        more.len--;
    if (segment.len <= tail.len || !str_has_suffix(segment, tail))
        return false;

    struct str behind = str_from(rest, segment.len);
    if (!str_has_prefix(behind, more))
        return false;
    behind = str_from(behind, more.len);
    if (behind.len > 0 && behind.data[0] != '/')
        return false;
    *out_word = str_n(segment.data, segment.len - tail.len);
    *out_bytes = path.len - behind.len;
    return true;
}

bool pattern_host(const struct config_source *source, struct str host, struct str *out_word)
{
    if (host.len > 0 && host.data[host.len - 1] == '.')
        host.len--;
    size_t around = source->before.len + source->after.len;
    if (host.len <= around || !str_has_iprefix(host, source->before))
        return false;
    struct str end = str_from(host, host.len - source->after.len);
    if (!str_ieq(end, source->after))
        return false;
    *out_word = str_n(host.data + source->before.len, host.len - around);
    return str_find(*out_word, '.') < 0;
}

/* Patterns have a star or two, so that going back to the last one is enough. */
static bool glob(struct str pattern, struct str text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.data[p] == '*') {
            star = p++;
            from = ++t; /* one byte at least */
        } else if (p < pattern.len && ascii_lower(pattern.data[p]) == ascii_lower(text.data[t])) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    return p == pattern.len;
}

bool pattern_media(const struct config_source *source, struct str type)
{
    char shape[256];
    size_t len = source->before.len + 1 + source->after.len;
    if (type.len > 255 || len > sizeof shape)
        return false;
    if (source->before.len > 0)
        memcpy(shape, source->before.data, source->before.len);
    shape[source->before.len] = '*';
    if (source->after.len > 0)
        memcpy(shape + source->before.len + 1, source->after.data, source->after.len);
    return glob(str_n(shape, len), type);
}

bool pattern_media_word(const struct config_source *source, struct str type, size_t start)
{
    return glob(source->before, str_n(type.data, start));
}

bool pattern_field(const struct config_source *source, const struct message *request, struct str *out_value,
                   bool *out_is_clear)
{
    const struct field *field = message_find(request, source->name);
    *out_is_clear = true;
    if (!field)
        return false;
    *out_value = field->value;
    for (const struct field *at = field + 1; at < request->fields + request->field_count; at++) {
        if (at->id == field->id && str_ieq(at->name, field->name) && !str_eq(at->value, field->value))
            *out_is_clear = false;
    }
    return out_value->len > 0 || !*out_is_clear;
}
