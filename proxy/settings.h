/* The config on its way to what it sets: reading it with what only the other rooms can check, telling people
 * what is wrong with it, and what it means to the cache. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "base/log.h"
#include "cache/cache.h"
#include "config/config.h"
#include "control.h"

/* As config_read_file() and config_read_text(), and then what a config alone does not know: whether the url
 * of a Redis is one. file NULL: text, which name stands for. */
struct config *settings_read(const char *file, const char *text, const char *name,
                             struct config_mistakes *out_mistakes);

/* What the config is called. */
const char *settings_name(const struct control_options *options);

/* Mistakes or warnings, one a line, each with its place: in the file, or the option that it is about. kind
 * stands in front of each sentence. Malloc'd; NULL when out of memory. */
char *settings_text(const struct control_options *options, const struct config_mistakes *mistakes,
                    const char *kind);
/* To stderr. */
void settings_print_mistakes(const struct control_options *options, const struct config_mistakes *mistakes);
void settings_print_warnings(const struct control_options *options, const struct config *config);
/* To the log. lines is cut into its lines; NULL is fine. */
void settings_log_lines(enum log_level level, char *lines);
void settings_log_warnings(const struct control_options *options, const struct config *config);

struct cache_options settings_cache(const struct config *config);
/* The tenants' shares of it. */
void settings_share(struct cache *cache, const struct config *config);

#endif
