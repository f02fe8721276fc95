/* The secondary key, RFC 9111 4.1. */
#include "http/caching.h"
#include "http/chars.h"
#include "http/writer.h"

#define NAMES_MAX   16
#define MEMBERS_MAX 64 /* of one Accept; with more, or more bytes, nothing can be told */
#define SET_BYTES   4096

struct names {
    struct str names[NAMES_MAX]; /* sorted, as they came */
    unsigned count;
};

static int compare_lower(struct str a, struct str b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++) {
        int diff = ascii_lower(a.data[i]) - ascii_lower(b.data[i]);
        if (diff != 0)
            return diff;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

/* Puts the members of one Vary value in their places. False for "*", for what is no name, and for too
 * many: then nothing can be told about which requests match. */
static bool collect(struct names *out, struct str value)
{
    struct str name;
    while (str_split(&value, ',', &name)) {
        name = str_trim(name);
        if (name.len == 0)
            continue;
        if (str_eq(name, STR("*")) || !is_token(name))
            return false;
        unsigned at = 0;
        while (at < out->count && compare_lower(out->names[at], name) < 0)
            at++;
        if (at < out->count && compare_lower(out->names[at], name) == 0)
            continue;
        if (out->count == NAMES_MAX)
            return false;
        memmove(out->names + at + 1, out->names + at, (out->count - at) * sizeof out->names[0]);
        out->names[at] = name;
        out->count++;
    }
    return true;
}

static void put_lower(struct writer *w, struct str s)
{
    size_t start = w->len;
    writer_put(w, s);
    for (size_t i = start; i < w->len; i++)
        w->data[i] = ascii_lower(w->data[i]);
}

/* How the values of a field may be normalised without changing what they mean (RFC 9111 4.1). */
enum shape {
    SHAPE_LIST,  /* blanks around commas, and lines */
    SHAPE_SET,   /* also the case and the order of its members, and blanks around ";" and "=" */
    SHAPE_WHOLE, /* nothing: no list, so its commas separate nothing */
};

static enum shape shape_of(enum field_id id)
{
    switch (id) {
    case FIELD_ACCEPT:
    case FIELD_ACCEPT_CHARSET:
    case FIELD_ACCEPT_ENCODING:
    case FIELD_ACCEPT_LANGUAGE:
        return SHAPE_SET;
    case FIELD_AUTHORIZATION:
    case FIELD_COOKIE:
    case FIELD_USER_AGENT:
        return SHAPE_WHOLE;
    default:
        return SHAPE_LIST;
    }
}

/* The request's fields of one name, first to last; NULL behind the last. */
static const struct field *first_of(const struct message *request, enum field_id id, struct str name)
{
    return id != FIELD_UNKNOWN ? message_field(request, id) : message_find(request, name);
}

static const struct field *next_of(const struct message *request, const struct field *field)
{
    if (field->id != FIELD_UNKNOWN)
        return message_next(request, field);
    for (const struct field *at = field + 1; at < request->fields + request->field_count; at++) {
        if (str_ieq(at->name, field->name))
            return at;
    }
    return NULL;
}

struct set {                         /* members in their normal form */
    struct str members[MEMBERS_MAX]; /* sorted */
    unsigned count;
    bool is_over;
    size_t len;
    char bytes[SET_BYTES];
};

static bool is_mark(char c)
{
    return c == ';' || c == '=';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void drop_blanks(struct set *set, size_t start)
{
    while (set->len > start && is_blank(set->bytes[set->len - 1]))
        set->len--;
}

/* What was written from start on is a member; nothing is none (RFC 9110 5.6.1). */
static void end_member(struct set *set, size_t start)
{
    drop_blanks(set, start);
    struct str member = str_n(set->bytes + start, set->len - start);
    if (member.len == 0)
        return;
    if (set->count == MEMBERS_MAX) {
        set->is_over = true;
        return;
    }
    unsigned at = set->count++;
    for (; at > 0 && str_cmp(member, set->members[at - 1]) < 0; at--)
        set->members[at] = set->members[at - 1];
    set->members[at] = member;
}

/* Members in lower case, without blanks next to ";" and "=". Quoted strings stay as they are. One pass: it
 * is done for every look-up. */
static void add_members(struct set *set, struct str value)
{
    size_t start = set->len;
    bool is_quoted = false;
    if (value.len > sizeof set->bytes - set->len) { /* no normal form is longer */
        set->is_over = true;
        return;
    }
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];
        if (is_quoted) {
            is_quoted = c != '"';
            set->bytes[set->len++] = c;
            if (c == '\\' && i + 1 < value.len)
                set->bytes[set->len++] = value.data[++i];
            continue;
        }
        if (!char_is(c, CHAR_TOKEN)) {
            if (c == ',') {
                end_member(set, start);
                start = set->len;
                continue;
            }
            if (is_blank(c) && (set->len == start || is_mark(set->bytes[set->len - 1])))
                continue;
            if (is_mark(c))
                drop_blanks(set, start);
            is_quoted = c == '"';
        }
        set->bytes[set->len++] = ascii_lower(c);
    }
    end_member(set, start);
}

static void put_set(struct writer *w, const struct message *request, const struct field *field)
{
    struct set set; /* not cleared: it is large, and only what is written is read */
    set.count = 0;
    set.len = 0;
    set.is_over = false;
    for (; field; field = next_of(request, field))
        add_members(&set, field->value);
    w->is_over |= set.is_over;
    for (unsigned i = 0; i < set.count; i++) {
        if (i > 0)
            writer_put(w, STR(","));
        writer_put(w, set.members[i]);
    }
}

static void put_list(struct writer *w, const struct message *request, const struct field *field)
{
    bool is_first = true;
    for (; field; field = next_of(request, field)) {
        struct str rest = field->value;
        struct str member;
        while (str_next_member(&rest, &member)) {
            if (!is_first)
                writer_put(w, STR(","));
            writer_put(w, member);
            is_first = false;
        }
    }
}

static void put_whole(struct writer *w, const struct message *request, const struct field *field)
{
    for (; field; field = next_of(request, field)) {
        writer_put(w, field->value);
        writer_put(w, STR("\r")); /* in no value: two lines are never one */
    }
}

/* RFC 9111 4.1. Nothing is normalised beyond the field's shape: a request may miss that could have hit,
 * never the reverse. */
static void put_values(struct writer *w, const struct message *request, struct str name)
{
    enum field_id id = field_id_of(name);
    const struct field *field = first_of(request, id, name);
    if (field) {
        writer_put(w, STR(":")); /* even if it is empty: absent is something else (4.1) */
        switch (shape_of(id)) {
        case SHAPE_LIST:
            put_list(w, request, field);
            break;
        case SHAPE_SET:
            put_set(w, request, field);
            break;
        case SHAPE_WHOLE:
            put_whole(w, request, field);
            break;
        }
    }
    writer_put(w, STR("\n"));
}

int vary_key(struct str vary, const struct message *request, char *out, size_t size)
{
    struct names names;
    names.count = 0;
    if (!collect(&names, vary))
        return -1;
    struct writer w;
    writer_init(&w, out, size);
    for (unsigned i = 0; i < names.count; i++) {
        put_lower(&w, names.names[i]);
        put_values(&w, request, names.names[i]);
    }
    return w.is_over ? -1 : (int)w.len;
}

int vary_read(const struct message *reply, char *out, size_t size)
{
    struct names names;
    names.count = 0;
    struct writer w;
    writer_init(&w, out, size);
    const struct field *field = message_field(reply, FIELD_VARY);
    for (; field; field = message_next(reply, field)) {
        if (!collect(&names, field->value)) {
            writer_put(&w, STR("*"));
            return w.is_over ? -1 : 1;
        }
    }
    for (unsigned i = 0; i < names.count; i++) {
        if (i > 0)
            writer_put(&w, STR(","));
        put_lower(&w, names.names[i]);
    }
    return w.is_over ? -1 : (int)w.len;
}
