/* Workers that count and log while others read: nothing torn, nothing lost, counters that never go back. For
 * ThreadSanitizer; a plain program that ends by itself after about two seconds. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "observe/access_log.h"
#include "observe/series.h"

#define WORKERS 2
#define PART_NS (800 * NS_PER_MS)

static int64_t end_ns;
static struct labels *labels;
static struct tally *tallies[WORKERS];
static uint64_t counted[WORKERS];

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1du >> 32;
}

static void *count(void *arg)
{
    uintptr_t index = (uintptr_t)arg;
    uint64_t seed = index + 1;
    while (clock_mono_ns() < end_ns) {
        char name[16];
        int len = snprintf(name, sizeof name, "t%u", (unsigned)(random_next(&seed) % 40));
        unsigned tenant = labels_tenant(labels, str_n(name, (size_t)len), false, random_next(&seed) % 1000);
        for (int i = 0; i < 50; i++) {
            struct series *series =
                tally_series(tallies[index], tenant, 1, (unsigned)(random_next(&seed) % 6));
            int64_t took_ns = (int64_t)(random_next(&seed) << (random_next(&seed) % 10));
            series_request(series, (enum outcome)(random_next(&seed) % OUTCOME_COUNT),
                           200 + (int)(random_next(&seed) % 90), took_ns, took_ns / 8);
            series_stage(series, (enum stage_time)(random_next(&seed) % STAGE_COUNT), took_ns);
            if (i % 8 == 0)
                series_shed(series, ERR_TENANT_RATE);
            counted[index]++;
        }
    }
    return NULL;
}

/* The sum of a counter's lines, or of the one line that has no labels. */
static uint64_t sum_of(struct buf *out, const char *name)
{
    uint64_t sum = 0;
    for (const char *at = buf_str(out).data; (at = strstr(at, name)); at++) {
        const char *behind = at + strlen(name);
        if (at[-1] == '\n' && (*behind == '{' || *behind == ' '))
            sum += strtoull(strchr(*behind == '{' ? strchr(behind, '}') : behind, ' '), NULL, 10);
    }
    return sum;
}

static void read_once(uint64_t *requests, uint64_t *seconds)
{
    struct buf out = { 0 };
    struct latency_query query = { .stage = STR("*") };
    CHECK(series_prometheus(labels, tallies, WORKERS, &out));
    CHECK(buf_append(&out, "", 1));
    *requests = sum_of(&out, "weir_requests_total");
    *seconds = sum_of(&out, "weir_request_seconds_count");
    buf_consume(&out, buf_len(&out));
    CHECK(series_latency_json(labels, tallies, WORKERS, &query, &out));
    buf_fini(&out);
}

static void *read_all(void *arg)
{
    uint64_t last_seconds = 0, requests, seconds;
    while (clock_mono_ns() < end_ns) {
        read_once(&requests, &seconds);
        CHECK(seconds >= last_seconds);
        last_seconds = seconds;
    }
    return NULL;
}

static void stress_tallies(void)
{
    pthread_t threads[WORKERS], reader;
    uint64_t requests, seconds, sent = 0;
    labels = labels_new(16);
    labels_version(labels, STR("v1"));
    for (unsigned i = 0; i < 6; i++) {
        char name[8];
        labels_route(labels, str_n(name, (size_t)snprintf(name, sizeof name, "r%u", i)));
    }
    for (unsigned i = 0; i < WORKERS; i++)
        tallies[i] = tally_new(labels, 64);
    end_ns = clock_mono_ns() + PART_NS;
    CHECK(pthread_create(&reader, NULL, read_all, NULL) == 0);
    for (uintptr_t i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&threads[i], NULL, count, (void *)i) == 0);
    pthread_join(reader, NULL);
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        sent += counted[i];
    }
    read_once(&requests, &seconds);
    printf("tallies: %lu requests\n", (unsigned long)sent);
    CHECK(requests == sent);
    CHECK(seconds == sent);
    for (unsigned i = 0; i < WORKERS; i++)
        tally_free(tallies[i]);
    labels_free(labels);
}

/* --- access log --- */

static struct access_log *access_log;
static char path[] = "/tmp/stress-observe-XXXXXX";
static char moved[64];
static uint64_t written[WORKERS];

static void *write_lines(void *arg)
{
    uintptr_t index = (uintptr_t)arg;
    struct access_ring *ring = access_log_ring(access_log, (unsigned)index);
    uint64_t seed = index + 1;
    while (clock_mono_ns() < end_ns) {
        uint32_t size = 64 + (uint32_t)(random_next(&seed) % 300);
        char *data = access_ring_reserve(ring, size);
        if (!data)
            continue;
        struct json_line line;
        json_line_start(&line, data, size);
        json_line_u64(&line, "ring", index);
        json_line_u64(&line, "number", written[index]++);
        json_line_str(&line, "fill",
                      str_n("................................................................",
                            random_next(&seed) % 64));
        access_ring_commit(ring, json_line_finish(&line));
    }
    return NULL;
}

/* Whole lines, each ring's in order. */
static uint64_t check_file(const char *name, uint64_t next[WORKERS])
{
    FILE *file = fopen(name, "r");
    char line[512];
    uint64_t lines = 0;
    while (file && fgets(line, sizeof line, file)) {
        unsigned long ring, number;
        CHECK(sscanf(line, "{\"ring\":%lu,\"number\":%lu", &ring, &number) == 2);
        CHECK(strcmp(line + strlen(line) - 2, "}\n") == 0);
        CHECK(ring < WORKERS);
        CHECK(number == next[ring]);
        next[ring]++;
        lines++;
    }
    if (file)
        fclose(file);
    return lines;
}

static void stress_access_log(void)
{
    pthread_t threads[WORKERS];
    uint64_t next[WORKERS] = { 0 }, lines;
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    snprintf(moved, sizeof moved, "%s.1", path);
    access_log = access_log_open(path, WORKERS);
    CHECK(access_log != NULL);
    end_ns = clock_mono_ns() + PART_NS / 2;
    for (uintptr_t i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&threads[i], NULL, write_lines, (void *)i) == 0);
    usleep(100000);
    CHECK(rename(path, moved) == 0);
    access_log_reopen(access_log);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    uint64_t dropped = access_log_dropped(access_log);
    access_log_close(access_log);
    lines = check_file(moved, next);
    lines += check_file(path, next);
    printf("access log: %lu lines, %lu dropped\n", (unsigned long)lines, (unsigned long)dropped);
    CHECK(lines == written[0] + written[1]);
    unlink(path);
    unlink(moved);
}

int main(void)
{
    stress_tallies();
    stress_access_log();
    return 0;
}
