/* What was purged when, as far as it must be known to judge a value of the second tier: such a value says how
 * far the weir that put it there had applied the journal when its fetch began (its stamp), and is good only
 * if nothing that covers it was purged after that.
 *
 * Not a list: tables of fixed size hold the newest number by hash of URL, tag and tenant. Two that meet in a
 * slot cost a miss, never a wrong answer, and a purge costs the same whatever was purged before. The hashes
 * are this process' own (base/hash.h): no number of them leaves it, only purges and stamps do.
 *
 * One writer, the bus' thread; any thread reads, without locks. About 1.1 MB. */
#ifndef FLEET_JOURNAL_H
#define FLEET_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct bus_purge;
struct journal;

/* A stamp: 24 bits that tell epochs apart, then 40 bits of number. */
#define JOURNAL_SEQ_MAX ((1ull << 40) - 1)

struct journal *journal_new(void); /* NULL when out of memory */
void journal_free(struct journal *journal);

/* --- any thread --- */

/* What a value is stored with: taken before its fetch begins. 0: not known yet, do not store it. */
uint64_t journal_stamp(const struct journal *journal);

/* Is a value with that stamp still good? tags: each ended by NUL. A stamp of another epoch, of before what is
 * known, and 0 never are. A stamp ahead of us is: whoever made it had applied what we have not yet. */
bool journal_covers(const struct journal *journal, uint64_t stamp, struct str primary, struct str tags);

/* --- the writer --- */

/* Forgets everything; nothing is covered until journal_ready(). */
void journal_begin(struct journal *journal, uint64_t epoch);
/* Entry seq purges this. Before the cache is purged, and before journal_reach(seq). */
void journal_note(struct journal *journal, uint64_t seq, const struct bus_purge *purge);
/* Something up to seq may be missing from the tables: values from before it are good no more. */
void journal_lose(struct journal *journal, uint64_t seq);
/* All up to seq was applied: fetches that begin now may say so. */
void journal_reach(struct journal *journal, uint64_t seq);
/* The tables hold all that the epoch's journal held. */
void journal_ready(struct journal *journal);

#endif
