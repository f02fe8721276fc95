/* ${NAME} and ${NAME:-default} in a value. A ${NAME} that is not set is a mistake; with a default, one
 * that is set but empty takes the default too, as in a shell. A "$" that no "{" follows is itself. */
#ifndef CONFIG_ENVIRONMENT_H
#define CONFIG_ENVIRONMENT_H

#include "base/arena.h"
#include "base/str.h"
#include "config/config.h"

enum environment_result {
    ENVIRONMENT_OK,
    ENVIRONMENT_MISTAKE, /* reported; *out is the text as it was */
    ENVIRONMENT_NO_MEMORY,
};

/* *out is always a copy in the arena with a NUL behind it. What a variable holds is not expanded again. */
enum environment_result environment_expand(struct str text, struct arena *arena, struct str *out,
                                           struct config_mistakes *mistakes, struct config_mark mark);

#endif
