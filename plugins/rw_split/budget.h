/* How many reads may fall back to the primary: a share of all it is sent, over the last second or so, and a
 * few always, so that a quiet service refuses nobody. Keeps lagging replicas from becoming a primary that is
 * down. Pure: time is a parameter. Any thread, behind one short lock. */
#ifndef RW_SPLIT_BUDGET_H
#define RW_SPLIT_BUDGET_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define BUDGET_FLOOR_PER_S 10

struct budget_second {
    int64_t all;
    int64_t fallbacks;
};

struct budget {
    pthread_mutex_t lock;
    double share;
    int64_t second; /* number of the second that now counts */
    struct budget_second now, before;
};

void budget_init(struct budget *budget, double share);
void budget_fini(struct budget *budget);

/* The primary is sent something that it has to take: a write. */
void budget_count(struct budget *budget, int64_t now_ms);
/* May a read go there? Counts it if so. */
bool budget_take(struct budget *budget, int64_t now_ms);

#endif
