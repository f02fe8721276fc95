/* Structured fields (RFC 9651, which took over RFC 8941): dictionaries and lists, read one member at a time.
 *
 * Strict as section 4.2 wants it: one mistake anywhere makes the whole field void, so whoever reads one must
 * come to STRUCTURED_END on every line before believing any member. Lines are read one by one, which is the
 * same as joining them, as long as no member is split across two. Values of types that nobody here needs
 * are checked and skipped. Views into the field, no memory. Inside http/ only. Pure; any thread. */
#ifndef HTTP_STRUCTURED_H
#define HTTP_STRUCTURED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum structured_type {
    STRUCTURED_INTEGER,
    STRUCTURED_DECIMAL,
    STRUCTURED_STRING,
    STRUCTURED_TOKEN,
    STRUCTURED_BYTES,
    STRUCTURED_BOOLEAN,
    STRUCTURED_DATE,
    STRUCTURED_DISPLAY,
    STRUCTURED_INNER_LIST,
};

struct structured_member {
    struct str key; /* dictionaries only */
    enum structured_type type;
    int64_t integer; /* STRUCTURED_INTEGER and _DATE: the value; _BOOLEAN: 0 or 1 */
    struct str text; /* STRUCTURED_STRING: between the quotes, still escaped; _TOKEN: all of it */
};

enum structured_step {
    STRUCTURED_END,    /* the line is over, and was sound from where it was begun */
    STRUCTURED_MEMBER, /* *out is the next member; its parameters were checked and skipped */
    STRUCTURED_BROKEN, /* the whole field is void */
};

/* Takes the next member of a dictionary's line (3.2) or a list's (3.1) off *rest. */
enum structured_step structured_next_entry(struct str *rest, struct structured_member *out);
enum structured_step structured_next_item(struct str *rest, struct structured_member *out);

/* Writes the text of a STRUCTURED_STRING without its escapes: at most text.len bytes. Returns how many. */
size_t structured_unescape(struct str text, char *out);

#endif
