/* The error log: one line of text per event, to stderr. Only stages, main and the control thread
 * log; rooms return errors. A write that would block is dropped and counted: the log never stops a
 * worker. Lines over 2 KiB are cut. Any thread. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR
};

/* From here on lines below level are not written. Default LOG_INFO. */
void log_set_level(enum log_level level);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

/* True at most once a second per gate, which is the caller's static: for lines that a flood could repeat. */
bool log_gate(int64_t *gate_ns, int64_t now_ns);

/* Lines that could not be written since start. */
uint64_t log_dropped(void);

#endif
