/* Requests that no client waits for: a stale answer's revalidation, a hot one's refresh before it is stale,
 * the leak sentinel's question.
 *
 * An errand walks the same corridor as the request it was made after, with that one's head, identity and
 * rules, and its answer goes nowhere. What it fetches is everybody's. They are few: each lane has a limit,
 * and who finds it reached makes none. Owner and thread: the lane's. */
#ifndef PIPELINE_ERRAND_H
#define PIPELINE_ERRAND_H

#include "pipeline/request.h"

#define ERRANDS_MAX         64 /* of one lane at a time */
#define ERRANDS_REFRESH_MAX 16 /* ... above which nothing is refreshed that is still fresh */

/* Asks the app again for what `stored` answers, as the flight's leader, whose flight is taken over either way
 * (abandoned when there is no room for an errand). */
void errand_revalidate(struct request *asker, enum errand kind, struct object *stored, struct flight *flight);

/* What the app answered an errand of the sentinel's. */
struct errand_answer {
    int status;      /* 0: none came whole, or it was over ERRAND_BYTES_MAX */
    uint64_t digest; /* of its body */
    const struct server *server;
};

#define ERRAND_BYTES_MAX (1 << 20)

/* For the sentinel: asks as `head` does (the asker's own, or another's), past the cache, if server is not
 * NULL that one. told is called once, on this thread. False: no room. */
typedef void errand_told_fn(void *arg, const struct errand_answer *answer);
bool errand_check(struct request *asker, struct str head, bool is_trusted, const struct server *server,
                  errand_told_fn *told, void *arg);

/* Is there room for one more? */
bool errand_may(const struct lane *lane, enum errand kind);

/* It is recorded. */
void errand_ended(struct request *req);

#endif
