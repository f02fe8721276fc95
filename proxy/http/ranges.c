/* Range and If-Range against a stored 200: RFC 9110 13.1.5 and 14. */
#include "http/caching.h"

/* Digits only; what does not fit lies behind every end. */
static bool position(struct str text, uint64_t *out)
{
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    }
    if (!str_to_u64(text, out))
        *out = UINT64_MAX;
    return true;
}

/* One int-range or suffix-range (RFC 9110 14.1.1, 14.1.2). False if it is no range at all; *out_has says
 * whether any byte of it is there. */
static bool read_range(struct str spec, uint64_t length, struct range *out, bool *out_has)
{
    ptrdiff_t dash = str_find(spec, '-');
    if (dash < 0)
        return false;
    struct str first = str_n(spec.data, (size_t)dash);
    struct str last = str_from(spec, (size_t)dash + 1);
    if (first.len == 0) {
        uint64_t suffix;
        if (!position(last, &suffix))
            return false;
        *out_has = suffix > 0 && length > 0;
        *out = (struct range){ suffix < length ? length - suffix : 0, length - 1 };
        return true;
    }
    uint64_t end = UINT64_MAX;
    if (!position(first, &out->first) || (last.len > 0 && !position(last, &end)) || end < out->first)
        return false;
    out->last = end < length ? end : length - 1;
    *out_has = out->first < length;
    return true;
}

/* RFC 9110 13.1.5: a condition that does not hold, or that cannot be judged, means the whole reply. */
static bool if_range_holds(const struct message *request, struct str etag, struct str last_modified)
{
    const struct field *field = message_field(request, FIELD_IF_RANGE);
    if (!field)
        return true;
    if (message_next(request, field) || field->value.len == 0)
        return false;
    if (field->value.data[0] == '"')
        return etag_is_strong(field->value) && str_eq(field->value, etag);
    return last_modified.len > 0 && str_eq(field->value, last_modified);
}

static bool overlaps_any(const struct range *ranges, unsigned count, const struct range *range)
{
    for (unsigned i = 0; i < count; i++) {
        if (range->first <= ranges[i].last && ranges[i].first <= range->last)
            return true;
    }
    return false;
}

enum range_verdict ranges_of(const struct message *request, struct str etag, struct str last_modified,
                             uint64_t length, struct range *out, unsigned out_max, unsigned *out_count)
{
    *out_count = 0;
    const struct field *field = message_field(request, FIELD_RANGE);
    /* RFC 9110 14.2: only for GET; a unit that is not known is ignored. */
    if (!field || request->method != METHOD_GET || message_next(request, field) ||
        !str_has_iprefix(field->value, STR("bytes=")) || !if_range_holds(request, etag, last_modified))
        return RANGE_WHOLE;

    struct str rest = str_from(field->value, 6);
    struct str spec;
    bool has_any = false;
    while (str_next_member(&rest, &spec)) {
        struct range range;
        bool has_bytes;
        if (!read_range(spec, length, &range, &has_bytes))
            return RANGE_WHOLE;
        has_any = true;
        if (!has_bytes)
            continue;
        /* RFC 9110 14.2, 17.15: many or overlapping ones are an attack or a mistake. */
        if (*out_count == out_max || overlaps_any(out, *out_count, &range))
            return RANGE_WHOLE;
        out[(*out_count)++] = range;
    }
    if (*out_count > 0)
        return RANGE_PARTS;
    /* An empty representation has no range to be outside of. */
    return has_any && length > 0 ? RANGE_UNSATISFIABLE : RANGE_WHOLE;
}

bool content_range_parse(struct str value, struct content_range *out)
{
    if (!str_has_iprefix(value, STR("bytes ")))
        return false;
    struct str rest = str_from(value, 6);
    struct str first;
    struct str last;
    uint64_t total = (uint64_t)INT64_MAX;
    if (!str_split(&rest, '-', &first) || !str_split(&rest, '/', &last) || !rest.data)
        return false;
    bool is_unknown = str_eq(rest, STR("*"));
    if (!str_to_u64(first, &out->first) || !str_to_u64(last, &out->last) ||
        (!is_unknown && !str_to_u64(rest, &total)))
        return false;
    /* RFC 9110 14.4: invalid when it ends before it begins, or behind the representation's end. */
    if (out->last < out->first || out->last >= total || total > (uint64_t)INT64_MAX)
        return false;
    out->total = is_unknown ? -1 : (int64_t)total;
    return true;
}

bool content_range_read(const struct message *reply, struct content_range *out)
{
    const struct field *field = message_field(reply, FIELD_CONTENT_RANGE);
    return field && !message_next(reply, field) && content_range_parse(field->value, out);
}

bool may_combine(struct str old_etag, struct str old_last_modified, const struct message *new_reply)
{
    struct str etag = message_value(new_reply, FIELD_ETAG);
    struct str modified = message_value(new_reply, FIELD_LAST_MODIFIED);
    if (old_etag.len > 0 || etag.len > 0)
        return etag_is_strong(old_etag) && str_eq(old_etag, etag);
    /* Both dates come from this one reply: which century a two-digit year means changes nothing. */
    return old_last_modified.len > 0 && str_eq(old_last_modified, modified) &&
           last_modified_is_strong(modified, message_value(new_reply, FIELD_DATE), 0);
}
