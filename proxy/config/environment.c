#include "config/environment.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "config/tree.h"
#include "config/utf8.h"

static bool is_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.data[i]);
        bool is_digit = c >= '0' && c <= '9';
        if (!(c >= 'a' && c <= 'z') && c != '_' && !(is_digit && i > 0))
            return false;
    }
    return name.len > 0 && name.len < 128;
}

/* What stands for "NAME" or "NAME:-default". NULL data: a mistake, reported. */
static struct str value_of(struct str inside, struct config_mistakes *mistakes, struct config_mark mark)
{
    const char *dash = memmem(inside.data, inside.len, ":-", 2);
    struct str name = dash ? str_n(inside.data, (size_t)(dash - inside.data)) : inside;
    struct config_mark unused;
    char copy[128];
    if (!is_name(name)) {
        config_mistake(mistakes, mark, "${%.*s}: write ${NAME} or ${NAME:-default}", STR_FMT(inside));
        return str_of(NULL);
    }
    str_copy(name, copy, sizeof copy);
    struct str value = str_of(getenv(copy));
    if (dash && value.len == 0)
        return str_from(inside, name.len + 2);
    if (!value.data)
        config_mistake(mistakes, mark,
                       "the environment variable %s is not set; set it, or write ${%s:-default}", copy, copy);
    else if (value.len > 64 * 1024 || utf8_check(value, &unused)) {
        config_mistake(mistakes, mark, "the environment variable %s does not hold text", copy);
        return str_of(NULL);
    }
    return value;
}

enum environment_result environment_expand(struct str text, struct arena *arena, struct str *out,
                                           struct config_mistakes *mistakes, struct config_mark mark)
{
    struct str rest = text;
    struct buf expanded;
    bool ok = true;
    bool is_mistake = false;
    buf_init(&expanded);
    const char *start;
    while (ok && !is_mistake && rest.len > 0 && (start = memmem(rest.data, rest.len, "${", 2))) {
        size_t before = (size_t)(start - rest.data);
        struct str inside = str_from(rest, before + 2);
        ptrdiff_t end = str_find(inside, '}');
        if (end < 0) {
            config_mistake(mistakes, mark, "${ without }; write ${NAME} or ${NAME:-default}");
            is_mistake = true;
            break;
        }
        struct str value = value_of(str_n(inside.data, (size_t)end), mistakes, mark);
        is_mistake = value.data == NULL;
        ok = buf_append(&expanded, rest.data, before) && buf_append_str(&expanded, value) &&
             buf_len(&expanded) <= TREE_TEXT_MAX;
        rest = str_from(inside, (size_t)end + 1);
    }
    ok = ok && buf_append_str(&expanded, rest);
    struct str result = is_mistake ? text : buf_len(&expanded) > 0 ? buf_str(&expanded) : STR("");
    *out = ok ? arena_str(arena, result) : str_of(NULL);
    buf_fini(&expanded);
    if (!out->data)
        return ENVIRONMENT_NO_MEMORY;
    return is_mistake ? ENVIRONMENT_MISTAKE : ENVIRONMENT_OK;
}
