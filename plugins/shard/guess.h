/* What may have been meant by a name that is not known: for sentences that help. */
#ifndef SHARD_GUESS_H
#define SHARD_GUESS_H

#include <weir/plugin.h>

#define GUESS_SIZE   65 /* a name has at most 63 characters; one may have been left out */

/* For %.*s: names in sentences are cut, so that the sentence's end is seen. */
#define GUESS_FMT(s) (int)((s).len < 63 ? (s).len : 63), (s).data ? (s).data : ""

/* The key that this one is, or is nearly; NULL: none. */
const char *guess_key(const char *typed, const char *const *known, unsigned count);

/* An upstream whose name is one change away: a letter too many, left out, another one, or two swapped. False:
 * there is none. */
bool guess_upstream(const struct weir_host *host, const struct weir_config *config, struct weir_str typed,
                    char out[GUESS_SIZE]);

#endif
