#include <criterion/criterion.h>
#include <pthread.h>

#include "base/tally.h"

#define THREADS (TALLY_LINES + 8)
#define ROUNDS  2000

static struct {
    _Atomic uint64_t count;
    char apart[TALLY_APART - sizeof(uint64_t)];
} lines[TALLY_LINES];
static _Atomic unsigned users[TALLY_LINES];
static pthread_barrier_t all_there;

static void *add_rounds(void *arg)
{
    (void)arg;
    unsigned line = tally_line();
    atomic_fetch_add(&users[line], 1);
    pthread_barrier_wait(&all_there);
    for (unsigned i = 0; i < ROUNDS; i++)
        tally_add(&lines[tally_line()].count, tally_line(), 3);
    return NULL;
}

Test(tally, loses_nothing_with_more_threads_than_lines)
{
    pthread_t threads[THREADS];
    uint64_t sum = 0;
    pthread_barrier_init(&all_there, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, add_rounds, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < TALLY_LINES; i++)
        sum += lines[i].count;
    cr_expect_eq(sum, UINT64_C(3) * THREADS * ROUNDS);
    for (unsigned i = 0; i < TALLY_LINES - 1; i++)
        cr_expect_eq(users[i], 1, "line %u is one thread's", i);
    cr_expect_eq(users[TALLY_LINES - 1], THREADS - (TALLY_LINES - 1), "the others share the last");
    pthread_barrier_destroy(&all_there);
}

Test(tally, gives_a_thread_the_same_line_each_time)
{
    unsigned line = tally_line();
    cr_expect_eq(tally_line(), line);
    cr_expect_lt(line, TALLY_LINES);
}
