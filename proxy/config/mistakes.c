#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "config/config.h"

/* More than anybody reads; a file of garbage must not become a report many times its size. */
#define ROWS_MAX 200

static bool has_room(struct config_mistakes *mistakes)
{
    if (mistakes->count < mistakes->size)
        return true;
    unsigned size = mistakes->size ? mistakes->size * 2 : 8;
    struct config_mistake *rows = realloc(mistakes->rows, size * sizeof *rows);
    if (!rows)
        return false;
    mistakes->rows = rows;
    mistakes->size = size;
    return true;
}

void config_mistake(struct config_mistakes *mistakes, struct config_mark mark, const char *format, ...)
{
    if (mistakes->count > ROWS_MAX || !has_room(mistakes))
        return;
    char *text = NULL;
    if (mistakes->count == ROWS_MAX) {
        mark = (struct config_mark){ 0 };
        text = str_dup(STR("and more: these are the first of them"));
    } else {
        va_list args;
        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
            text = NULL;
        va_end(args);
    }
    if (text)
        mistakes->rows[mistakes->count++] = (struct config_mistake){ mark, text };
}

char *config_mistakes_text(const struct config_mistakes *mistakes, const char *file)
{
    struct buf out;
    buf_init(&out);
    bool ok = true;
    for (unsigned i = 0; i < mistakes->count; i++) {
        const struct config_mistake *row = &mistakes->rows[i];
        ok = ok && buf_append_str(&out, str_of(file));
        if (row->mark.line > 0)
            ok = ok && buf_printf(&out, ":%d:%d", row->mark.line, row->mark.column);
        ok = ok && buf_printf(&out, ": %s\n", row->text);
    }
    char *text = ok ? str_dup(buf_str(&out)) : NULL;
    buf_fini(&out);
    return text;
}

void config_mistakes_fini(struct config_mistakes *mistakes)
{
    if (!mistakes)
        return;
    for (unsigned i = 0; i < mistakes->count; i++)
        free(mistakes->rows[i].text);
    free(mistakes->rows);
    *mistakes = (struct config_mistakes){ 0 };
}
