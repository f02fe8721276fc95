/* A plugin that was built for ABI 1.0 finds everything where it was. */
#include <weir/plugin.h>

#include "layout.h"

#include <criterion/criterion.h>

#define FIELD(type, field) \
    { #type "." #field, offsetof(struct type, field), sizeof(((struct type *)0)->field) },
#define NUMBER(name) { #name, name, 0 },
static const struct layout_row now[] = {
#include "fields.h"
};

Test(abi, every_field_lies_where_it_lay_in_1_0)
{
    cr_assert_eq(layout_1_0_count, sizeof now / sizeof now[0]);
    for (size_t i = 0; i < layout_1_0_count; i++) {
        cr_expect_str_eq(now[i].name, layout_1_0[i].name);
        cr_expect_eq(now[i].offset, layout_1_0[i].offset, "%s moved", now[i].name);
        cr_expect_eq(now[i].size, layout_1_0[i].size, "%s has another size", now[i].name);
    }
}

/* What is new stands behind what was there: nothing of 1.0 lies behind the first new field. */
Test(abi, what_is_new_stands_at_the_end)
{
    cr_expect_eq(offsetof(struct weir_host, config_map), offsetof(struct weir_host, secret) + sizeof(void *));
    cr_expect_eq(offsetof(struct weir_plugin, assign),
                 offsetof(struct weir_plugin, is_behind) + sizeof(void *));
    cr_expect_gt(offsetof(struct weir_inspection, keep_body_bytes),
                 offsetof(struct weir_inspection, position));
    cr_expect_gt(offsetof(struct weir_candidate, lag_ms), offsetof(struct weir_candidate, address));
    cr_expect_gt(offsetof(struct weir_choice, holds_again), offsetof(struct weir_choice, hold_ms));
    cr_expect_gt(offsetof(struct weir_answer, address), offsetof(struct weir_answer, field));
    cr_expect_gt(offsetof(struct weir_verdict, as_of_ms), offsetof(struct weir_verdict, position));
}
