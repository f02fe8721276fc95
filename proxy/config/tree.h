/* A YAML file as a tree of mappings, lists and scalars, each with its line and column, before anybody
 * asks what it means. The only user of libyaml.
 *
 * It takes the YAML that a config needs: one document of at most 1 MiB, UTF-8, 32 levels deep, plain
 * keys, each once. Anchors, aliases and tags are refused, so nothing expands. ${NAME} and
 * ${NAME:-default} in values are replaced by environment variables here.
 *
 * Everything lives in the caller's arena. One thread (the environment is read). */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"
#include "config/config.h"

#define TREE_TEXT_MAX  (1024 * 1024)
#define TREE_DEPTH_MAX 32
#define TREE_NODES_MAX 50000

enum node_kind {
    NODE_SCALAR,
    NODE_LIST,
    NODE_MAP
};

struct node {
    enum node_kind kind;
    struct config_mark mark;
    bool is_quoted; /* scalar: "5" is text, 5 is a number */
    bool is_bad;    /* a mistake was reported for it already */
    struct str text;
    struct str name; /* in a mapping: its key */
    struct config_mark name_mark;
    struct node *child; /* the first of a list or mapping */
    struct node *next;  /* its neighbour */
    unsigned count;     /* children */
};

/* Returns NULL when the text is no such YAML, with a mistake, or when out of memory, without. Mistakes
 * that leave a tree to look at (a key twice, an unknown variable) are added, and the tree is returned. */
struct node *tree_parse(struct str text, struct arena *arena, struct config_mistakes *mistakes);

/* The value of a key, or NULL. */
const struct node *node_find(const struct node *map, struct str name);

/* Plain and empty, "~" or "null". */
bool node_is_null(const struct node *node);

/* "a list is wrong here", "it is empty" ...: for messages. */
const char *node_complaint(const struct node *node);

#endif
