#include "fly.h"

#include <string.h>
#include <strings.h>

static bool is_name(struct weir_str text, const char *name)
{
    return text.len == strlen(name) && strncasecmp(text.data, name, text.len) == 0;
}

/* Cuts "name=value" off *rest, at a semicolon that is not quoted; returns the name. */
static struct weir_str cut_fly_name(struct weir_str *rest)
{
    struct weir_str name = { rest->data, 0 };
    bool is_quoted = false, is_in_name = true;
    size_t at = 0;

    while (at < rest->len && (is_quoted || rest->data[at] != ';')) {
        is_quoted ^= rest->data[at] == '"';
        is_in_name &= rest->data[at] != '=';
        name.len += is_in_name;
        at++;
    }
    while (name.len && (name.data[0] == ' ' || name.data[0] == '\t'))
        name = (struct weir_str){ name.data + 1, name.len - 1 };
    at += at < rest->len;
    *rest = (struct weir_str){ rest->data + at, rest->len - at };
    return name;
}

bool fly_names_primary(struct weir_str said)
{
    bool has_place = false, is_of_another_app = false;

    while (said.len) {
        struct weir_str name = cut_fly_name(&said);

        has_place |= is_name(name, "region") || is_name(name, "instance");
        is_of_another_app |= is_name(name, "app");
    }
    return has_place && !is_of_another_app;
}
