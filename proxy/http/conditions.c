/* Conditional requests answered from a stored reply: RFC 9110 8.8 and 13, RFC 9111 4.3.2. */
#include "http/caching.h"
#include "http/date.h"

static bool is_etag_byte(char c)
{
    unsigned char u = (unsigned char)c;
    return u == 0x21 || (u >= 0x23 && u != 0x7f);
}

/* The next entity-tag of a list (RFC 9110 8.8.3); commas may stand inside of the quotes, and backslashes
 * mean nothing there. False at the end, and at the first thing that is none. */
static bool next_etag(struct str *rest, struct str *out)
{
    while (rest->len > 0 && (rest->data[0] == ' ' || rest->data[0] == '\t' || rest->data[0] == ','))
        *rest = str_from(*rest, 1);
    size_t at = str_has_prefix(*rest, STR("W/")) ? 2 : 0;
    if (at >= rest->len || rest->data[at] != '"')
        return false;
    at++;
    while (at < rest->len && is_etag_byte(rest->data[at]))
        at++;
    if (at >= rest->len || rest->data[at] != '"')
        return false;
    *out = str_n(rest->data, at + 1);
    *rest = str_from(*rest, at + 1);
    return true;
}

static struct str opaque_of(struct str etag)
{
    return str_has_prefix(etag, STR("W/")) ? str_from(etag, 2) : etag;
}

bool etag_is_strong(struct str etag)
{
    struct str rest = etag;
    struct str tag;
    return etag.len > 0 && etag.data[0] == '"' && next_etag(&rest, &tag) && rest.len == 0;
}

bool etag_matches(struct str list, struct str etag, bool is_weak_enough)
{
    struct str tag;
    if (etag.len == 0 || (!is_weak_enough && !etag_is_strong(etag)))
        return false;
    while (next_etag(&list, &tag)) {
        if (is_weak_enough ? str_eq(opaque_of(tag), opaque_of(etag)) : str_eq(tag, etag))
            return true;
    }
    return false;
}

/* RFC 9110 13.1.2. */
static bool any_etag_matches(const struct message *request, struct str etag)
{
    const struct field *field = message_field(request, FIELD_IF_NONE_MATCH);
    for (; field; field = message_next(request, field)) {
        if (str_eq(field->value, STR("*")) || etag_matches(field->value, etag, true))
            return true;
    }
    return false;
}

/* RFC 9110 13.1.3, RFC 9111 4.3.2. A date that cannot be read says nothing. */
static bool is_unmodified(const struct message *request, struct str last_modified, int64_t date_s,
                          int64_t now_s)
{
    const struct field *since = message_field(request, FIELD_IF_MODIFIED_SINCE);
    int64_t since_s;
    int64_t modified_s = date_s;
    if (!since || message_next(request, since) || !http_date_parse(since->value, now_s, &since_s))
        return false;
    if (last_modified.len > 0 ? !http_date_parse(last_modified, now_s, &modified_s) : date_s < 0)
        return false;
    return modified_s <= since_s;
}

enum precondition precondition_at(const struct message *request, struct str etag, struct str last_modified,
                                  int64_t date_s, int64_t now_s)
{
    /* RFC 9111 4.3.2: If-Match and If-Unmodified-Since are not a cache's to judge; use_of() has sent such
     * requests on. */
    bool is_read = request->method == METHOD_GET || request->method == METHOD_HEAD;
    if (message_field(request, FIELD_IF_NONE_MATCH)) {
        /* RFC 9110 13.1.3: it makes If-Modified-Since void. */
        if (!any_etag_matches(request, etag))
            return CONDITION_PASSES;
        return is_read ? CONDITION_NOT_MODIFIED : CONDITION_FAILED;
    }
    return is_read && is_unmodified(request, last_modified, date_s, now_s) ? CONDITION_NOT_MODIFIED
                                                                           : CONDITION_PASSES;
}

enum precondition precondition_of(const struct message *request, struct str etag, struct str last_modified,
                                  int64_t now_s)
{
    return precondition_at(request, etag, last_modified, -1, now_s);
}

static bool is_same(struct str a, struct str b)
{
    return a.len > 0 && str_eq(a, b);
}

bool not_modified_is_for(struct str etag, struct str last_modified, const struct message *reply)
{
    struct str new_etag = message_value(reply, FIELD_ETAG);
    struct str new_modified = message_value(reply, FIELD_LAST_MODIFIED);
    if (new_etag.len > 0 && etag.len > 0) {
        /* Two strong ones must be the same. Servers that compress weaken the tag of a 200 and not that of the
         * 304: that one is an answer to the weak tag we asked with, so it is meant. */
        return str_eq(new_etag, etag) || etag_matches(new_etag, etag, true);
    }
    if (new_modified.len > 0)
        return is_same(new_modified, last_modified);
    /* Without any validator it speaks of what we asked about, and that was this one reply. */
    return new_etag.len == 0;
}

enum head_says head_says_of(struct str etag, struct str last_modified, int64_t length,
                            const struct message *reply)
{
    if (reply->status != 200)
        return HEAD_SAYS_NOTHING;
    struct str new_etag = message_value(reply, FIELD_ETAG);
    struct str new_modified = message_value(reply, FIELD_LAST_MODIFIED);
    bool is_confirmed = (new_etag.len > 0 && str_eq(new_etag, etag)) ||
                        (new_modified.len > 0 && str_eq(new_modified, last_modified));
    bool is_other = (new_etag.len > 0 && !str_eq(new_etag, etag)) ||
                    (new_modified.len > 0 && !str_eq(new_modified, last_modified)) ||
                    (reply->has_length && length >= 0 && reply->content_length != (uint64_t)length);
    if (is_other)
        return HEAD_INVALIDATES;
    /* The same length is no sign of the same content. */
    return is_confirmed ? HEAD_UPDATES : HEAD_SAYS_NOTHING;
}

bool last_modified_is_strong(struct str last_modified, struct str date, int64_t now_s)
{
    int64_t modified_s;
    int64_t date_s;
    return http_date_parse(last_modified, now_s, &modified_s) && http_date_parse(date, now_s, &date_s) &&
           date_s - modified_s >= 1;
}
