/* Who led last, and the newest timeline that was found: for the instance after a reload, which asks the same
 * databases anew and would else believe whoever answers first.
 *
 * There is ONE table for the process; each instance holds its line in it for as long as it lives, and a line
 * goes with its last instance. A line is a set of databases: instances that have one in common share it,
 * as upstreams of one cluster do, and an instance and the one that a reload puts in its place. Timelines of
 * clusters that have none in common can't be compared. A database is known by where it is, as its DSN says:
 * not by its app, which may have several, and not by a password, which changes.
 * (A plugin file that was replaced before a reload is another library with a table of its own.)
 *
 * Any thread, behind one short lock. */
#ifndef RW_SPLIT_SUCCESSION_H
#define RW_SPLIT_SUCCESSION_H

#include <stdbool.h>
#include <stdint.h>

struct succession;

/* One instance's share, with these databases. NULL: out of memory. */
struct succession *succession_join(const char *const *databases, unsigned count);
void succession_leave(struct succession *line);

/* The newest timeline that anybody on this line was found on; 0: none. timeline: what the caller knows of.
 * Who led on a lower one leads no more. */
uint32_t succession_raise(struct succession *line, uint32_t timeline);
/* Who leads on that timeline; NULL: nobody does. Of no effect where a newer one is known. */
void succession_led(struct succession *line, uint32_t timeline, const char *database);
/* Does that database lead on the newest timeline? */
bool succession_leads(struct succession *line, const char *database);

#endif
