#include "fleet/value.h"

#include "base/check.h"
#include "fleet/digest.h"
#include "http/message.h"

/* All numbers little-endian, at fixed places; then the parts, in the order of their lengths; then the body.
 */
#define MAGIC        "WEIR"
#define VERSION      1
#define AT_VERSION   4
#define AT_STATUS    6
#define AT_CHECKSUM  8
#define AT_FLAGS     16
#define AT_TIMES     24
#define TIMES        7 /* seq is one of them */
#define AT_LENGTHS   (AT_TIMES + TIMES * 8)
#define PARTS        10
#define AT_BODY_LEN  (AT_LENGTHS + PARTS * 4)
#define AT_PARTS     (AT_BODY_LEN + 8)

#define TIME_MS_MAX  ((int64_t)1 << 52)
#define HAS_ETAG     (1u << 16) /* flags of the format's own: "" is told from none */
#define HAS_MODIFIED (1u << 17)

/* --- numbers --- */

static void put(char *at, uint64_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (char)(number >> (8 * i));
}

static uint64_t get(const char *at, unsigned bytes)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; i++)
        number |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return number;
}

/* --- the parts, in their order --- */

struct part {
    size_t offset; /* of its struct str */
    size_t max;
};

#define PART(member, max)                   \
    {                                       \
        offsetof(struct value, member), max \
    }

static const struct part parts[PARTS] = {
    PART(primary, VALUE_KEY_MAX),
    PART(selector, VALUE_KEY_MAX),
    PART(etag, VALUE_WORD_MAX),
    PART(last_modified, VALUE_WORD_MAX),
    PART(vary, VALUE_WORD_MAX),
    PART(vary_key, VALUE_KEY_MAX),
    PART(tags, (size_t)VALUE_TAGS_MAX *(VALUE_TAG_MAX + 1)),
    PART(domain, VALUE_WORD_MAX),
    PART(position, VALUE_WORD_MAX),
    PART(head, VALUE_HEAD_MAX),
};

static struct str *part_of(struct value *value, unsigned i)
{
    return (struct str *)(void *)((char *)value + parts[i].offset);
}

static struct str part_at(const struct value *value, unsigned i)
{
    return *(const struct str *)(const void *)((const char *)value + parts[i].offset);
}

/* The head stands with its empty line, so that it can be read as a whole one. */
static size_t head_end_len(const struct value *value)
{
    return value->status ? 2 : 0;
}

static size_t body_len(const struct value *value)
{
    size_t len = value->piece_count ? 0 : value->body.len;
    for (unsigned i = 0; i < value->piece_count; i++)
        len += value->pieces[i].iov_len;
    return len;
}

/* --- writing --- */

size_t value_bytes(const struct value *value)
{
    size_t size = AT_PARTS + head_end_len(value) + body_len(value);
    for (unsigned i = 0; i < PARTS; i++) {
        if (part_at(value, i).len > parts[i].max)
            return 0;
        size += part_at(value, i).len;
    }
    return size;
}

static char *append(char *at, const void *data, size_t len)
{
    if (len > 0)
        memcpy(at, data, len);
    return at + len;
}

static uint64_t checksum_of(const char *bytes, size_t len)
{
    struct str covered[] = { str_n(bytes, AT_CHECKSUM), str_n(bytes + AT_FLAGS, len - AT_FLAGS) };
    return digest64_of(covered, 2);
}

void value_write(const struct value *value, char *out)
{
    const int64_t times[TIMES - 1] = {
        value->stored_wall_ms, value->fetched_wall_ms,           value->lifetime_ms,
        value->initial_age_ms, value->stale_while_revalidate_ms, value->stale_if_error_ms
    };
    unsigned flags = value->flags & VALUE_FLAGS;
    flags |= value->etag.data ? HAS_ETAG : 0;
    flags |= value->last_modified.data ? HAS_MODIFIED : 0;

    memcpy(out, MAGIC, 4);
    put(out + AT_VERSION, VERSION, 2);
    put(out + AT_STATUS, (unsigned)value->status, 2);
    put(out + AT_FLAGS, flags, 8);
    put(out + AT_TIMES, value->seq, 8);
    for (unsigned i = 0; i < TIMES - 1; i++)
        put(out + AT_TIMES + 8 * (i + 1), (uint64_t)max_i64(min_i64(times[i], TIME_MS_MAX), -TIME_MS_MAX), 8);
    char *at = out + AT_PARTS;
    for (unsigned i = 0; i < PARTS; i++) {
        put(out + AT_LENGTHS + 4 * i, part_at(value, i).len, 4);
        at = append(at, part_at(value, i).data, part_at(value, i).len);
    }
    at = append(at, "\r\n", head_end_len(value));
    put(out + AT_BODY_LEN, body_len(value), 8);
    if (value->piece_count == 0)
        at = append(at, value->body.data, value->body.len);
    for (unsigned i = 0; i < value->piece_count; i++)
        at = append(at, value->pieces[i].iov_base, value->pieces[i].iov_len);
    put(out + AT_CHECKSUM, checksum_of(out, (size_t)(at - out)), 8);
}

/* --- reading --- */

/* What may stand in a field's value, or be compared with one. */
static bool is_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool are_tags(struct str tags)
{
    unsigned count = 0;
    while (tags.len > 0) {
        ptrdiff_t end = str_find(tags, '\0');
        if (end <= 0 || end > VALUE_TAG_MAX || ++count > VALUE_TAGS_MAX ||
            !is_text(str_n(tags.data, (size_t)end)))
            return false;
        tags = str_from(tags, (size_t)end + 1);
    }
    return true;
}

/* As strict as with an app's own reply, and without what weir takes off before it stores: a body framed by
 * somebody else's Content-Length would be a second answer to the client. head is followed by its empty line.
 */
static bool is_head(const struct value *value)
{
    static const struct head_limits limits = { VALUE_HEAD_MAX + 2, VALUE_HEAD_MAX, FIELDS_MAX };
    const unsigned never = FIELD_HOP_BY_HOP | FIELD_FRAMING | FIELD_APP_ONLY | FIELD_NOT_STORED;
    struct str whole = str_n(value->head.data, value->head.len + 2);
    struct message msg;
    size_t scanned = 0;

    if (head_find_end(whole, &scanned, &limits) != (int)whole.len ||
        message_read_reply(&msg, whole, METHOD_GET, &limits) != 0)
        return false;
    if (msg.status != value->status || msg.minor != 1)
        return false;
    for (unsigned i = 0; i < msg.field_count; i++) {
        const struct field *field = &msg.fields[i];
        if ((field_traits(field->id) & never) || field->id == FIELD_X_REQUEST_ID || field->is_ambiguous)
            return false;
    }
    return true;
}

static bool is_signpost(const struct value *value)
{
    return value->vary.len > 0 && value->vary_key.len == 0 && value->head.len == 0 && value->body.len == 0 &&
           !value->etag.data && !value->last_modified.data && value->tags.len == 0;
}

static bool is_consistent(const struct value *value)
{
    if (!is_text(value->etag) || !is_text(value->last_modified) || !is_text(value->vary) ||
        !is_text(value->domain) || !is_text(value->position) || !are_tags(value->tags))
        return false;
    if (value->vary.len == 0 && value->vary_key.len > 0)
        return false;
    if (value->status == 0)
        return is_signpost(value);
    return value->status >= 200 && value->status <= 599 && is_head(value);
}

static bool read_times(const char *at, struct value *out)
{
    int64_t *const times[TIMES - 1] = {
        &out->stored_wall_ms, &out->fetched_wall_ms,           &out->lifetime_ms,
        &out->initial_age_ms, &out->stale_while_revalidate_ms, &out->stale_if_error_ms
    };
    out->seq = get(at, 8);
    for (unsigned i = 0; i < TIMES - 1; i++) {
        *times[i] = (int64_t)get(at + 8 * (i + 1), 8);
        if (*times[i] > TIME_MS_MAX || *times[i] < -TIME_MS_MAX)
            return false;
    }
    return out->stored_wall_ms >= 0 && out->fetched_wall_ms >= 0 && out->initial_age_ms >= 0;
}

/* No sum can overflow: each length is checked against what is left. */
static bool read_parts(struct str bytes, struct value *out)
{
    struct str rest = str_from(bytes, AT_PARTS);
    for (unsigned i = 0; i < PARTS; i++) {
        size_t len = get(bytes.data + AT_LENGTHS + 4 * i, 4);
        if (len > parts[i].max || len > rest.len)
            return false;
        *part_of(out, i) = str_n(rest.data, len);
        rest = str_from(rest, len);
    }
    if (out->status != 0) {
        if (!str_has_prefix(rest, STR("\r\n")))
            return false;
        rest = str_from(rest, 2);
    }
    out->body = rest;
    return get(bytes.data + AT_BODY_LEN, 8) == rest.len;
}

static bool read_optional(bool is_there, struct str *s)
{
    if (is_there)
        return true;
    bool is_empty = s->len == 0;
    *s = (struct str){ NULL, 0 };
    return is_empty;
}

bool value_read(struct str bytes, struct value *out)
{
    *out = (struct value){ 0 };
    if (bytes.len < AT_PARTS || memcmp(bytes.data, MAGIC, 4) != 0 ||
        get(bytes.data + AT_VERSION, 2) != VERSION)
        return false;
    if (get(bytes.data + AT_CHECKSUM, 8) != checksum_of(bytes.data, bytes.len))
        return false;
    uint64_t flags = get(bytes.data + AT_FLAGS, 8);
    if (flags & ~(uint64_t)(VALUE_FLAGS | HAS_ETAG | HAS_MODIFIED))
        return false;
    out->status = (int)get(bytes.data + AT_STATUS, 2);
    out->flags = flags & VALUE_FLAGS;
    return read_times(bytes.data + AT_TIMES, out) && read_parts(bytes, out) &&
           read_optional(flags & HAS_ETAG, &out->etag) &&
           read_optional(flags & HAS_MODIFIED, &out->last_modified) && is_consistent(out);
}
