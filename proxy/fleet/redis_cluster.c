/* A Redis Cluster, learned from its redirections: MOVED says for good who has a slot, ASK for this once. */
#include "fleet/redis_inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

/* CRC16 (XMODEM), which the Cluster specification names for its slots. */
static uint16_t crc16(struct str bytes)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        crc = (uint16_t)(crc ^ (unsigned)(unsigned char)bytes.data[i] << 8);
        for (unsigned bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    return crc;
}

uint16_t redis_slot(int argc, const char **argv, const size_t *lens)
{
    int at = argc > 3 && (strcmp(argv[0], "EVAL") == 0 || strcmp(argv[0], "EVALSHA") == 0) ? 3 : 1;
    if (argc <= at)
        return REDIS_NO_SLOT;
    struct str key = lens ? str_n(argv[at], lens[at]) : str_of(argv[at]);
    ptrdiff_t open = str_find(key, '{');
    if (open >= 0) {
        struct str inside = str_from(key, (size_t)open + 1);
        ptrdiff_t close = str_find(inside, '}');
        if (close > 0)
            key = str_n(inside.data, (size_t)close);
    }
    return crc16(key) % REDIS_SLOTS;
}

struct redis_link *redis_link_for(struct redis *redis, uint16_t slot)
{
    if (!redis->slots || slot == REDIS_NO_SLOT || redis->slots[slot] == 0)
        return redis->main;
    return redis->nodes[redis->slots[slot] - 1];
}

void redis_forget_node(struct redis_link *link)
{
    struct redis *redis = link->redis;
    for (unsigned i = 0; i < REDIS_NODES_MAX; i++) {
        if (redis->nodes[i] != link)
            continue;
        redis->nodes[i] = NULL;
        for (unsigned slot = 0; redis->slots && slot < REDIS_SLOTS; slot++) {
            if (redis->slots[slot] == i + 1)
                redis->slots[slot] = 0;
        }
    }
}

/* "127.0.0.1:6381", "::1:6381", or ":6381" for the host that said so. */
static bool read_place(struct str text, const struct addr *from, struct addr *out)
{
    size_t colon = text.len;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon == 0 || text.len > 100)
        return false;
    struct str host = str_n(text.data, colon - 1);
    struct str port = str_from(text, colon);
    if (host.len == 0)
        host = str_of(from->host);
    bool is_v6 = str_find(host, ':') >= 0;
    char full[256];
    int len = snprintf(full, sizeof full, "%s%.*s%s:%.*s", is_v6 ? "[" : "", STR_FMT(host), is_v6 ? "]" : "",
                       STR_FMT(port));
    return len > 0 && addr_parse(str_n(full, (size_t)len), out) && out->kind != ADDR_UNIX && out->port != 0;
}

static bool read_redirection(struct str text, const struct addr *from, uint16_t *slot, struct addr *out)
{
    struct str word;
    uint64_t number;
    str_split(&text, ' ', &word);
    if (!str_split(&text, ' ', &word) || !str_to_u64(word, &number) || number >= REDIS_SLOTS)
        return false;
    *slot = (uint16_t)number;
    return str_split(&text, ' ', &word) && read_place(word, from, out);
}

/* The place in nodes[] of the one with that address, connecting to it if it is new; -1: there are too many,
 * or no memory. */
static int node_at(struct redis *redis, const struct addr *addr)
{
    int spare = -1;
    for (int i = 0; i < REDIS_NODES_MAX; i++) {
        if (!redis->nodes[i])
            spare = spare < 0 ? i : spare;
        else if (strcmp(redis->nodes[i]->addr.text, addr->text) == 0)
            return i;
    }
    if (spare < 0)
        return -1;
    struct endpoint *endpoint = endpoint_new(addr);
    if (endpoint)
        redis->nodes[spare] = redis_link_new(redis, LINK_NODE, addr, endpoint);
    endpoint_unref(endpoint);
    return redis->nodes[spare] ? spare : -1;
}

bool redis_redirect(struct redis_link *link, struct ask *ask, const struct redis_reply *reply)
{
    struct redis *redis = link->redis;
    bool is_once = redis_is_error(reply, "ASK");
    struct addr addr;
    uint16_t slot;

    if ((!is_once && !redis_is_error(reply, "MOVED")) || !ask->fn || ask->redirects >= REDIS_REDIRECTS)
        return false;
    if (!read_redirection(reply->str, &link->addr, &slot, &addr))
        return false;
    if (!redis->slots && !(redis->slots = calloc(REDIS_SLOTS, 1)))
        return false;
    int node = node_at(redis, &addr);
    if (node < 0)
        return false;
    if (is_once) {
        struct ask *asking = redis_ask_new(redis, ASK_QUIET, 1, (const char *[]){ "ASKING" }, NULL);
        if (!asking)
            return false;
        redis_link_push(redis->nodes[node], asking);
    } else {
        redis->slots[slot] = (uint8_t)(node + 1);
    }
    ask->redirects++;
    redis_link_push(redis->nodes[node], ask);
    return true;
}
