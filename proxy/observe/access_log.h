/* The access log: one JSON object a line. A worker writes lines into a ring of its own and never waits; one
 * thread writes all rings out. A full ring, a full disk or a dead pipe costs lines, which are counted and
 * reported, never a request's time. */
#ifndef OBSERVE_ACCESS_LOG_H
#define OBSERVE_ACCESS_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct access_log;
struct access_ring;

/* path: "stderr", "stdout" or a file, opened for appending. NULL, with errno, if it cannot be opened. Starts
 * the thread. */
struct access_log *access_log_open(const char *path, unsigned rings);
void access_log_close(struct access_log *log); /* writes out what is there; NULL is fine */
/* Opens the path again (log rotation: SIGHUP, SIGUSR1). */
void access_log_reopen(struct access_log *log);
uint64_t access_log_dropped(const struct access_log *log);

struct access_ring *access_log_ring(struct access_log *log, unsigned index);

/* Room for one line of at most size bytes (up to half of the ring's 256 KiB), written by
 * access_ring_commit(); NULL when the ring is full (then counted). The worker's own thread. */
char *access_ring_reserve(struct access_ring *ring, uint32_t size);
void access_ring_commit(struct access_ring *ring, uint32_t used);

/* One line's worth of JSON: {"key": value, ...}\n into size bytes. Values that do not fit are left out, the
 * line stays valid JSON. */
struct json_line {
    char *at;
    char *end;
    char *start;
    bool is_first;
    uint8_t skipped; /* open objects that did not fit */
};

void json_line_start(struct json_line *line, char *data, uint32_t size);
void json_line_str(struct json_line *line, const char *key, struct str value);
void json_line_u64(struct json_line *line, const char *key, uint64_t value);
void json_line_i64(struct json_line *line, const char *key, int64_t value);
void json_line_seconds(struct json_line *line, const char *key, int64_t ns); /* with microseconds */
void json_line_bool(struct json_line *line, const char *key, bool value);
void json_line_open(struct json_line *line, const char *key); /* a nested object */
void json_line_close(struct json_line *line);
uint32_t json_line_finish(struct json_line *line); /* bytes used */

#endif
