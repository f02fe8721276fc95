/* The one table of reasons (err.def) as an enum. Functions that can fail for several reasons return
 * int: 0, or one of these, which are all negative. Every code has an HTTP status, a word for logs and
 * metrics, and a sentence for people. Pure data; any thread. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err_index {
#define ERR(code, status, word, text) ERR_INDEX_##code,
#include "base/err.def"
#undef ERR
    ERR_COUNT
};

enum err {
#define ERR(code, status, word, text) ERR_##code = -1 - ERR_INDEX_##code,
#include "base/err.def"
#undef ERR
};

/* The HTTP status that answers err; 0 where only closing the connection is left. */
int err_status(int err);

/* The word in logs and problem+json, "none" for 0. Static storage. */
const char *err_word(int err);

/* One sentence for people. Static storage. */
const char *err_text(int err);

/* 0-based row of the table, for counters indexed by reason. err must be negative. */
unsigned err_row(int err);

#endif
