#include "bus_nodes.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

struct loop *loop;
struct server server;
struct node nodes[NODES_MAX];
unsigned node_count;
unsigned origin[PAGES];
unsigned promised[PAGES];
unsigned hits;
const char *nodes_url;

int64_t test_now_ns(void)
{
    return clock_mono_ns();
}

/* --- a weir --- */

static struct str page_key(unsigned page, char out[32])
{
    int len = snprintf(out, 32, "acme%chttps%ca%c/%u", 0, 0, 0, page);
    return str_n(out, (size_t)len);
}

static unsigned page_of(struct str key)
{
    char text[64];
    size_t len = str_copy(key, text, sizeof text);
    while (len > 0 && text[len - 1] != '/')
        len--;
    return (unsigned)strtoul(text + len, NULL, 10);
}

static void drop(struct page *page)
{
    page->version = 0;
    page->purges++;
}

static void on_apply(void *arg, const struct bus_purge *purge)
{
    struct node *node = arg;
    node->calls++;
    if (purge->seq != 0) {
        struct bus_state state = state_of(node);
        bool is_new_epoch = state.epoch != node->last_epoch;
        cr_assert(is_new_epoch || purge->seq > node->last_seq, "out of order");
        node->last_epoch = state.epoch;
        node->last_seq = purge->seq;
        node->applied++;
    }
    node->last = *purge;
    str_copy(purge->what, node->last_what, sizeof node->last_what);
    if (purge->kind == BUS_URL) {
        drop(&node->pages[page_of(purge->what) % PAGES]);
    } else {
        for (unsigned i = 0; i < PAGES; i++)
            drop(&node->pages[i]);
    }
}

static void on_invalidate(void *arg, struct str primary)
{
    struct node *node = arg;
    node->invalidated++;
    drop(&node->pages[page_of(primary) % PAGES]);
}

static const struct bus_events events = { .apply = on_apply, .invalidate = on_invalidate };

struct node *node_open(bool has_own_loop, const struct bus_options *given)
{
    struct bus_options options = given ? *given : (struct bus_options){ 0 };
    struct redis_url url = nodes_url ? url_of(nodes_url) : server_url(&server);
    cr_assert_lt(node_count, NODES_MAX);
    struct node *node = &nodes[node_count++];
    *node = (struct node){ .loop = has_own_loop ? loop_new() : loop };
    options.url = &url;
    if (options.lease_ms == 0)
        options.lease_ms = LEASE_MS;
    if (options.patience_ms == 0)
        options.patience_ms = 3 * LEASE_MS;
    node->bus = bus_new(node->loop, &options, &events, node);
    cr_assert_not_null(node->bus);
    return node;
}

void node_close(struct node *node)
{
    bus_free(node->bus);
    node->bus = NULL;
    if (node->loop != loop) {
        loop_turn(node->loop, 0);
        loop_free(node->loop);
        node->loop = NULL;
    }
}

struct bus_state state_of(const struct node *node)
{
    struct bus_state state;
    bus_state_read(node->bus, &state);
    return state;
}

bool is_connected(const struct node *node)
{
    return state_of(node).connected;
}

/* --- its cache --- */

static void fetch(struct node *node, unsigned page)
{
    for (unsigned i = 0; i < FETCHES; i++) {
        if (node->fetching[i].turns_left > 0)
            continue;
        node->fetching[i] = (struct fetching){ .page = page,
                                               .version = origin[page],
                                               .began_ms = loop_wall_ms(node->loop),
                                               .purges = node->pages[page].purges,
                                               .turns_left = 1 + (unsigned)rand() % 5 };
        return;
    }
}

static void arrive(struct node *node)
{
    for (unsigned i = 0; i < FETCHES; i++) {
        struct fetching *at = &node->fetching[i];
        if (at->turns_left == 0 || --at->turns_left > 0)
            continue;
        struct page *page = &node->pages[at->page];
        if (page->purges != at->purges)
            continue; /* purged since: it does not come in */
        page->version = at->version;
        page->fetched_ms = at->began_ms;
    }
}

static bool is_usable(const struct node *node, const struct page *page)
{
    return page->version != 0 && bus_trust(node->bus) &&
           page->fetched_ms >= bus_distrusted_before_ms(node->bus);
}

void node_read(struct node *node, unsigned number)
{
    struct page *page = &node->pages[number];
    if (!is_usable(node, page)) {
        fetch(node, number);
        return;
    }
    hits++;
    cr_assert(!is_connected(node) || page->version >= promised[number], "page %u: %u, promised %u (hit %u)",
              number, page->version, promised[number], hits);
}

/* --- purging --- */

static void on_done(void *arg, enum bus_end end, unsigned count)
{
    struct outcome *outcome = arg;
    outcome->calls++;
    outcome->end = end;
    outcome->nodes = count;
    if (end == BUS_DONE && promised[outcome->page] < outcome->version)
        promised[outcome->page] = outcome->version;
    for (unsigned i = 0; i < node_count && end == BUS_DONE; i++) {
        if (nodes[i].bus)
            node_read(&nodes[i], outcome->page);
    }
}

void node_purge(struct node *node, unsigned page, struct outcome *outcome)
{
    char key[32];
    struct bus_purge purge = { .kind = BUS_URL, .tenant = STR("acme"), .what = page_key(page, key) };
    *outcome = (struct outcome){ .page = page, .version = ++origin[page] };
    cr_assert(bus_purge(node->bus, &purge, on_done, outcome));
    cr_assert_eq(outcome->calls, 0, "never from within bus_purge()");
}

/* --- turning --- */

void turn(void)
{
    loop_turn(loop, 1);
    for (unsigned i = 0; i < node_count; i++) {
        if (nodes[i].bus)
            arrive(&nodes[i]);
    }
}

void turn_until_connected(void)
{
    for (unsigned i = 0; i < node_count; i++) {
        if (nodes[i].bus && nodes[i].loop == loop)
            turn_while(!is_connected(&nodes[i]));
        else if (nodes[i].bus)
            turn_while((loop_turn(nodes[i].loop, 1), !is_connected(&nodes[i])));
    }
}

void turn_until_told(struct outcome *outcome)
{
    turn_while(outcome->calls == 0);
    cr_assert_eq(outcome->calls, 1);
}

void nodes_setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    srand(1);
    loop = loop_new();
    for (unsigned i = 0; i < PAGES; i++)
        origin[i] = 1;
    server_init(&server);
}

void nodes_teardown(void)
{
    for (unsigned i = 0; i < node_count; i++) {
        if (nodes[i].bus)
            node_close(&nodes[i]);
    }
    server_fini(&server);
    loop_turn(loop, 0);
    loop_free(loop);
}
