#include "http/caching_tags.h"

#include "http/structured.h"

static bool add(struct str *out, int max, int *count, struct str tag)
{
    if (tag.len == 0)
        return true;
    if (*count == max || tag.len > TAG_BYTES_MAX)
        return false;
    out[(*count)++] = tag;
    return true;
}

static bool next_word(struct str *rest, struct str *out)
{
    *rest = str_trim(*rest);
    size_t len = 0;
    while (len < rest->len && rest->data[len] != ' ' && rest->data[len] != '\t')
        len++;
    *out = str_n(rest->data, len);
    *rest = str_from(*rest, len);
    return len > 0;
}

static bool add_words(const struct message *msg, enum field_id id, struct str *out, int max, int *count)
{
    struct str tag;
    for (const struct field *field = message_field(msg, id); field; field = message_next(msg, field)) {
        struct str rest = field->value;
        while (next_word(&rest, &tag)) {
            if (!add(out, max, count, tag))
                return false;
        }
    }
    return true;
}

int tags_read(const struct message *reply, struct str *out, int max)
{
    int count = 0;
    struct str tag;
    const struct field *field = message_field(reply, FIELD_CACHE_TAG);
    for (; field; field = message_next(reply, field)) {
        struct str rest = field->value;
        while (str_split(&rest, ',', &tag)) { /* no list of RFC 9110: a quote is a byte like others */
            if (!add(out, max, &count, str_trim(tag)))
                return -1;
        }
    }
    return add_words(reply, FIELD_SURROGATE_KEY, out, max, &count) ? count : -1;
}

int purge_tags_read(const struct message *reply, struct str *out, int max)
{
    int count = 0;
    return add_words(reply, FIELD_WEIR_PURGE, out, max, &count) ? count : -1;
}

struct groups {
    char *buffer;
    size_t left;
    struct str *out;
    int max;
    int count;
    bool is_over;
};

static void add_group(struct groups *groups, struct str text)
{
    if (groups->count == groups->max || text.len > groups->left) {
        groups->is_over = true;
        return;
    }
    size_t len = structured_unescape(text, groups->buffer);
    groups->is_over |= len > TAG_BYTES_MAX;
    groups->out[groups->count++] = str_n(groups->buffer, len);
    groups->buffer += len;
    groups->left -= len;
}

int groups_read(const struct message *msg, enum field_id id, char *buffer, size_t size, struct str *out,
                int max)
{
    struct groups groups = { .buffer = buffer, .left = size, .out = out, .max = max };
    for (const struct field *field = message_field(msg, id); field; field = message_next(msg, field)) {
        struct str rest = field->value;
        struct structured_member member;
        enum structured_step step;
        while ((step = structured_next_item(&rest, &member)) == STRUCTURED_MEMBER) {
            if (member.type != STRUCTURED_STRING)
                return 0;
            add_group(&groups, member.text); /* read on when it is over: the field may be void as a whole */
        }
        if (step == STRUCTURED_BROKEN)
            return 0;
    }
    return groups.is_over ? -1 : groups.count;
}
