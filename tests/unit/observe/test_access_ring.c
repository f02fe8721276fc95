#include "observe/access_ring.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "observe/access_log.h"
#include "seed.h"

static struct access_ring *ring;
static int wake_fd;

static void start(void)
{
    wake_fd = eventfd(0, EFD_NONBLOCK);
    ring = aligned_alloc(64, sizeof *ring);
    access_ring_init(ring, wake_fd);
}

static void stop(void)
{
    free(ring);
    close(wake_fd);
}

TestSuite(access_ring, .init = start, .fini = stop);

static bool put(char fill, uint32_t size, uint32_t used)
{
    char *line = access_ring_reserve(ring, size);
    if (!line)
        return false;
    memset(line, fill, used);
    line[used - 1] = '\n';
    access_ring_commit(ring, used);
    return true;
}

Test(access_ring, lines_come_out_as_they_went_in)
{
    cr_expect_eq(access_ring_peek(ring).len, 0);
    cr_assert(put('a', 100, 3));
    cr_assert(put('b', 100, 2));
    struct str run = access_ring_peek(ring);
    cr_expect(str_eq(run, STR("aa\nb\n")));
    access_ring_take(ring, 3);
    cr_expect(str_eq(access_ring_peek(ring), STR("b\n")));
    access_ring_take(ring, 2);
    cr_expect_eq(access_ring_peek(ring).len, 0);
}

Test(access_ring, a_line_of_nothing_is_no_line)
{
    cr_assert_not_null(access_ring_reserve(ring, 100));
    access_ring_commit(ring, 0);
    cr_expect_eq(access_ring_peek(ring).len, 0);
}

Test(access_ring, when_it_is_full_lines_are_counted_and_none_is_overwritten)
{
    unsigned lines = 0;
    while (put((char)('a' + lines % 26), 1000, 1000))
        lines++;
    cr_expect_eq(lines, ACCESS_RING_BYTES / 1000);
    cr_expect_eq(ring->dropped, 1);
    for (unsigned i = 0; i < lines; i++) {
        struct str run = access_ring_peek(ring);
        cr_assert_geq(run.len, 1000);
        cr_assert_eq(run.data[0], 'a' + (char)(i % 26));
        cr_assert_eq(run.data[999], '\n');
        access_ring_take(ring, 1000);
    }
    cr_expect_eq(access_ring_peek(ring).len, 0);
    cr_expect(put('z', 1000, 1000));
}

Test(access_ring, the_writer_is_woken_once_when_it_is_half_full)
{
    uint64_t count;
    for (unsigned i = 0; i < ACCESS_RING_BYTES / 2 / 1024 - 1; i++)
        cr_assert(put('x', 1024, 1024));
    cr_expect_eq(read(wake_fd, &count, sizeof count), -1);
    for (int i = 0; i < 10; i++)
        cr_assert(put('x', 1024, 1024));
    cr_expect_eq(read(wake_fd, &count, sizeof count), (ssize_t)sizeof count);
    cr_expect_eq(count, 1);
}

/* Against a plain queue of numbered lines. */
Test(access_ring, random_lines_are_whole_and_in_order)
{
    uint64_t seed = 21;
    unsigned next_in = 0, next_out = 0;
    while (next_in < 60000) {
        for (unsigned i = random_below(&seed, 600); i > 0; i--) {
            uint32_t size = 16 + random_below(&seed, 3000);
            uint32_t used = 16 + random_below(&seed, size - 15);
            char *line = access_ring_reserve(ring, size);
            if (!line)
                break;
            memset(line, '.', used);
            line[snprintf(line, 12, "%u", next_in++)] = ' ';
            line[used - 1] = '\n';
            access_ring_commit(ring, used);
        }
        for (unsigned i = random_below(&seed, 4); i > 0; i--) {
            struct str run = access_ring_peek(ring), line;
            if (run.len == 0)
                break;
            cr_assert_eq(run.data[run.len - 1], '\n');
            uint32_t taken = 0;
            while (taken < run.len && (taken == 0 || random_below(&seed, 100) > 0)) {
                struct str rest = str_from(run, taken);
                line = str_n(rest.data, (size_t)str_find(rest, '\n') + 1);
                cr_assert_eq((unsigned)strtoul(line.data, NULL, 10), next_out);
                next_out++;
                taken += (uint32_t)line.len;
            }
            access_ring_take(ring, taken);
        }
    }
    cr_expect_gt(next_out, 1000);
}
