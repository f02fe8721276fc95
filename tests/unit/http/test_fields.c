#include "read.h"

static const struct {
    enum field_id id;
    const char *name;
} rows[] = {
#define FIELD(id, name, traits) { FIELD_##id, name },
#include "http/fields.def"
#undef FIELD
};

Test(fields, every_row_is_found_in_any_case)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char name[64];
        struct str s = str_of(rows[i].name);
        cr_expect_eq(field_id_of(s), rows[i].id, "%s", rows[i].name);
        for (size_t at = 0; at < s.len; at++) {
            memcpy(name, s.data, s.len);
            name[at] = (char)(name[at] >= 'a' && name[at] <= 'z' ? name[at] - 32 : ascii_lower(name[at]));
            cr_expect_eq(field_id_of(str_n(name, s.len)), rows[i].id, "%.*s", (int)s.len, name);
        }
        cr_expect(str_eq(field_name(rows[i].id), s));
    }
}

Test(fields, one_other_byte_makes_a_name_unknown)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char name[64];
        struct str s = str_of(rows[i].name);
        for (size_t at = 0; at < s.len; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                memcpy(name, s.data, s.len);
                name[at] = (char)(name[at] ^ (1 << bit));
                bool is_same = str_ieq(str_n(name, s.len), s);
                cr_expect_eq(field_id_of(str_n(name, s.len)) == rows[i].id, is_same, "%s, bit %u of %zu",
                             rows[i].name, bit, at);
            }
        }
        memcpy(name, s.data, s.len);
        name[s.len] = 's';
        cr_expect_neq(field_id_of(str_n(name, s.len + 1)), rows[i].id);
        cr_expect_neq(field_id_of(str_n(name, s.len - 1)), rows[i].id);
    }
}

Test(fields, unknown_names_have_no_traits)
{
    cr_expect_eq(field_id_of(STR("")), FIELD_UNKNOWN);
    cr_expect_eq(field_id_of(STR("X")), FIELD_UNKNOWN);
    cr_expect_eq(field_id_of(STR("X-Nobody-Knows-This-Name-At-All-Really")), FIELD_UNKNOWN);
    cr_expect_eq(field_traits(FIELD_UNKNOWN), 0);
}

Test(fields, framing_and_hop_by_hop_traits_are_set_where_they_matter)
{
    cr_expect(field_traits(FIELD_CONTENT_LENGTH) & FIELD_FRAMING);
    cr_expect(field_traits(FIELD_TRANSFER_ENCODING) & FIELD_FRAMING);
    cr_expect(field_traits(FIELD_CONNECTION) & FIELD_HOP_BY_HOP);
    cr_expect(field_traits(FIELD_HOST) & FIELD_NO_TRAILER);
}

Test(fields, a_name_is_ambiguous_when_marks_read_as_dashes_make_it_known)
{
    static const char *const yes[] = { "Content_Length",  "content_length",    "X_Forwarded_For",
                                       "X-Forwarded_For", "Transfer.Encoding", "Weir_Tenant",
                                       "Content~Type" };
    static const char *const no[] = { "Content-Length", "X_Tenant", "Host", "_", "My_Own_Field" };
    for (size_t i = 0; i < COUNT_OF(yes); i++) {
        cr_expect(field_name_is_ambiguous(str_of(yes[i])), "%s", yes[i]);
        cr_expect_eq(field_id_of(str_of(yes[i])), FIELD_UNKNOWN, "%s", yes[i]);
    }
    for (size_t i = 0; i < COUNT_OF(no); i++)
        cr_expect_not(field_name_is_ambiguous(str_of(no[i])), "%s", no[i]);
}

Test(fields, configured_names_are_compared_the_same_way)
{
    cr_expect(field_name_reads_as(STR("x_tenant"), STR("X-Tenant")));
    cr_expect(field_name_reads_as(STR("X-Tenant"), STR("x-tenant")));
    cr_expect_not(field_name_reads_as(STR("X-Tenan"), STR("X-Tenant")));
    cr_expect_not(field_name_reads_as(STR("XXTenant"), STR("X-Tenant")));
}
