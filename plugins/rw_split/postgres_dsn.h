/* How to reach one database: its connection string, checked once, and the addresses of the name in it.
 *
 * It knows libpq's options and refuses to let libpq look names up, which would block the probe's thread and
 * with it every other database: a thread of its own does, one at a time for each. That thread may outlive the
 * DSN (the resolver cannot be interrupted) and then cleans up by itself; a plugin's code stays loaded. */
#ifndef RW_SPLIT_POSTGRES_DSN_H
#define RW_SPLIT_POSTGRES_DSN_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct postgres_dsn;

/* NULL and the end of a sentence in error ("names no host"), which never quotes the text: there may be a
 * password in it. */
struct postgres_dsn *postgres_dsn_new(const char *text, int64_t statement_ms, char *error, size_t error_size);
void postgres_dsn_free(struct postgres_dsn *dsn);

enum postgres_dsn_state {
    POSTGRES_DSN_FOUND,   /* postgres_dsn_connect() may be called */
    POSTGRES_DSN_LOOKING, /* ask again in a moment */
    POSTGRES_DSN_UNKNOWN, /* the name has no address; asking again looks again */
};

/* Looks the name up, if it is one, each time anew. why is set if it is unknown. Does not block. */
enum postgres_dsn_state postgres_dsn_look_up(struct postgres_dsn *dsn, char *why, size_t why_size);

/* Begins a connection, as PQconnectStart() does: NULL without memory. */
PGconn *postgres_dsn_connect(const struct postgres_dsn *dsn);

/* connect_timeout as the DSN says it; 0: it does not. */
int64_t postgres_dsn_patience_ms(const struct postgres_dsn *dsn);

#endif
