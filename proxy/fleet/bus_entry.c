/* What stands in Redis, and what travels on the channel, as bytes. Both are untrusted: what comes in is what
 * this file would have written, to the last byte, or it is refused. Numbers are little endian. */
#include "fleet/bus_inside.h"

#define HEAD_LEN   25 /* magic, kind, flags, node, wall_ms, tenant's length, what's length */
#define FLAG_SOFT  1
#define FLAG_NAMED 2 /* it has a tenant */
#define TAG_MAX    256
#define HINTS_HEAD 9

static const char magic[2] = { 'W', '1' };

static char *put(char *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        *out++ = (char)(value >> (8 * i));
    return out;
}

static uint64_t get(const char *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return value;
}

static bool is_well_formed(const struct bus_purge *purge)
{
    if (purge->tenant.len > BUS_TENANT_MAX || purge->what.len > BUS_WHAT_MAX)
        return false;
    switch (purge->kind) {
    case BUS_URL:
    case BUS_PREFIX:
        return purge->what.len > 0;
    case BUS_TAG:
        return purge->what.len > 0 && purge->what.len <= TAG_MAX;
    case BUS_TENANT:
        return purge->tenant.data && purge->what.len == 0;
    case BUS_ALL:
        return purge->what.len == 0;
    }
    return false;
}

size_t bus_entry_size(const struct bus_purge *purge)
{
    return is_well_formed(purge) ? HEAD_LEN + purge->tenant.len + purge->what.len : 0;
}

void bus_entry_write(const struct bus_purge *purge, char *out)
{
    unsigned flags = (purge->is_soft ? FLAG_SOFT : 0) | (purge->tenant.data ? FLAG_NAMED : 0);
    out = put(out, (unsigned char)magic[0] | (unsigned)magic[1] << 8, 2);
    out = put(out, purge->kind, 1);
    out = put(out, flags, 1);
    out = put(out, purge->node, 8);
    out = put(out, (uint64_t)purge->wall_ms, 8);
    out = put(out, purge->tenant.len, 1);
    out = put(out, purge->what.len, 4);
    if (purge->tenant.len > 0)
        memcpy(out, purge->tenant.data, purge->tenant.len);
    if (purge->what.len > 0)
        memcpy(out + purge->tenant.len, purge->what.data, purge->what.len);
}

bool bus_entry_read(struct str bytes, struct bus_purge *out, bool *out_is_opening)
{
    *out_is_opening = str_eq(bytes, STR(BUS_OPENING));
    if (*out_is_opening)
        return true;
    if (bytes.len < HEAD_LEN || memcmp(bytes.data, magic, sizeof magic) != 0)
        return false;
    unsigned kind = (unsigned char)bytes.data[2];
    unsigned flags = (unsigned char)bytes.data[3];
    size_t tenant_len = get(bytes.data + 20, 1);
    size_t what_len = get(bytes.data + 21, 4);
    if (kind > BUS_ALL || flags > (FLAG_SOFT | FLAG_NAMED) || bytes.len - HEAD_LEN != tenant_len + what_len)
        return false;
    if (!(flags & FLAG_NAMED) && tenant_len > 0)
        return false;
    *out = (struct bus_purge){
        .kind = (enum bus_kind)kind,
        .tenant = flags & FLAG_NAMED ? str_n(bytes.data + HEAD_LEN, tenant_len) : str_n(NULL, 0),
        .what = str_n(bytes.data + HEAD_LEN + tenant_len, what_len),
        .is_soft = flags & FLAG_SOFT,
        .wall_ms = (int64_t)get(bytes.data + 12, 8),
        .node = get(bytes.data + 4, 8),
    };
    return is_well_formed(out);
}

bool bus_id_read(struct str id, uint64_t *out_epoch, uint64_t *out_seq)
{
    struct str epoch;
    return str_split(&id, '-', &epoch) && str_to_u64(epoch, out_epoch) && str_to_u64(id, out_seq) &&
           *out_epoch != 0 && *out_seq != 0 && *out_seq <= JOURNAL_SEQ_MAX;
}

/* --- messages --- */

bool bus_news_read(struct str payload, struct bus_news *out)
{
    struct str word;
    *out = (struct bus_news){ 0 };
    if (payload.len > HINTS_HEAD && payload.data[0] == 'I') {
        out->kind = NEWS_HINTS;
        out->node = get(payload.data + 1, 8);
        out->hints = str_from(payload, HINTS_HEAD);
        return true;
    }
    if (!str_split(&payload, ' ', &word))
        return false;
    if (str_eq(word, STR("N"))) {
        out->kind = NEWS_ENTRIES;
    } else if (str_eq(word, STR("A"))) {
        out->kind = NEWS_ACK;
        if (!str_split(&payload, ' ', &word) || !str_to_u64(word, &out->node))
            return false;
    } else {
        return false;
    }
    return str_split(&payload, ' ', &word) && str_to_u64(word, &out->epoch) && str_to_u64(payload, &out->seq);
}

bool bus_hints_begin(struct buf *out, uint64_t node)
{
    char head[HINTS_HEAD] = { 'I' };
    put(head + 1, node, 8);
    return buf_append(out, head, sizeof head);
}

bool bus_hints_add(struct buf *out, struct str primary)
{
    char *at = buf_reserve(out, 4 + primary.len);
    if (!at)
        return false;
    memcpy(put(at, primary.len, 4), primary.data, primary.len);
    buf_added(out, 4 + primary.len);
    return true;
}

bool bus_hint_next(struct str *rest, struct str *out_primary, bool *out_is_garbage)
{
    *out_is_garbage = false;
    if (rest->len == 0)
        return false;
    size_t len = rest->len < 4 ? 0 : get(rest->data, 4);
    if (len == 0 || len > rest->len - 4) {
        *out_is_garbage = true;
        return false;
    }
    *out_primary = str_n(rest->data + 4, len);
    *rest = str_from(*rest, 4 + len);
    return true;
}

/* --- the script's answer --- */

static bool read_number(const struct redis_reply *reply, uint64_t max, uint64_t *out)
{
    if (reply->kind != REDIS_INTEGER || reply->integer < 0 || (uint64_t)reply->integer > max)
        return false;
    *out = (uint64_t)reply->integer;
    return true;
}

bool bus_reading_read(const struct redis_reply *reply, struct bus_reading *out)
{
    if (reply->kind != REDIS_ARRAY || reply->count < 5 || (reply->count - 5) % 3 != 0)
        return false;
    const struct redis_reply *at = reply->elements;
    size_t count = (reply->count - 5) / 3;
    /* Redis' clock may have been set back since the epoch was opened. */
    if (!read_number(&at[0], INT64_MAX, &out->epoch) || !read_number(&at[1], JOURNAL_SEQ_MAX, &out->last) ||
        !read_number(&at[2], INT64_MAX, &out->term) || at[3].kind != REDIS_INTEGER ||
        !read_number(&at[4], JOURNAL_SEQ_MAX, &out->mine) || out->epoch == 0 || out->last == 0)
        return false;
    out->age_ms = max_i64(at[3].integer, 0);
    out->is_cut = count > BUS_NODES_MAX;
    out->node_count = (unsigned)(out->is_cut ? BUS_NODES_MAX : count);
    at += 5;
    for (unsigned i = 0; i < out->node_count; i++, at += 3) {
        struct bus_node *node = &out->nodes[i];
        if (at->kind != REDIS_STRING || !str_to_u64(at->str, &node->id) ||
            !read_number(&at[1], INT64_MAX, &node->epoch) ||
            !read_number(&at[2], JOURNAL_SEQ_MAX, &node->applied))
            return false;
    }
    return true;
}
