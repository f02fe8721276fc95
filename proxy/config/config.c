#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/check.h"
#include "config/reading.h"

#define CONFIG_BYTES_MAX  (64 * 1024 * 1024)
#define SCRATCH_BYTES_MAX (64 * 1024 * 1024)

struct config *config_ref(struct config *config)
{
    CHECK(config != NULL);
    CHECK(__atomic_fetch_add(&config->references, 1, __ATOMIC_RELAXED) > 0);
    return config;
}

struct config *config_unref(struct config *config)
{
    if (config && __atomic_sub_fetch(&config->references, 1, __ATOMIC_ACQ_REL) == 0) {
        config_mistakes_fini(&config->warnings);
        arena_fini(&config->arena);
        free(config);
    }
    return NULL;
}

const struct config_upstream *config_find_upstream(const struct config *config, struct str name)
{
    for (unsigned i = 0; i < config->upstream_count; i++) {
        if (str_eq(config->upstreams[i].name, name))
            return &config->upstreams[i];
    }
    return NULL;
}

const struct config_version *config_find_version(const struct config *config, struct str name)
{
    for (unsigned i = 0; i < config->versions.known_count; i++) {
        if (str_eq(config->versions.known[i].name, name))
            return &config->versions.known[i];
    }
    return NULL;
}

static int by_line(const void *a, const void *b)
{
    const struct config_mark *one = &((const struct config_mistake *)a)->mark;
    const struct config_mark *two = &((const struct config_mistake *)b)->mark;
    if ((one->line == 0) != (two->line == 0))
        return one->line == 0 ? 1 : -1; /* of the file as a whole: last */
    return one->line != two->line ? one->line - two->line : one->column - two->column;
}

static void sort(struct config_mistakes *mistakes)
{
    if (mistakes->count > 0)
        qsort(mistakes->rows, mistakes->count, sizeof *mistakes->rows, by_line);
}

static struct config *config_new(const char *name)
{
    struct config *config = calloc(1, sizeof *config);
    if (!config)
        return NULL;
    arena_init(&config->arena, NULL, 0, CONFIG_BYTES_MAX);
    config->references = 1;
    config->file = arena_str(&config->arena, str_of(name));
    return config->file.data ? config : config_unref(config);
}

/* Everything up to the last slash; "" for none. */
static struct str folder_of(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (!slash)
        return STR("");
    return slash == path ? STR("/.") : str_n(path, (size_t)(slash - path));
}

static struct config *read_text(struct str yaml, const char *name, struct str folder,
                                struct config_mistakes *mistakes)
{
    struct reading r = { .config = config_new(name), .mistakes = mistakes, .folder = folder };
    arena_init(&r.scratch, NULL, 0, SCRATCH_BYTES_MAX);
    r.places = map_new();
    const struct node *root = r.config && r.places ? tree_parse(yaml, &r.scratch, mistakes) : NULL;
    if (root) {
        reading_read(&r, root);
        if (!r.is_out_of_memory)
            reading_settle(&r);
        if (!r.is_out_of_memory)
            reading_check(&r);
    }
    bool ok = root && !r.is_out_of_memory && mistakes->count == 0;
    sort(mistakes);
    if (ok)
        sort(&r.config->warnings);
    map_free(r.places);
    arena_fini(&r.scratch);
    return ok ? r.config : config_unref(r.config);
}

struct config *config_read_text(struct str yaml, const char *name, struct config_mistakes *out_mistakes)
{
    *out_mistakes = (struct config_mistakes){ 0 };
    return read_text(yaml, name, STR(""), out_mistakes);
}

/* Reads one byte more than a config may have, so that tree_parse() can say it is too large. */
static char *read_whole(FILE *file, size_t *out_len)
{
    char *text = malloc(TREE_TEXT_MAX + 1);
    if (text) {
        *out_len = fread(text, 1, TREE_TEXT_MAX + 1, file);
        if (ferror(file)) {
            free(text);
            text = NULL;
        }
    }
    return text;
}

struct config *config_read_file(const char *path, struct config_mistakes *out_mistakes)
{
    *out_mistakes = (struct config_mistakes){ 0 };
    struct stat info;
    size_t len = 0;
    struct config *config = NULL;
    errno = 0;
    FILE *file = fopen(path, "re");
    /* A folder opens, and only then cannot be read. */
    bool is_folder = file && fstat(fileno(file), &info) == 0 && S_ISDIR(info.st_mode);
    char *text = file && !is_folder ? read_whole(file, &len) : NULL;
    if (text)
        config = read_text(str_n(text, len), path, folder_of(path), out_mistakes);
    else
        config_mistake(out_mistakes, (struct config_mark){ 0 }, "cannot read it: %s",
                       is_folder ? "it is a folder" : strerror(errno));
    free(text);
    if (file)
        fclose(file);
    return config;
}
