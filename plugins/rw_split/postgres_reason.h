/* Why a connection failed, as the log may be told: one short line of printable ASCII, never a password. What
 * libpq says is partly the peer's own words, and a peer may be anybody. Pure. The probe's thread. */
#ifndef RW_SPLIT_POSTGRES_REASON_H
#define RW_SPLIT_POSTGRES_REASON_H

#include <libpq-fe.h>
#include <stddef.h>

#define REASON_SIZE 256
#define STATE_SIZE  6

void postgres_reason(const PGconn *connection, char *out, size_t size);
/* The SQLSTATE of it, "": there is none, nobody said anything. For a connection that is verbose. */
void postgres_state(const PGconn *connection, char out[STATE_SIZE]);

#endif
