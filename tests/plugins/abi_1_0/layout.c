/* Compiled with the header of ABI 1.0 alone. */
#include <weir/plugin.h>

#include "layout.h"

_Static_assert(WEIR_PLUGIN_ABI_MINOR == 0, "this must see the header of 1.0");

#define FIELD(type, field) \
    { #type "." #field, offsetof(struct type, field), sizeof(((struct type *)0)->field) },
#define NUMBER(name) { #name, name, 0 },
const struct layout_row layout_1_0[] = {
#include "fields.h"
};
const size_t layout_1_0_count = sizeof layout_1_0 / sizeof layout_1_0[0];
