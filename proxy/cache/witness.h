/* The head of the request that an object was fetched with, kept to ask the app again in the same words.
 *
 * Many objects are fetched with heads of equal bytes (a crawler's, a monitor's): the last ones made are
 * remembered by hash and shared, within one tenant. Its bytes count against the budget, and its first user's
 * tenant pays. Shared by reference, immutable, any thread. */
#ifndef CACHE_WITNESS_H
#define CACHE_WITNESS_H

#include "base/str.h"
#include "cache/key.h"

struct cache;
struct witness;

/* A reference on a witness with those bytes, of the key's tenant. NULL when out of memory. */
struct witness *witness_new(struct cache *cache, const struct key *key, struct str head);
struct witness *witness_ref(struct witness *witness);
struct witness *witness_unref(struct witness *witness); /* NULL is fine; returns NULL */

struct str witness_head(const struct witness *witness); /* lives as long as the witness */

#endif
