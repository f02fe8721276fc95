/* For the tests of this room: text in, config or mistakes out. */
#ifndef TESTS_CONFIG_HELP_H
#define TESTS_CONFIG_HELP_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/config.h"

/* One upstream, so that a test may talk about something else. */
#define APP "upstreams: {app: {primary: [127.0.0.1:3000]}}\n"

/* The config, which must be without mistakes. */
static inline struct config *must_read(const char *yaml)
{
    struct config_mistakes mistakes;
    struct config *config = config_read_text(str_of(yaml), "test.yaml", &mistakes);
    char *text = config_mistakes_text(&mistakes, "test.yaml");
    cr_assert(config != NULL, "%s\n%s", yaml, text);
    cr_assert_eq(mistakes.count, 0);
    free(text);
    config_mistakes_fini(&mistakes);
    return config;
}

/* The mistakes as "LINE:COL: text" lines, malloc'd; fails if there are none. */
static inline char *must_refuse(const char *yaml)
{
    struct config_mistakes mistakes;
    struct config *config = config_read_text(str_of(yaml), "test.yaml", &mistakes);
    cr_assert(config == NULL, "this was taken:\n%s", yaml);
    cr_assert_gt(mistakes.count, 0, "refused without a word:\n%s", yaml);
    char *text = config_mistakes_text(&mistakes, "");
    config_mistakes_fini(&mistakes);
    return text;
}

struct refusal {
    const char *yaml;
    const char *want; /* part of the mistakes' text */
};

static inline void must_refuse_all(const struct refusal *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *text = must_refuse(rows[i].yaml);
        cr_expect(strstr(text, rows[i].want) != NULL, "row %zu\n%s\nwanted: %s\ngot: %s", i, rows[i].yaml,
                  rows[i].want, text);
        free(text);
    }
}

/* A whole file, malloc'd and NUL-terminated. */
static inline char *must_load(const char *path)
{
    FILE *file = fopen(path, "r");
    cr_assert(file != NULL, "%s", path);
    char *text = calloc(1, 1 << 20);
    cr_assert(text != NULL);
    cr_assert_gt(fread(text, 1, (1 << 20) - 1, file), 0);
    fclose(file);
    return text;
}

#endif
