/* Several weirs in one process, as the bus sees them: each has a bus, a cache of numbered pages, and fetches
 * that take a while. An origin holds each page's true version. What the bus promises is checked at every
 * read. */
#ifndef TEST_FLEET_BUS_NODES_H
#define TEST_FLEET_BUS_NODES_H

#include <criterion/criterion.h>

#include "fleet/bus.h"
#include "fleet/journal.h"
#include "servers.h"

#define PAGES     200
#define NODES_MAX 4
#define FETCHES   64
#define LEASE_MS  800

struct page {
    unsigned version; /* 0: not here */
    int64_t fetched_ms;
    uint64_t purges; /* of this page, so far */
};

struct fetching {
    unsigned page;
    unsigned version;
    int64_t began_ms;
    uint64_t purges;
    unsigned turns_left; /* 0: none */
};

struct node {
    struct bus *bus;
    struct loop *loop; /* its own, or the shared one */
    struct page pages[PAGES];
    struct fetching fetching[FETCHES];
    uint64_t applied; /* entries of the journal, in order */
    uint64_t last_seq;
    uint64_t last_epoch;
    unsigned calls;
    unsigned invalidated;
    struct bus_purge last; /* tenant and what are not kept */
    char last_what[64];
};

extern struct loop *loop; /* the shared one */
extern struct server server;
extern struct node nodes[NODES_MAX];
extern unsigned node_count;
extern unsigned origin[PAGES];   /* each page's version */
extern unsigned promised[PAGES]; /* the least that a connected weir may hand out */
extern unsigned hits;
extern const char *nodes_url; /* NULL: the server's port */

/* The server is initialised, not started. */
void nodes_setup(void);
void nodes_teardown(void);

/* On the shared loop; on NULL: one of its own, which turns only when asked to. options may be NULL. */
struct node *node_open(bool has_own_loop, const struct bus_options *options);
void node_close(struct node *node);

struct bus_state state_of(const struct node *node);
bool is_connected(const struct node *node);

/* Everything turns once: loops, fetches. */
void turn(void);
void turn_until_connected(void); /* all of them */

/* What a client of that weir gets. Fails the test where the bus broke its promise. */
void node_read(struct node *node, unsigned page);

struct outcome {
    unsigned calls;
    enum bus_end end;
    unsigned nodes;
    unsigned page;
    unsigned version;
};

/* The page changes at the origin and is purged at node. */
void node_purge(struct node *node, unsigned page, struct outcome *outcome);
void turn_until_told(struct outcome *outcome);

#define turn_while(condition)                                                       \
    do {                                                                            \
        int64_t turn_deadline_ns = test_now_ns() + (int64_t)WAIT_MS * 1000000;      \
        while (condition) {                                                         \
            turn();                                                                 \
            cr_assert_lt(test_now_ns(), turn_deadline_ns, "still: %s", #condition); \
        }                                                                           \
    } while (0)

int64_t test_now_ns(void);

#endif
