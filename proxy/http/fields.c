#include "http/fields.h"

#include <endian.h>

#include "http/chars.h"
#include "fields_table.h"

_Static_assert(FIELD_ROWS == FIELD_COUNT - 1,
               "fields_gen.py and the preprocessor read fields.def differently");

static const struct {
    struct str name;
    unsigned traits;
} rows[FIELD_COUNT] = {
    [FIELD_UNKNOWN] = { STR_INIT(""), 0 },
#define FIELD(id, name_, traits_) [FIELD_##id] = { STR_INIT(name_), traits_ },
#include "http/fields.def"
#undef FIELD
};

static inline uint64_t load64(const void *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return le64toh(word);
}

static inline uint64_t load32(const void *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return le32toh(word);
}

static inline uint64_t load16(const void *at)
{
    uint16_t word;
    memcpy(&word, at, sizeof word);
    return le16toh(word);
}

/* The same as key() and slot() in fields_gen.py. */
static inline unsigned field_hash(const char *name, size_t len)
{
    const uint64_t fold = 0x2020202020202020u;
    uint64_t a;
    uint64_t b;
    if (len >= 8) {
        a = load64(name);
        b = load64(name + len - 8);
    } else if (len >= 4) {
        a = load32(name);
        b = load32(name + len - 4);
    } else {
        a = load16(name);
        b = load16(name + len - 2);
    }
    uint64_t key = (a | fold) + 3 * (b | fold) + len;
    return (unsigned)((key * FIELD_HASH_FACTOR) >> (64 - FIELD_SLOTS_LOG2));
}

/* Exact but for the case of letters, a word at a time. Only bytes of the name are read. */
static inline bool is_same(const char *name, size_t len, unsigned row)
{
    const uint8_t *lower = field_lower[row];
    const uint8_t *may_differ = field_case[row];
    if (len >= 8) {
        for (size_t at = 0; at + 8 < len; at += 8) {
            if ((load64(name + at) ^ load64(lower + at)) & ~load64(may_differ + at))
                return false;
        }
        size_t last = len - 8;
        return ((load64(name + last) ^ load64(lower + last)) & ~load64(may_differ + last)) == 0;
    }
    for (size_t i = 0; i < len; i++) {
        if (((uint8_t)name[i] ^ lower[i]) & (uint8_t)~may_differ[i])
            return false;
    }
    return true;
}

enum field_id field_id_of(struct str name)
{
    if (name.len < 2 || name.len > FIELD_NAME_WIDTH)
        return FIELD_UNKNOWN;
    unsigned row = field_slots[field_hash(name.data, name.len)];
    if (field_length[row] != name.len || !is_same(name.data, name.len, row))
        return FIELD_UNKNOWN;
    return (enum field_id)row;
}

struct str field_name(enum field_id id)
{
    return rows[id].name;
}

unsigned field_traits(enum field_id id)
{
    return rows[id].traits;
}

bool field_name_reads_as(struct str name, struct str as)
{
    if (name.len != as.len)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = char_is(name.data[i], CHAR_FOLD) ? '-' : ascii_lower(name.data[i]);
        char d = char_is(as.data[i], CHAR_FOLD) ? '-' : ascii_lower(as.data[i]);
        if (c != d)
            return false;
    }
    return true;
}

bool field_name_is_ambiguous(struct str name)
{
    char folded[FIELD_NAME_WIDTH];
    bool has_changed = false;
    if (name.len > sizeof folded)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        bool is_folded = char_is(name.data[i], CHAR_FOLD);
        folded[i] = is_folded ? '-' : name.data[i];
        has_changed |= is_folded;
    }
    return has_changed && field_id_of(str_n(folded, name.len)) != FIELD_UNKNOWN;
}
