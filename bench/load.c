/* The client side: connections that are kept and always have one request under way.
 *
 * A closed loop: a connection asks again as soon as it was answered, so requests per second
 * are what the server can do and latencies are those of a full house. Every reply's status,
 * framing and size are checked, and with --keys that it belongs to the key that was asked for.
 * Prints one JSON line. One thread, one epoll, loopback only; ends by --seconds or --requests,
 * and at most DRAIN_MAX later when replies stay out.
 *
 * With --idle it opens its connections, asks once on each, says so, and holds them until its
 * standard input is closed. Each line it reads there meanwhile is a target that all of them ask
 * for at the same moment (crowd.c).
 */
#include "asking.h"
#include "bare.h"
#include "crowd.h"

#include <getopt.h>
#include <math.h>

enum {
    KEYS_MAX = 1000000
};
static const int64_t DRAIN_MAX = 5000000000;

static double own_cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print_result(double seconds, double cpu_seconds)
{
    unsigned long done = load.took_ns.count;

    printf("{\"requests\": %lu, \"seconds\": %.6f, \"rps\": %.1f, \"bytes\": %llu, ", done, seconds,
           (double)done / seconds, (unsigned long long)load.body_bytes);
    printf("\"errors\": %lu, \"first_error\": \"%s\", \"reconnects\": %lu, \"closed_idle\": %lu, ",
           load.errors, load.first_error ? load.first_error : "", load.reconnects, load.closed_idle);
    printf("\"cpu_seconds\": %.6f, \"latency_us\": {", cpu_seconds);
    printf("\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f}}\n",
           histogram_at(&load.took_ns, .5) / 1000, histogram_at(&load.took_ns, .9) / 1000,
           histogram_at(&load.took_ns, .99) / 1000, histogram_at(&load.took_ns, .999) / 1000,
           (double)load.took_ns.largest / 1000);
}

static void run(void)
{
    double cpu = own_cpu_seconds();
    int64_t start = load.now = now_ns();
    double seconds;

    load.end_ns = start + (int64_t)(want.seconds * 1e9);
    for (long i = 0; i < want.connections; i++)
        ask(&load.connections[i]);
    while (load.asking && load.now < load.end_ns && !load.is_over)
        turn(100);
    load.is_over = true;
    seconds = (double)(load.now - start) / 1e9;
    while (load.asking && load.now < load.end_ns + DRAIN_MAX)
        turn(100);
    if (load.asking) {
        load.errors += (unsigned long)load.asking;
        load.first_error = load.first_error ? load.first_error : "no reply";
    }
    print_result(seconds, own_cpu_seconds() - cpu);
}

static void field_add(const char *field)
{
    size_t have = strlen(want.fields);
    int length = snprintf(want.fields + have, sizeof want.fields - have, "%s\r\n", field);

    if ((size_t)length >= sizeof want.fields - have) {
        fprintf(stderr, "--header: too long\n");
        exit(2);
    }
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: load --port PORT [--target /path] [--host NAME] [--header 'Name: value']...\n"
                    "            [--connections N] [--seconds S] [--requests N]\n"
                    "            [--keys COUNT [--digits 5] [--skew S | --sequence]]     adds the key's "
                    "digits to the target\n"
                    "            [--expect-status CODE] [--expect-bytes N] [--discard] [--idle]\n");
    exit(2);
}

static void arguments(int argc, char **argv)
{
    static const struct option options[] = {
        { "port", required_argument, NULL, 'p' },
        { "target", required_argument, NULL, 't' },
        { "host", required_argument, NULL, 'h' },
        { "header", required_argument, NULL, 'f' },
        { "connections", required_argument, NULL, 'c' },
        { "seconds", required_argument, NULL, 's' },
        { "requests", required_argument, NULL, 'n' },
        { "keys", required_argument, NULL, 'k' },
        { "digits", required_argument, NULL, 'g' },
        { "skew", required_argument, NULL, 'z' },
        { "sequence", no_argument, NULL, 'q' },
        { "expect-status", required_argument, NULL, 'e' },
        { "expect-bytes", required_argument, NULL, 'b' },
        { "discard", no_argument, NULL, 'd' },
        { "idle", no_argument, NULL, 'i' },
        { 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            want.port = (int)must_number("--port", optarg, 1, 65535);
            break;
        case 't':
            want.target = optarg;
            break;
        case 'h':
            want.host = optarg;
            break;
        case 'f':
            field_add(optarg);
            break;
        case 'c':
            want.connections = must_number("--connections", optarg, 1, 100000);
            break;
        case 's':
            want.seconds = strtod(optarg, NULL);
            break;
        case 'n':
            want.requests = must_number("--requests", optarg, 1, 1000000000);
            break;
        case 'k':
            want.keys = must_number("--keys", optarg, 1, KEYS_MAX);
            break;
        case 'g':
            want.digits = must_number("--digits", optarg, 1, REPLY_START_MAX);
            break;
        case 'z':
            want.skew = strtod(optarg, NULL);
            break;
        case 'q':
            want.is_sequence = true;
            break;
        case 'e':
            want.status = must_number("--expect-status", optarg, 100, 599);
            break;
        case 'b':
            want.bytes = must_number("--expect-bytes", optarg, 0, 1L << 40);
            break;
        case 'd':
            want.may_discard = true;
            break;
        case 'i':
            want.is_idle = true;
            break;
        default:
            usage();
        }
    }
    if (!want.port || optind < argc || !(want.seconds > 0) || !(want.seconds <= 3600))
        usage();
    if (want.keys > (long)pow(10, (double)want.digits)) {
        fprintf(stderr, "--keys: --digits is too small for so many\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    raise_descriptor_limit();
    asking_init();
    if (want.is_idle)
        crowd_hold();
    else
        run();
    asking_fini();
    return load.errors ? 1 : 0;
}
