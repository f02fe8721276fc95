#include "base/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static _Atomic int level_min = LOG_INFO;
static _Atomic uint64_t dropped;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&level_min, (int)level, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

void log_line(enum log_level level, const char *format, ...)
{
    static const char *const words[] = { "debug", "info", "warn", "error" };
    if ((int)level < atomic_load_explicit(&level_min, memory_order_relaxed))
        return;

    char line[LINE_MAX_BYTES];
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t len = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
    len +=
        (size_t)snprintf(line + len, sizeof line - len, ".%03ldZ %s ", now.tv_nsec / 1000000, words[level]);

    va_list args;
    va_start(args, format);
    int n = vsnprintf(line + len, sizeof line - len - 1, format, args);
    va_end(args);
    size_t room = sizeof line - len - 2;
    size_t text_start = len;
    len += n < 0 ? 0 : ((size_t)n < room ? (size_t)n : room);
    /* What a peer sent may stand in the text: no control byte of it may forge a line. */
    for (size_t i = text_start; i < len; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    }
    line[len++] = '\n';

    struct pollfd writable = { .fd = STDERR_FILENO, .events = POLLOUT };
    if (poll(&writable, 1, 0) != 1 || write(STDERR_FILENO, line, len) != (ssize_t)len)
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
}

bool log_gate(int64_t *gate_ns, int64_t now_ns)
{
    int64_t last = __atomic_load_n(gate_ns, __ATOMIC_RELAXED);
    if (last != 0 && now_ns - last < 1000000000LL)
        return false;
    return __atomic_compare_exchange_n(gate_ns, &last, now_ns, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
