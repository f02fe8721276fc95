/* One scalar setting: from the text of the file into its field, and from the field to text again. What
 * value.h can read, stored as the table says. Pure but for the arena it is handed. */
#ifndef CONFIG_SCALAR_H
#define CONFIG_SCALAR_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "config/table.h"

enum scalar_result {
    SCALAR_OK,
    SCALAR_WRONG,     /* not of this kind */
    SCALAR_RANGE,     /* of this kind, but too small or too large */
    SCALAR_NOT_BUILT, /* allowed by the contract, not by this build */
    SCALAR_NO_MEMORY,
};

/* Relative paths are put behind folder, which may be empty. Strings are copied into the arena, with a
 * NUL behind them. field may be NULL: only checked. */
enum scalar_result scalar_read(const struct setting *setting, struct str text, struct arena *arena,
                               struct str folder, void *field);

/* The default, or what the table says an absent one holds. The preset of a path is not made absolute. */
enum scalar_result scalar_set_absent(const struct setting *setting, struct arena *arena, void *field);

/* Adds the value as YAML, quoted where needed. *out_is_there is false, and nothing is added, when there
 * is nothing to say. False: out of memory. */
bool scalar_put(const struct setting *setting, const void *field, struct buf *out, bool *out_is_there);

/* True for what has a number in it, and so a range. */
bool scalar_is_number(enum setting_kind kind);

/* Adds a bound from the table in the kind's own unit. */
bool scalar_put_number(enum setting_kind kind, int64_t number, struct buf *out);

/* Adds text as a YAML scalar, in double quotes if it could be read as anything else. */
bool scalar_put_text(struct str text, struct buf *out);

#endif
