/* Where the fields of the public structs lie, as one header has them. */
#ifndef LAYOUT_H
#define LAYOUT_H

#include <stddef.h>

struct layout_row {
    const char *name; /* weir_host.log */
    size_t offset;
    size_t size;
};

extern const struct layout_row layout_1_0[];
extern const size_t layout_1_0_count;

#endif
