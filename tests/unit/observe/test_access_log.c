#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "observe/access_log.h"

static char folder[] = "/tmp/test-access-log-XXXXXX";
static char path[64], moved[64];

static void start(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/log", folder);
    snprintf(moved, sizeof moved, "%s/log.1", folder);
}

static void stop(void)
{
    unlink(path);
    unlink(moved);
    rmdir(folder);
}

TestSuite(access_log, .init = start, .fini = stop);

static bool put(struct access_log *log, unsigned ring, unsigned number)
{
    char *line = access_ring_reserve(access_log_ring(log, ring), 64);
    if (!line)
        return false;
    access_ring_commit(access_log_ring(log, ring),
                       (uint32_t)snprintf(line, 64, "ring %u line %u\n", ring, number));
    return true;
}

/* Reads lines of one file; each ring's have to be whole and in order, from the numbers in next. */
static unsigned check_lines(FILE *file, unsigned next[2])
{
    char line[128];
    unsigned ring, number, count = 0;
    char feed;
    while (fgets(line, sizeof line, file)) {
        cr_assert_eq(sscanf(line, "ring %u line %u%c", &ring, &number, &feed), 3, "%s", line);
        cr_assert_eq(feed, '\n');
        cr_assert(ring < 2 && number >= next[ring], "%s", line);
        next[ring] = number + 1;
        count++;
    }
    fclose(file);
    return count;
}

Test(access_log, what_was_committed_is_in_the_file_after_closing)
{
    struct access_log *log = access_log_open(path, 2);
    unsigned sent = 0, next[2] = { 0 };
    cr_assert_not_null(log);
    for (unsigned i = 0; i < 20000; i++)
        sent += put(log, i % 2, i);
    uint64_t dropped = access_log_dropped(log);
    access_log_close(log);
    access_log_close(NULL);
    cr_expect_eq(check_lines(fopen(path, "r"), next), sent);
    cr_expect_eq(sent + dropped, 20000);
}

Test(access_log, a_path_that_cannot_be_opened_says_why)
{
    cr_expect_null(access_log_open("/nowhere/at/all", 1));
    cr_expect_eq(errno, ENOENT);
}

Test(access_log, reopening_follows_a_file_that_was_moved_away)
{
    struct access_log *log = access_log_open(path, 2);
    unsigned sent = 0, next[2] = { 0 };
    for (unsigned i = 0; i < 1000; i++)
        sent += put(log, 0, i);
    cr_assert_eq(rename(path, moved), 0);
    access_log_reopen(log);
    while (access(path, F_OK) != 0)
        sched_yield();
    for (unsigned i = 1000; i < 2000; i++)
        sent += put(log, 0, i);
    access_log_close(log);
    unsigned before = check_lines(fopen(moved, "r"), next);
    unsigned after = check_lines(fopen(path, "r"), next);
    cr_expect_eq(before + after, sent);
    cr_expect_geq(after, 1000);
}

Test(access_log, a_full_disk_costs_lines_that_are_counted)
{
    struct access_log *log = access_log_open("/dev/full", 1);
    unsigned refused = 0;
    for (unsigned i = 0; i < 40000; i++)
        refused += !put(log, 0, i);
    cr_expect_gt(refused, 0);
    cr_expect_eq(access_log_dropped(log), refused);
    access_log_close(log);
}

Test(access_log, a_dead_pipe_costs_lines_and_no_signal)
{
    cr_assert_eq(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    struct access_log *log = access_log_open(path, 1);
    cr_assert_not_null(log);
    close(reader);
    for (unsigned i = 0; i < 1000; i++)
        cr_assert(put(log, 0, i));
    while (access_log_dropped(log) < 1000)
        sched_yield();
    access_log_close(log);
}

static void *read_all(void *arg)
{
    unsigned next[2] = { 0 };
    int fd = *(int *)arg;
    return (void *)(uintptr_t)check_lines(fdopen(fd, "r"), next);
}

Test(access_log, a_pipe_nobody_reads_gets_whole_lines_and_the_rest_is_counted)
{
    enum {
        LINES = 60000
    };
    cr_assert_eq(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    struct access_log *log = access_log_open(path, 2);
    unsigned sent = 0;
    for (unsigned i = 0; i < LINES; i++)
        sent += put(log, i % 2, i);
    cr_expect_lt(sent, LINES, "both rings are full");
    cr_expect_eq(access_log_dropped(log), LINES - sent);

    pthread_t thread;
    void *count;
    fcntl(reader, F_SETFL, 0);
    cr_assert_eq(pthread_create(&thread, NULL, read_all, &reader), 0);
    access_log_close(log);
    pthread_join(thread, &count);
    cr_expect_eq((uintptr_t)count, sent, "what waited is written once somebody reads");
}
