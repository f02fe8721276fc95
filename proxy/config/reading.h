/* One file being read: what the reader, the plugin keys and the cross checks share. Internal to the room;
 * lives for one config_read_*(). */
#ifndef CONFIG_READING_H
#define CONFIG_READING_H

#include "base/map.h"
#include "config/config.h"
#include "config/tree.h"

struct reading {
    struct config *config;
    struct config_mistakes *mistakes;
    struct arena scratch;  /* the tree, the places */
    struct map *places;    /* address of a field -> where the file says it; absent: a default */
    struct str folder;     /* of the config file; empty: the process's */
    bool is_out_of_memory; /* then nothing else counts */
};

/* Remembers where a field of the config came from. */
void reading_put_place(struct reading *r, const void *field, struct config_mark mark);

/* True if the file said it; a field's address stands for the field. */
bool reading_has(const struct reading *r, const void *field);

/* Where it said so; line 0 if it did not. */
struct config_mark reading_mark(const struct reading *r, const void *field);

/* Fills r->config by the table. reader.c */
void reading_read(struct reading *r, const struct node *root);

/* A plugin's entry: its name, and the rest as JSON text. plugin_keys.c */
void reading_read_plugin(struct reading *r, const struct node *node, struct config_plugin *out);

/* What defaults depend on other keys. settle.c */
void reading_settle(struct reading *r);

/* What no single key can tell. checks.c */
void reading_check(struct reading *r);

#endif
