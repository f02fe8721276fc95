/* The names of rw_split's keys, and what a mistyped one was probably meant to be. Pure. */
#ifndef RW_SPLIT_NAMES_H
#define RW_SPLIT_NAMES_H

#include <weir/plugin.h>

/* False, and one sentence in error, if the config has a key that rw_split does not know. */
bool names_check(const struct weir_host *host, const struct weir_config *config, char *error,
                 size_t error_size);

#endif
