/* Whatever the file, and whatever memory there is: reading ends with a config or with an answer, and
 * gives everything back. A plain program, so that a leak checker sees its end. The same numbers are drawn
 * every time; an argument changes the seed. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "config/config.h"

#define TEXT_MAX 65536

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static long allocations_left = -1; /* -1: as many as wanted */

static bool may_allocate(void)
{
    if (allocations_left == 0)
        return false;
    if (allocations_left > 0)
        allocations_left--;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return may_allocate() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *old, size_t size)
{
    return may_allocate() ? __real_realloc(old, size) : NULL;
}

static uint64_t state = 88172645463325252u;

static uint64_t draw(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

static size_t load(const char *path, char *out)
{
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    size_t len = fread(out, 1, TEXT_MAX / 2, file);
    fclose(file);
    return len;
}

/* What is taken is summed up in words that are taken again, and mean the same. */
static void check_summary(const struct config *config)
{
    struct config_mistakes mistakes;
    char *once = config_summary(config);
    CHECK(once != NULL);
    struct config *again = config_read_text(str_of(once), "summary", &mistakes);
    if (!again) {
        char *text = config_mistakes_text(&mistakes, "summary");
        fprintf(stderr, "%s\n%s", once, text);
        CHECK(!"the summary reads back");
    }
    again->file = config->file;
    char *twice = config_summary(again);
    CHECK(twice != NULL);
    CHECK(strcmp(once, twice) == 0);
    free(once);
    free(twice);
    config_unref(again);
    config_mistakes_fini(&mistakes);
}

static bool try_text(const char *text, size_t len)
{
    struct config_mistakes mistakes;
    char *exact = malloc(len ? len : 1); /* no byte more: reading past the end shows */
    CHECK(exact != NULL);
    memcpy(exact, text, len);
    struct config *config = config_read_text(str_n(exact, len), "robust", &mistakes);
    free(exact);
    CHECK((config != NULL) == (mistakes.count == 0));
    char *said = config_mistakes_text(&mistakes, "robust");
    CHECK(said != NULL);
    CHECK((said[0] == '\0') == (config != NULL));
    free(said);
    if (config)
        check_summary(config);
    config_unref(config);
    config_mistakes_fini(&mistakes);
    return config != NULL;
}

/* Puts some bytes in, takes some out, or copies a part of the text elsewhere. */
static size_t mutate(char *text, size_t len)
{
    static const char *const pieces[] = {
        "{",         "}",
        "[",         "]",
        "- ",        ": ",
        "\n",        "\t",
        "&a ",       "*a ",
        "!!int ",    "\"",
        "'",         "|\n",
        ">\n",       "# ",
        "---\n",     "...\n",
        "? ",        "<<: ",
        "${A",       "${HOME}",
        "${A:-b}",   "~",
        "null",      "\xff",
        "\xc3\xa9",  "\\0",
        "\x01",      "%",
        "-1",        "0",
        "unlimited", "99999999999999999999",
        "{tenant}",  "auto",
        "0s",        "1/m",
        "@",         "`",
        "\r\n",      "  ",
    };
    size_t at = draw(len + 1);
    size_t count = draw(12);
    if (draw(3) == 0) {
        count = count < len - at ? count : len - at;
        memmove(text + at, text + at + count, len - at - count);
        return len - count;
    }
    const char *piece = pieces[draw(COUNT_OF(pieces))];
    size_t piece_len = strlen(piece);
    char copy[256];
    if (draw(4) == 0 && len > sizeof copy) {
        piece_len = 1 + draw(sizeof copy - 1);
        memcpy(copy, text + draw(len - piece_len), piece_len);
        piece = copy;
    }
    if (len + piece_len > TEXT_MAX)
        return len;
    memmove(text + at + piece_len, text + at, len - at);
    memcpy(text + at, piece, piece_len);
    return len + piece_len;
}

static void try_broken_files(const char *original, size_t original_len)
{
    static char text[TEXT_MAX];
    unsigned taken = 0;
    for (size_t len = 0; len < original_len; len += 1 + draw(60)) /* cut off anywhere */
        taken += try_text(original, len);
    for (int round = 0; round < 1500; round++) {
        size_t len = original_len;
        memcpy(text, original, len);
        for (uint64_t changes = 1 + draw(6); changes > 0; changes--)
            len = mutate(text, len);
        taken += try_text(text, len);
    }
    printf("broken files: %u were still a config\n", taken);
}

/* From no allocation on, one more each time, until all of them succeed. */
static void try_without_memory(const char *text, size_t len)
{
    long needed = 0;
    struct config *config = NULL;
    while (!config) {
        struct config_mistakes mistakes;
        allocations_left = needed++;
        config = config_read_text(str_n(text, len), "robust", &mistakes);
        allocations_left = -1;
        config_mistakes_fini(&mistakes);
    }
    printf("without memory: %ld allocations are needed\n", needed - 1);
    char *words = NULL;
    for (long n = 0; !words; n++) {
        allocations_left = n;
        words = config_summary(config);
        allocations_left = -1;
    }
    free(words);
    words = NULL;
    for (long n = 0; !words; n++) {
        allocations_left = n;
        words = config_schema();
        allocations_left = -1;
    }
    free(words);
    config_unref(config);
}

int main(int argc, char **argv)
{
    static char text[TEXT_MAX];
    if (argc > 1)
        state ^= strtoull(argv[1], NULL, 10) * 0x9e3779b97f4a7c15u;
    json_set_alloc_funcs(__wrap_malloc, free);
    size_t len = load(SOURCE_DIR "/conf/weir.yaml", text);
    CHECK(try_text(text, len));
    try_without_memory(text, len);
    try_broken_files(text, len);
    return 0;
}
