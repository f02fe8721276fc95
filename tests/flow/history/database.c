#include "database.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct database {
    char *dsn;
    bool tells_position;
    unsigned count, free_count;
    PGconn **all;
    PGconn **free; /* the last used first: few stay busy when few are needed */
    pthread_mutex_t lock;
    pthread_cond_t is_back;
};

static const struct {
    const char *name, *sql;
} questions[] = {
    { "read",
      "select coalesce(kv.version, 0), coalesce(kv.op, '-'), coalesce(kv.value, ''), pg_is_in_recovery()"
      " from (select 1) one left join kv on kv.tenant = $1 and kv.key = $2" },
    { "write", "with put as (insert into kv as old values ($1, $2, 1, $3, $4)"
               " on conflict (tenant, key) do update set version = old.version + 1, op = excluded.op,"
               " value = excluded.value returning version)"
               " insert into written select $3, $1, $2, version from put returning version, op" },
    { "look", "select pg_is_in_recovery(), case when pg_is_in_recovery() then pg_last_wal_replay_lsn()"
              " else pg_current_wal_lsn() end" },
};

struct database *database_new(const char *dsn, unsigned connections, bool tells_position)
{
    struct database *database = calloc(1, sizeof *database);

    if (!database)
        return NULL;
    pthread_mutex_init(&database->lock, NULL);
    pthread_cond_init(&database->is_back, NULL);
    database->tells_position = tells_position;
    database->count = database->free_count = connections;
    database->dsn = strdup(dsn);
    database->all = calloc(connections, sizeof *database->all);
    database->free = calloc(connections, sizeof *database->free);
    if (!database->dsn || !database->all || !database->free) {
        database_free(database);
        return NULL;
    }
    return database; /* a NULL among the free ones: not connected yet */
}

void database_free(struct database *database)
{
    if (!database)
        return;
    if (database->all && database->free)
        for (unsigned i = 0; i < database->free_count; i++)
            PQfinish(database->free[i]);
    free(database->all);
    free(database->free);
    free(database->dsn);
    pthread_cond_destroy(&database->is_back);
    pthread_mutex_destroy(&database->lock);
    free(database);
}

static PGconn *connection_new(const char *dsn)
{
    PGconn *connection = PQconnectdb(dsn);

    if (PQstatus(connection) != CONNECTION_OK) {
        PQfinish(connection);
        return NULL;
    }
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        PGresult *result = PQprepare(connection, questions[i].name, questions[i].sql, 0, NULL);
        bool is_good = PQresultStatus(result) == PGRES_COMMAND_OK;

        PQclear(result);
        if (!is_good) {
            PQfinish(connection);
            return NULL;
        }
    }
    return connection;
}

/* One to ask, or NULL when the database cannot be reached. */
static PGconn *borrow(struct database *database)
{
    PGconn *connection;

    pthread_mutex_lock(&database->lock);
    while (database->free_count == 0)
        pthread_cond_wait(&database->is_back, &database->lock);
    connection = database->free[--database->free_count];
    pthread_mutex_unlock(&database->lock);
    if (connection && PQstatus(connection) != CONNECTION_OK) {
        PQfinish(connection);
        connection = NULL;
    }
    return connection ? connection : connection_new(database->dsn);
}

static void give_back(struct database *database, PGconn *connection)
{
    pthread_mutex_lock(&database->lock);
    database->free[database->free_count++] = connection;
    pthread_cond_signal(&database->is_back);
    pthread_mutex_unlock(&database->lock);
}

/* Asks one prepared question; NULL, and why, when there is no answer. */
static PGresult *ask(PGconn *connection, const char *name, int count, const char *const *values,
                     enum database_result *why)
{
    PGresult *result = PQexecPrepared(connection, name, count, values, NULL, NULL, 0);
    const char *state;

    *why = DATABASE_DONE;
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
        return result;
    state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    *why = state && strcmp(state, "25006") == 0 ? DATABASE_READ_ONLY : DATABASE_FAILED;
    PQclear(result);
    return NULL;
}

static void copy(char *out, size_t size, const char *from)
{
    snprintf(out, size, "%s", from);
}

static enum database_result look(PGconn *connection, struct row *out)
{
    enum database_result why;
    PGresult *result = ask(connection, "look", 0, NULL, &why);

    if (!result)
        return why;
    out->is_replica = PQgetvalue(result, 0, 0)[0] == 't';
    copy(out->position, sizeof out->position, PQgetvalue(result, 0, 1));
    PQclear(result);
    return DATABASE_DONE;
}

enum database_result database_look(struct database *database, struct row *out)
{
    PGconn *connection = borrow(database);
    enum database_result said = DATABASE_FAILED;

    *out = (struct row){ .version = 0 };
    if (connection)
        said = look(connection, out);
    give_back(database, connection);
    return said;
}

/* On a connection that broke since it was used last, once more on a new one: a read may be repeated. */
static PGresult *ask_to_read(struct database *database, PGconn **connection, const char *const *values,
                             enum database_result *why)
{
    PGresult *result;

    *why = DATABASE_FAILED;
    if (!*connection)
        return NULL;
    result = ask(*connection, "read", 2, values, why);
    if (result || PQstatus(*connection) == CONNECTION_OK)
        return result;
    PQfinish(*connection);
    *connection = connection_new(database->dsn);
    return *connection ? ask(*connection, "read", 2, values, why) : NULL;
}

enum database_result database_read(struct database *database, const char *tenant, const char *key,
                                   struct row *out)
{
    PGconn *connection = borrow(database);
    enum database_result said;
    PGresult *result = ask_to_read(database, &connection, (const char *const[]){ tenant, key }, &said);

    *out = (struct row){ .version = 0 };
    if (result) {
        out->version = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
        copy(out->op, sizeof out->op, PQgetvalue(result, 0, 1));
        out->value = strdup(PQgetvalue(result, 0, 2));
        out->is_replica = PQgetvalue(result, 0, 3)[0] == 't';
        PQclear(result);
        if (database->tells_position) /* after the read: it saw nothing that is newer */
            said = look(connection, out);
    }
    give_back(database, connection);
    return said;
}

enum database_result database_write(struct database *database, const char *tenant, const char *key,
                                    const char *op, const char *value, struct row *out)
{
    PGconn *connection = borrow(database);
    enum database_result said = DATABASE_FAILED;
    PGresult *result = NULL;

    *out = (struct row){ .version = 0 };
    if (connection)
        result = ask(connection, "write", 4, (const char *const[]){ tenant, key, op, value }, &said);
    if (result) {
        out->version = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
        copy(out->op, sizeof out->op, PQgetvalue(result, 0, 1));
        PQclear(result);
        if (database
                ->tells_position) /* behind the commit. Without an answer the write is there all the same */
            look(connection, out);
    }
    give_back(database, connection);
    return said;
}
