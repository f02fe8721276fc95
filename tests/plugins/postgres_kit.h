/* What the tests of the PostgreSQL probe share: a servers.h that only remembers what it was told, a host
 * whose monotonic clock may be pushed, and real servers, which postgres.sh starts. */
#ifndef POSTGRES_KIT_H
#define POSTGRES_KIT_H

#include <libpq-fe.h>

#include "postgres.h"

/* What the probe said of one address. */
struct told {
    char address[64];
    bool is_primary;
    uint32_t timeline;
    unsigned roles, samples, silences, losses;
    bool is_expected;
    struct position at;
    int64_t before_ms, after_ms, lag_ms;
    int64_t gone_since_ms; /* 0: it is there */
};

/* Of that address; all zero before anything was said. */
struct told *told_of(const char *address);

extern const struct weir_host kit_host;
extern int64_t kit_pushed_ms;      /* added to the monotonic clock */
extern int64_t kit_wall_pushed_ms; /* and to the other one */
extern unsigned kit_clocks;        /* how often the clocks were looked at */

/* The log: all lines that were written, one after the other, and how many. */
extern char kit_log[16384];
extern unsigned kit_lines;

/* A probe of these, each "address" and "dsn", that asks every 5 ms; ends the test if it is refused. */
struct postgres *kit_probe(const struct postgres_target *targets, unsigned count);

/* Ticks until it is true, for ten seconds at most. */
#define TICK_UNTIL(postgres, condition)                                                      \
    do {                                                                                     \
        int64_t end_ms_ = kit_real_ms() + 10000;                                             \
        while (!(condition)) {                                                               \
            cr_assert_lt(kit_real_ms(), end_ms_, "never: " #condition "; log: %s", kit_log); \
            postgres_tick(postgres);                                                         \
        }                                                                                    \
    } while (0)

int64_t kit_real_ms(void);

/* --- real servers, in a folder that goes with the program --- */

struct server {
    char folder[256];
    int port;
    char dsn[160]; /* of a role with pg_monitor, by password */
};

/* Made of the templates. primary NULL: it is one. Started. */
struct server server_new(const char *name, const struct server *primary);
/* "start", "stop", "kill", "promote", "freeze", "thaw" */
void server_do(const struct server *server, const char *what);
/* As superuser; the first value of its first row, "" if there is none. Static memory. */
const char *server_sql(const struct server *server, const char *sql);
/* A position as SQL says it. */
uint64_t server_lsn(const struct server *server, const char *function);

/* A free port; a listening socket on one, *out_port. */
int kit_listen(int *out_port);

#endif
