#include "base/check.h"
#include "config/reading.h"

struct place {
    const void *field; /* its bytes are the key in the map */
    struct config_mark mark;
};

static struct str key_of(const void *const *field)
{
    return str_n((const char *)field, sizeof *field);
}

void reading_put_place(struct reading *r, const void *field, struct config_mark mark)
{
    struct place *place = map_get(r->places, key_of(&field));
    if (!place) {
        place = arena_alloc(&r->scratch, sizeof *place);
        if (!place) {
            r->is_out_of_memory = true;
            return;
        }
        place->field = field;
        if (!map_put(r->places, key_of(&place->field), place))
            r->is_out_of_memory = true;
    }
    place->mark = mark;
}

bool reading_has(const struct reading *r, const void *field)
{
    return map_get(r->places, key_of(&field)) != NULL;
}

struct config_mark reading_mark(const struct reading *r, const void *field)
{
    const struct place *place = map_get(r->places, key_of(&field));
    return place ? place->mark : (struct config_mark){ 0 };
}
