/* A reply being put together: text, JSON, or a problem (RFC 9457). What goes wrong on the way (memory)
 * becomes a 500 at the end, so that handlers need not ask after each step. A handler that has to wait for
 * somebody sets is_later and keeps the pointer: the reply lives until reply_ready(), also when its caller has
 * left. Only for this room; control thread. */
#ifndef ADMIN_REPLY_H
#define ADMIN_REPLY_H

#include <stdbool.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/str.h"

struct reply {
    int status;
    const char *type;  /* Content-Type; static */
    struct buf fields; /* more field lines */
    struct buf body;
    bool is_broken;                        /* out of memory */
    bool is_later;                         /* reply_ready() will be called, once */
    void (*on_ready)(struct reply *reply); /* set by who waits; it takes the reply back. NULL: nobody yet */
};

void reply_init(struct reply *reply);
void reply_fini(struct reply *reply); /* NULL is fine */

/* Ends is_later, now or while the handler still runs. The reply may be gone afterwards. */
void reply_ready(struct reply *reply);

/* value may not hold line ends: it comes from us. */
void reply_field(struct reply *reply, const char *name, const char *value);
void reply_text(struct reply *reply, int status, const char *type, struct str text);
/* Takes json over; NULL is out of memory. */
void reply_json(struct reply *reply, int status, json_t *json);
/* word: the reason, as in base/err.def where it has one. */
void reply_problem(struct reply *reply, int status, const char *word, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same for a row of base/err.def. */
void reply_error(struct reply *reply, int err);
/* The same with one more member; takes value over. */
void reply_problem_with(struct reply *reply, int status, const char *word, const char *detail,
                        const char *member, json_t *value);

/* Strings of the config and of clients: bytes that are no UTF-8 become "?". */
json_t *json_of_str(struct str s);
/* data NULL: null. */
json_t *json_of_word(struct str s);
/* NEVER (-1): null. */
json_t *json_of_limit(int64_t limit);
json_t *json_of_seconds(int64_t ns);

#endif
