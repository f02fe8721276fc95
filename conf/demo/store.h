/* What the demo app keeps: two tenants and their items, in memory. Every change has a number, one higher than
 * the last, and can be written as a line of JSON; a replica that applies the same changes in the same order
 * has the same items. One thread. */
#ifndef DEMO_STORE_H
#define DEMO_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ITEMS_MAX        1000
#define NAME_SIZE        81
#define CHANGE_LINE_SIZE 768 /* a change as a line, at most: every letter of a name may become \uXXXX */

struct item {
    int64_t id;
    char name[NAME_SIZE];
    int64_t stock;
    int64_t seq;        /* of its last change */
    int64_t changed_ms; /* unix */
};

struct tenant {
    const char *name;
    struct item items[ITEMS_MAX]; /* by id */
    unsigned count;
    int64_t id_max; /* ids are not used twice */
    int64_t seq;    /* of its last change */
};

struct store;

enum change_kind {
    CHANGE_RESET,  /* everything goes: a snapshot follows */
    CHANGE_PUT,    /* an item, new or old */
    CHANGE_DELETE, /* an item */
    CHANGE_READY,  /* the snapshot is complete */
};

struct change {
    enum change_kind kind;
    int64_t seq;
    int64_t at_ms; /* unix */
    char tenant[16];
    struct item item;
};

struct store *store_new(void);
void store_free(struct store *store);
/* The items that everyone finds at the start. */
void store_seed(struct store *store, int64_t now_ms);

/* The number of the last change. */
int64_t store_seq(const struct store *store);
/* NULL: no such tenant. */
const struct tenant *store_tenant(const struct store *store, const char *name);
/* NULL: no such item. */
const struct item *tenant_item(const struct tenant *tenant, int64_t id);

/* False: there is no room for another item. */
bool store_apply(struct store *store, const struct change *change);

/* Calls visit with the changes that lead from nothing to what the store has now. */
void store_snapshot(const struct store *store, void (*visit)(const struct change *change, void *arg),
                    void *arg);

/* One line with its line end. Returns its length. */
size_t change_write(const struct change *change, char out[CHANGE_LINE_SIZE]);
bool change_read(struct change *change, const char *line);

#endif
