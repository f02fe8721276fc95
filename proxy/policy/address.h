/* What one client address takes: its open connections, counted against a cap, and the rate of its
 * requests. Shared by all workers: a mutex per shard, held for a look-up. Keyed by addr_client_key() with a
 * keyed hash. Bounded: all memory is reserved at the start (and touched when first used); addresses without
 * connections make room, first those whose bucket is full again, for which nothing is lost. */
#ifndef POLICY_ADDRESS_H
#define POLICY_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/bucket.h"

#define ADDRESS_KEY_BYTES 16

struct address_table;

/* entries_max: at least the connections that may be open at once, so that each finds a place. */
struct address_table *address_table_new(unsigned entries_max);
void address_table_free(struct address_table *table); /* NULL is fine */

/* Counts one more connection. False, and nothing counted, when the address has max of them already or the
 * table is full of addresses that have connections. */
bool address_enter(struct address_table *table, const uint8_t key[ADDRESS_KEY_BYTES], int64_t max);
/* Once for each address_enter() that was true. */
void address_leave(struct address_table *table, const uint8_t key[ADDRESS_KEY_BYTES]);

/* Takes one token of the address's bucket. When the table is full of addresses that have connections, an
 * unknown one passes. */
struct bucket_answer address_take(struct address_table *table, const uint8_t key[ADDRESS_KEY_BYTES],
                                  double rate_per_s, double burst, int64_t now_ns);

unsigned address_connections(struct address_table *table, const uint8_t key[ADDRESS_KEY_BYTES]);
unsigned address_count(struct address_table *table); /* addresses known; for status */

#endif
