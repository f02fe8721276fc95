#include "read.h"

Test(message, rfc9110_9_1_methods_are_case_sensitive)
{
    static const struct {
        const char *name;
        enum method want;
    } rows[] = {
        { "GET", METHOD_GET },         { "HEAD", METHOD_HEAD },     { "POST", METHOD_POST },
        { "PUT", METHOD_PUT },         { "DELETE", METHOD_DELETE }, { "PATCH", METHOD_PATCH },
        { "OPTIONS", METHOD_OPTIONS }, { "TRACE", METHOD_TRACE },   { "CONNECT", METHOD_CONNECT },
        { "get", METHOD_OTHER },       { "PURGE", METHOD_OTHER },   { "GETT", METHOD_OTHER },
        { "", METHOD_OTHER },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(method_of(str_of(rows[i].name)), rows[i].want, "%s", rows[i].name);
}

Test(message, rfc9110_9_2_unknown_methods_are_neither_safe_nor_idempotent)
{
    cr_expect(method_is_safe(METHOD_GET));
    cr_expect(method_is_safe(METHOD_HEAD));
    cr_expect(method_is_safe(METHOD_OPTIONS));
    cr_expect_not(method_is_safe(METHOD_PUT));
    cr_expect_not(method_is_safe(METHOD_OTHER));
    cr_expect(method_is_idempotent(METHOD_PUT));
    cr_expect(method_is_idempotent(METHOD_DELETE));
    cr_expect_not(method_is_idempotent(METHOD_POST));
    cr_expect_not(method_is_idempotent(METHOD_PATCH));
    cr_expect_not(method_is_idempotent(METHOD_OTHER));
}

Test(message, fields_of_one_name_are_chained_in_order)
{
    struct message msg;
    get_with(&msg, "Via: 1\r\nX: y\r\nVIA: 2\r\nCookie: c\r\nvia: 3\r\n");
    const struct field *via = message_field(&msg, FIELD_VIA);
    assert_str(via->value, "1");
    assert_str((via = message_next(&msg, via))->value, "2");
    assert_str((via = message_next(&msg, via))->value, "3");
    cr_expect_null(message_next(&msg, via));
    cr_expect_null(message_field(&msg, FIELD_DATE));
    cr_expect_null(message_value(&msg, FIELD_DATE).data);
}

Test(message, fields_are_found_by_name_known_or_not)
{
    struct message msg;
    get_with(&msg, "X-Own: 1\r\nx-own: 2\r\nCookie: c\r\n");
    assert_str(message_find(&msg, STR("x-OWN"))->value, "1");
    assert_str(message_find(&msg, STR("cookie"))->value, "c");
    cr_expect_null(message_find(&msg, STR("x-other")));
    cr_expect_null(message_find(&msg, STR("date")));
}

Test(message, list_members_are_looked_for_in_every_line)
{
    struct message msg;
    get_with(&msg, "Vary: Accept, Cookie\r\nVary: Origin\r\n");
    cr_expect(message_list_has(&msg, FIELD_VARY, STR("cookie")));
    cr_expect(message_list_has(&msg, FIELD_VARY, STR("origin")));
    cr_expect_not(message_list_has(&msg, FIELD_VARY, STR("Accept-Encoding")));
    cr_expect_not(message_list_has(&msg, FIELD_DATE, STR("x")));
}

Test(message, rfc9110_7_6_1_connection_names_fields_but_never_host_or_framing)
{
    struct message msg;
    get_with(&msg, "Connection: close, X-Hop ,host\r\nConnection: content-length,Transfer-Encoding, "
                   "connection, Cookie\r\n");
    cr_expect(message_is_named_in_connection(&msg, STR("x-hop")));
    cr_expect(message_is_named_in_connection(&msg, STR("Cookie")));
    cr_expect_not(message_is_named_in_connection(&msg, STR("Host")));
    cr_expect_not(message_is_named_in_connection(&msg, STR("Content-Length")));
    cr_expect_not(message_is_named_in_connection(&msg, STR("Transfer-Encoding")));
    cr_expect_not(message_is_named_in_connection(&msg, STR("Connection")));
    cr_expect_not(message_is_named_in_connection(&msg, STR("X-Other")));
    get_with(&msg, "");
    cr_expect_not(message_is_named_in_connection(&msg, STR("X-Hop")));
}

Test(message, fields_are_added_until_it_is_full)
{
    static struct message msg;
    memset(&msg, 0, sizeof msg);
    for (unsigned i = 0; i < FIELDS_MAX; i++)
        cr_assert(message_add(&msg, i % 2 ? STR("Vary") : STR("X"), STR("v")));
    cr_expect_not(message_add(&msg, STR("X"), STR("v")));
    unsigned count = 0;
    for (const struct field *f = message_field(&msg, FIELD_VARY); f; f = message_next(&msg, f))
        count++;
    cr_expect_eq(count, FIELDS_MAX / 2);
}
