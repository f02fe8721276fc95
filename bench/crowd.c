#include "crowd.h"

#include "asking.h"
#include "bare.h"

enum {
    ASKING_MAX = 64, /* connections that ask at the same time while they are opened */
    EVENTS_EACH_TURN = 512,
};

static const int64_t BURST_MAX_NS = 30000000000;

static void open_all(void)
{
    int64_t end = now_ns() + (int64_t)(want.seconds * 1e9);
    long open = 0;

    for (long i = 0; i < want.connections && !load.is_over && load.now < end; i++) {
        ask(&load.connections[i]);
        while (load.asking >= ASKING_MAX && load.now < end)
            turn(100);
    }
    while (load.asking && load.now < end)
        turn(100);
    for (long i = 0; i < want.connections; i++)
        open += load.connections[i].fd >= 0;
    printf("{\"open\": %ld, \"errors\": %lu, \"first_error\": \"%s\"}\n", open, load.errors,
           load.first_error ? load.first_error : "");
    fflush(stdout);
}

static int by_size(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

/* Exactly, not by the histogram: most of such a wait may be the app's, and is taken off by whoever reads
 * this. */
static void print_waits(void)
{
    static const struct {
        const char *name;
        long per_mille;
    } points[] = { { "p50", 500 }, { "p90", 900 }, { "p99", 990 }, { "max", 1000 } };
    int64_t *waits = must_alloc((size_t)want.connections * sizeof *waits);

    for (long i = 0; i < want.connections; i++)
        waits[i] = load.connections[i].took_ns;
    qsort(waits, (size_t)want.connections, sizeof *waits, by_size);
    printf("\"took_ms\": {");
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        printf("%s\"%s\": %.3f", i ? ", " : "", points[i].name,
               (double)waits[(want.connections * points[i].per_mille + 999) / 1000 - 1] / 1e6);
    printf("}}\n");
    free(waits);
}

/* All asked_ns are the same, the burst's beginning: nobody waits for less because its request went out late.
 */
static void burst(void)
{
    unsigned long before = load.took_ns.count;
    int64_t start, sent;

    start = load.now = now_ns();
    for (long i = 0; i < want.connections && !load.is_over; i++)
        if (!load.connections[i].is_asking)
            ask(&load.connections[i]);
    sent = now_ns();
    while (load.asking && !load.is_over && load.now < start + BURST_MAX_NS)
        turn(100);
    printf("{\"requests\": %lu, \"errors\": %lu, \"first_error\": \"%s\", \"unanswered\": %ld, ",
           load.took_ns.count - before, load.errors, load.first_error ? load.first_error : "", load.asking);
    printf("\"start_ns\": %lld, \"sent_ns\": %lld, ", (long long)start, (long long)sent);
    print_waits();
    fflush(stdout);
}

/* One read is one line, or the end: whoever tells us waits for the answer before the next. */
static bool told(char *line, size_t size)
{
    ssize_t got = read(STDIN_FILENO, line, size - 1);

    if (got <= 0)
        return false;
    line[got] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    return true;
}

static void count_closed(void)
{
    load.closed_idle = 0;
    for (int i = 0; i < want.connections / EVENTS_EACH_TURN + 2; i++)
        turn(0);
    printf("{\"closed_idle\": %lu}\n", load.closed_idle);
}

void crowd_hold(void)
{
    char line[1024];

    open_all();
    while (told(line, sizeof line)) {
        want.target = line;
        request_make();
        burst();
    }
    count_closed();
}
