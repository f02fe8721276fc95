#include "budget.h"

void budget_init(struct budget *budget, double share)
{
    *budget = (struct budget){ .share = share };
    pthread_mutex_init(&budget->lock, NULL);
}

void budget_fini(struct budget *budget)
{
    pthread_mutex_destroy(&budget->lock);
}

/* Returns the time that counts. A thread that looked at its clock and was late here must not take everybody
 * back to a second that is over: all that was counted would be forgotten, and the floor be had once more. */
static int64_t turn_to(struct budget *budget, int64_t now_ms)
{
    int64_t second = now_ms / 1000;

    if (second < budget->second)
        return budget->second * 1000;
    if (second > budget->second) {
        budget->before = second == budget->second + 1 ? budget->now : (struct budget_second){ 0 };
        budget->now = (struct budget_second){ 0 };
        budget->second = second;
    }
    return now_ms;
}

/* The last second: what counts now, and the end of the one before. */
static double recent(int64_t now, int64_t before, int64_t now_ms)
{
    return (double)now + (double)before * (double)(1000 - now_ms % 1000) / 1000;
}

void budget_count(struct budget *budget, int64_t now_ms)
{
    pthread_mutex_lock(&budget->lock);
    turn_to(budget, now_ms);
    budget->now.all++;
    pthread_mutex_unlock(&budget->lock);
}

bool budget_take(struct budget *budget, int64_t now_ms)
{
    bool may;
    double all, fallbacks;

    pthread_mutex_lock(&budget->lock);
    now_ms = turn_to(budget, now_ms);
    all = recent(budget->now.all, budget->before.all, now_ms) + 1;
    fallbacks = recent(budget->now.fallbacks, budget->before.fallbacks, now_ms) + 1;
    may = fallbacks <= BUDGET_FLOOR_PER_S || fallbacks <= budget->share * all;
    if (may) {
        budget->now.all++;
        budget->now.fallbacks++;
    }
    pthread_mutex_unlock(&budget->lock);
    return may;
}
