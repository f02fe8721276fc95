/* A hash map from byte strings to pointers: open addressing, keyed hash (see hash.h), so that a
 * client's bytes cannot pick their bucket. Keys are borrowed: they must live as long as their entry
 * (usually inside the value). One thread, or the caller's lock. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

struct map;

struct map *map_new(void);
void map_free(struct map *map); /* values are the caller's */

void *map_get(const struct map *map, struct str key); /* NULL if absent */

/* Sets or replaces. False when out of memory; then nothing changed. value must not be NULL. */
bool map_put(struct map *map, struct str key, void *value);

/* Returns what was there, or NULL. */
void *map_remove(struct map *map, struct str key);

size_t map_count(const struct map *map);

/* Calls fn for every entry, in no order. fn must not change the map. */
void map_each(const struct map *map, void (*fn)(struct str key, void *value, void *arg), void *arg);

#endif
