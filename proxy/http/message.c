#include "http/message.h"

enum method method_of(struct str name)
{
    switch (name.len) {
    case 3:
        return str_eq(name, STR("GET")) ? METHOD_GET : str_eq(name, STR("PUT")) ? METHOD_PUT : METHOD_OTHER;
    case 4:
        return str_eq(name, STR("HEAD"))   ? METHOD_HEAD
               : str_eq(name, STR("POST")) ? METHOD_POST
                                           : METHOD_OTHER;
    case 5:
        return str_eq(name, STR("PATCH"))   ? METHOD_PATCH
               : str_eq(name, STR("TRACE")) ? METHOD_TRACE
                                            : METHOD_OTHER;
    case 6:
        return str_eq(name, STR("DELETE")) ? METHOD_DELETE : METHOD_OTHER;
    case 7:
        return str_eq(name, STR("OPTIONS"))   ? METHOD_OPTIONS
               : str_eq(name, STR("CONNECT")) ? METHOD_CONNECT
                                              : METHOD_OTHER;
    default:
        return METHOD_OTHER;
    }
}

bool method_is_safe(enum method method)
{
    return method == METHOD_GET || method == METHOD_HEAD || method == METHOD_OPTIONS ||
           method == METHOD_TRACE;
}

bool method_is_idempotent(enum method method)
{
    return method_is_safe(method) || method == METHOD_PUT || method == METHOD_DELETE;
}

const struct field *message_find(const struct message *msg, struct str name)
{
    enum field_id id = field_id_of(name);
    if (id != FIELD_UNKNOWN)
        return message_field(msg, id);
    for (unsigned i = 0; i < msg->field_count; i++) {
        if (str_ieq(msg->fields[i].name, name))
            return &msg->fields[i];
    }
    return NULL;
}

bool message_list_has(const struct message *msg, enum field_id id, struct str member)
{
    for (const struct field *field = message_field(msg, id); field; field = message_next(msg, field)) {
        if (str_list_has(field->value, member))
            return true;
    }
    return false;
}

bool message_is_named_in_connection(const struct message *msg, struct str name)
{
    const struct field *field = message_field(msg, FIELD_CONNECTION);
    if (!field)
        return false;
    enum field_id id = field_id_of(name);
    if (id == FIELD_HOST || id == FIELD_CONNECTION || (field_traits(id) & FIELD_FRAMING))
        return false;
    for (; field; field = message_next(msg, field)) {
        struct str rest = field->value;
        struct str token;
        while (str_split(&rest, ',', &token)) {
            if (str_ieq(str_trim(token), name))
                return true;
        }
    }
    return false;
}
