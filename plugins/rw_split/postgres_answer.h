/* The probe's question, and what an answer to it means. Pure: no socket, no clock. The probe's thread.
 *
 * A position is one of a timeline, and a failover starts a new one. What a replica has REPLAYED counts: while
 * it already receives the new timeline, but its replay is still before the place where that began, it is on
 * the old one, or a token from there would be believed to be covered. That place is not told to an ordinary
 * role. So the first position seen on a primary of the new timeline stands for it, which is a little later: a
 * replica that receives that timeline and has replayed this far is on it. */
#ifndef RW_SPLIT_POSTGRES_ANSWER_H
#define RW_SPLIT_POSTGRES_ANSWER_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

extern const char postgres_question[];

struct postgres_answer {
    bool is_primary;
    bool has_position; /* a replica that has replayed nothing yet has none */
    uint64_t position;
    uint32_t
        timeline; /* a primary's own; of a replica: what it receives, 0 if it does not or does not tell */
    uint32_t checkpoint; /* the timeline of its last checkpoint or restart point */
    int64_t lag_ms;      /* by its own account; -1: not known */
};

/* False: this is no answer to postgres_question. */
bool postgres_answer_read(const PGresult *result, struct postgres_answer *out);

#define TIMELINES_MAX 16

/* Where timelines were first seen on a primary; the newest few. Zeroed at first. */
struct timelines {
    struct {
        uint32_t timeline;
        uint64_t first;
    } seen[TIMELINES_MAX];
    unsigned count;
};

/* A primary's answer. */
void timelines_learn(struct timelines *timelines, const struct postgres_answer *answer);

/* The timeline that an answer's position counts as; known: what it last was on this connection, 0 at first.
 */
uint32_t timelines_of(const struct timelines *timelines, const struct postgres_answer *answer,
                      uint32_t known);

#endif
