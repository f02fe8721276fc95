/* The config on its way to what it sets: reading it with what only the other rooms can check, and what it
 * means to the cache. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "cache/cache.h"
#include "config/config.h"

/* As config_read_file() and config_read_text(), and then what a config alone does not know: whether the url
 * of a Redis is one. file NULL: text, which name stands for. */
struct config *settings_read(const char *file, const char *text, const char *name,
                             struct config_mistakes *out_mistakes);

struct cache_options settings_cache(const struct config *config);
/* The tenants' shares of it. */
void settings_share(struct cache *cache, const struct config *config);

#endif
