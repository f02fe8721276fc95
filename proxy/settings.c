#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "fleet/redis.h"

static bool is_redis_known(const struct config *config, struct config_mistakes *mistakes)
{
    const struct config_redis *redis = &config->cache.redis;
    struct redis_url url;
    const char *why;
    if (!redis->is_given || redis_url_parse(redis->url, &url, &why))
        return true;
    config_mistake(mistakes, redis->mark, "cache.redis.url: %s", why);
    return false;
}

struct config *settings_read(const char *file, const char *text, const char *name,
                             struct config_mistakes *out_mistakes)
{
    struct config *config =
        file ? config_read_file(file, out_mistakes) : config_read_text(str_of(text), name, out_mistakes);
    if (config && !is_redis_known(config, out_mistakes))
        config = config_unref(config);
    return config;
}

/* --- for people --- */

const char *settings_name(const struct control_options *options)
{
    return options->file ? options->file : "(command line)";
}

/* "; the first is on line 5" of a text that nobody wrote. */
static bool put_without_lines(const char *text, struct buf *out)
{
    static const char lines[] = "; the first is on line ";
    const char *at = strstr(text, lines);
    if (!at)
        return buf_printf(out, "%s\n", text);
    const char *rest = at + strlen(lines);
    rest += strspn(rest, "0123456789");
    return buf_printf(out, "%.*s%s\n", (int)(at - text), text, rest);
}

/* Without the key in front, which nobody wrote, where an option stands for it. */
static bool put_by_option(const struct control_options *options, const struct config_mistake *row,
                          const char *kind, struct buf *out)
{
    static const char *const keys[] = { "address: ", "listen: ",   "admin: ",
                                        "primary: ", "replicas: ", "memory: " };
    int line = row->mark.line;
    const char *text = row->text;
    if (line < 1 || (unsigned)line > options->text_lines || !options->text_options[line - 1])
        return buf_printf(out, "%s%s\n", kind, text);
    for (unsigned i = 0; i < COUNT_OF(keys); i++) {
        if (strncmp(text, keys[i], strlen(keys[i])) == 0) {
            text += strlen(keys[i]);
            break;
        }
    }
    return buf_printf(out, "%s%s: ", kind, options->text_options[line - 1]) && put_without_lines(text, out);
}

static bool put_by_place(const char *file, const struct config_mistake *row, const char *kind,
                         struct buf *out)
{
    if (row->mark.line > 0)
        return buf_printf(out, "%s:%d:%d: %s%s\n", file, row->mark.line, row->mark.column, kind, row->text);
    return buf_printf(out, "%s: %s%s\n", file, kind, row->text);
}

char *settings_text(const struct control_options *options, const struct config_mistakes *mistakes,
                    const char *kind)
{
    struct buf out;
    bool ok = true;
    buf_init(&out);
    for (unsigned i = 0; ok && i < mistakes->count; i++) {
        const struct config_mistake *row = &mistakes->rows[i];
        ok = options->file ? put_by_place(options->file, row, kind, &out)
                           : put_by_option(options, row, kind, &out);
    }
    char *text = ok ? str_dup(buf_str(&out)) : NULL;
    buf_fini(&out);
    return text;
}

void settings_print_mistakes(const struct control_options *options, const struct config_mistakes *mistakes)
{
    char *text = settings_text(options, mistakes, options->file ? "" : "weir: ");
    fputs(text && text[0] ? text : "out of memory\n", stderr);
    free(text);
}

void settings_print_warnings(const struct control_options *options, const struct config *config)
{
    char *text = settings_text(options, &config->warnings, options->file ? "warning: " : "weir: warning: ");
    fputs(text ? text : "", stderr);
    free(text);
}

void settings_log_lines(enum log_level level, char *lines)
{
    for (char *line = lines, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        log_line(level, "%s", line);
        if (!next)
            break;
    }
}

void settings_log_warnings(const struct control_options *options, const struct config *config)
{
    char *text = settings_text(options, &config->warnings, "");
    settings_log_lines(LOG_WARN, text);
    free(text);
}

/* --- for the cache --- */

struct cache_options settings_cache(const struct config *config)
{
    return (struct cache_options){
        .memory_bytes = (uint64_t)config->cache.memory_bytes,
        .object_max_bytes = (uint64_t)config->cache.object_max_bytes,
    };
}

void settings_share(struct cache *cache, const struct config *config)
{
    const struct config_tenants *tenants = &config->tenants;
    struct cache_share *rows = calloc(tenants->named_count + 1, sizeof *rows);
    if (!rows)
        return; /* nobody is kept apart then: as if all shares were the default */
    for (unsigned i = 0; i < tenants->named_count; i++)
        rows[i] = (struct cache_share){ tenants->named[i].name, tenants->named[i].cache_share };
    cache_set_shares(cache, tenants->fallback.cache_share, rows, tenants->named_count);
    free(rows);
}
