/* The secondary key, RFC 9111 4.1. */
#include "http/caching.h"
#include "http/chars.h"
#include "http/writer.h"

#define NAMES_MAX 16

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
    while (str_next_member(&value, &name)) {
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

/* RFC 9111 4.1: fields match when they can be made the same by changing whitespace where the syntax
 * allows it and by joining lines of the same name. Nothing else is normalised: a request may miss that
 * could have hit, never the reverse. */
static void put_values(struct writer *w, const struct message *request, struct str name)
{
    bool is_first = true;
    for (unsigned i = 0; i < request->field_count; i++) {
        const struct field *field = &request->fields[i];
        if (!str_ieq(field->name, name))
            continue;
        struct str rest = field->value;
        struct str member;
        /* ":" even if it is empty: absent is something else (4.1). */
        writer_put(w, is_first ? STR(":") : STR(","));
        is_first = false;
        bool is_first_member = true;
        while (str_next_member(&rest, &member)) {
            if (!is_first_member)
                writer_put(w, STR(","));
            writer_put(w, member);
            is_first_member = false;
        }
    }
    writer_put(w, STR("\n"));
}

int vary_key(struct str vary, const struct message *request, char *out, size_t size)
{
    struct names names = { .count = 0 };
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
    struct names names = { .count = 0 };
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
