/* The app's few connections to its own server's database, and what it asks there.
 *
 * A connection that is found broken is made again before the next question, never in the middle of one:
 * whether a write of which nothing more was heard was committed nobody knows, and it must not be written
 * again.
 *
 * Any thread; who asks may have to wait for a free connection. */
#ifndef HISTORY_DATABASE_H
#define HISTORY_DATABASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct database;

struct row {
    int64_t version; /* 0: there is no such key */
    char op[96];
    char *value; /* the caller's to free(); NULL for a write */
    bool is_replica;
    char position[64]; /* how far the server had come once this was known; "" when not asked for */
};

enum database_result {
    DATABASE_DONE,
    DATABASE_READ_ONLY, /* it is a replica, and this a write */
    DATABASE_FAILED,    /* a write may be committed all the same */
};

struct database *database_new(const char *dsn, unsigned connections, bool tells_position);
void database_free(struct database *database);

enum database_result database_read(struct database *database, const char *tenant, const char *key,
                                   struct row *out);
enum database_result database_write(struct database *database, const char *tenant, const char *key,
                                    const char *op, const char *value, struct row *out);
/* Is it there, what is it, how far has it come? */
enum database_result database_look(struct database *database, struct row *out);

#endif
