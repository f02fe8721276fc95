/* Header fields: the names weir knows (fields.def, one row each), and lists of borrowed fields.
 * Pure; any thread. */
#ifndef HTTP_FIELDS_H
#define HTTP_FIELDS_H

#include <stdbool.h>

#include "base/str.h"

/* What a row of fields.def says about a name. */
enum field_trait {
    FIELD_HOP_BY_HOP = 1,  /* RFC 9110 7.6.1: never forwarded, either way */
    FIELD_FRAMING = 2,     /* written by us from what we computed */
    FIELD_NO_TRAILER = 4,  /* RFC 9110 6.5.1: dropped from trailers */
    FIELD_OURS = 8,        /* towards the app set by weir alone: an untrusted client's is removed */
    FIELD_APP_ONLY = 16,   /* from the app to weir: taken off before the client sees it */
    FIELD_IDENTITY = 32,   /* changes what apps answer without being in the key: removed towards the app */
    FIELD_NOT_STORED = 64, /* taken off a reply before it is stored, or made anew on each use */
};

enum field_id {
    FIELD_UNKNOWN,
#define FIELD(id, name, traits) FIELD_##id,
#include "http/fields.def"
#undef FIELD
    FIELD_COUNT
};

struct field {
    struct str name;  /* as it came */
    struct str value; /* OWS trimmed */
    enum field_id id;
    /* The id is FIELD_UNKNOWN, but the name reads as a known one to apps that take "_" (or another mark)
     * for "-", as CGI does: Content_Length, X_Forwarded_For. Never forwarded, in either direction. */
    bool is_ambiguous;
};

/* The id of a name in any case; FIELD_UNKNOWN if it is not in the table. About 5 ns. */
enum field_id field_id_of(struct str name);

/* True if name is no known one, but would be with every mark ("_", ".", ...) read as "-". */
bool field_name_is_ambiguous(struct str name);

/* Equal in any case when marks read as "-": for names that the config brings (a tenant's header), whose
 * ambiguous spellings must be removed too. */
bool field_name_reads_as(struct str name, struct str as);

struct str field_name(enum field_id id); /* canonical spelling */
unsigned field_traits(enum field_id id); /* 0 for FIELD_UNKNOWN */

#endif
