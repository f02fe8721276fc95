#include "postgres.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postgres_answer.h"
#include "postgres_dsn.h"
#include "postgres_loss.h"
#include "postgres_reason.h"

#define ANSWER_MS  1000 /* how long an answer may take; the database itself gives up then, too */
#define CONNECT_MS 2000 /* name, connection, TLS and password together, unless connect_timeout says */
#define STEADY_MS  1000 /* a connection that lasted so long is no part of a row of failures */
#define STEP_MS    5    /* two clocks that are read one after the other differ by less */
#define LOOK_UP_MS 10   /* how often a look-up is asked whether it is over: it has no descriptor */

enum stage {
    RESTING, /* no connection until due_ms */
    LOOKING_UP,
    CONNECTING,
    CONNECTED, /* nothing asked until due_ms */
    ASKED,
};

struct target {
    char *address;
    struct postgres_dsn *dsn;
    PGconn *connection; /* NULL while it is RESTING or LOOKING_UP */
    enum stage stage;
    short events;          /* to poll for, CONNECTING or ASKED */
    int64_t due_ms;        /* monotonic, as all but asked_ms */
    int64_t deadline_ms;   /* of what is under way */
    int64_t connected_ms;  /* since when */
    int64_t asked_ms;      /* wall clock */
    int64_t asked_mono_ms; /* and the other one then */
    struct loss loss;
    uint32_t timeline;      /* of its last answer on this connection; 0: none */
    bool has_answer;        /* ASKED: what was asked is answered, its end is not here yet */
    bool is_ended;          /* it said goodbye */
    bool is_told;           /* the log knows of the state below */
    char told[REASON_SIZE]; /* why it fails; "": it does not */
};

struct postgres {
    const struct weir_host *host;
    struct servers *servers;
    struct target *targets;
    struct pollfd *fds; /* side by side with targets */
    unsigned count;
    int64_t interval_ms;
    struct timelines timelines;
};

static struct weir_str address_of(const struct target *target)
{
    return (struct weir_str){ target->address, strlen(target->address) };
}

static bool is_under_way(const struct target *target)
{
    return target->stage == LOOKING_UP || target->stage == CONNECTING || target->stage == ASKED;
}

/* --- what the log is told --- */

/* Only when it changes. */
static void tell(struct postgres *postgres, struct target *target, enum weir_log_level level,
                 const char *reason)
{
    char line[REASON_SIZE + 256];

    if (target->is_told && strcmp(target->told, reason) == 0)
        return;
    target->is_told = true;
    snprintf(target->told, sizeof target->told, "%s", reason);
    if (reason[0])
        snprintf(line, sizeof line, "rw_split: the database of %s does not answer: %s", target->address,
                 reason);
    else
        snprintf(line, sizeof line, "rw_split: the database of %s answers", target->address);
    postgres->host->log(level, line);
}

/* --- one database --- */

static void hang_up(struct target *target)
{
    PQfinish(target->connection);
    target->connection = NULL;
    target->stage = RESTING;
    target->timeline = 0;
    target->has_answer = target->is_ended = false;
}

/* Not if it was interrupted between the two: they would seem to have gone apart. */
static void look_at_clock(struct postgres *postgres)
{
    int64_t mono_ms = postgres->host->mono_ms();
    int64_t wall_ms = postgres->host->wall_ms();

    if (postgres->host->mono_ms() == mono_ms)
        servers_clock(postgres->servers, wall_ms, mono_ms);
}

static void fail(struct postgres *postgres, struct target *target, enum failure failure, const char *reason)
{
    int64_t now_ms = postgres->host->mono_ms();
    bool had_session = target->stage == CONNECTED || target->stage == ASKED;
    bool was_steady = target->timeline > 0 && now_ms - target->connected_ms >= STEADY_MS;
    /* Broken, or refused: not merely late, and no answer that says why there is none. */
    bool is_broken =
        target->is_ended || (target->connection && PQstatus(target->connection) == CONNECTION_BAD);

    hang_up(target);
    loss_failed(&target->loss, failure, had_session, now_ms);
    target->due_ms = now_ms + loss_pause_ms(&target->loss, was_steady, is_broken, now_ms);
    look_at_clock(postgres);
    servers_gone(postgres->servers, address_of(target), target->loss.since_ms);
    if (is_broken)
        servers_lost(postgres->servers, address_of(target), postgres->host->wall_ms());
    servers_silent(postgres->servers, address_of(target));
    tell(postgres, target, WEIR_LOG_WARN, reason);
}

static void fail_as_said(struct postgres *postgres, struct target *target)
{
    char reason[REASON_SIZE], state[STATE_SIZE];

    postgres_reason(target->connection, reason, sizeof reason);
    postgres_state(target->connection, state);
    fail(postgres, target, failure_by_state(state), reason);
}

static void fail_late(struct postgres *postgres, struct target *target)
{
    static const char *const words[] = {
        [LOOKING_UP] = "its name was not looked up in time",
        [CONNECTING] = "it could not be connected to in time",
        [ASKED] = "it was asked and did not answer in time",
    };

    fail(postgres, target, FAILURE_LATE, words[target->stage]);
}

/* Notices would go to stderr. */
static void ignore_notice(void *arg, const char *message)
{
}

static void connect_to(struct postgres *postgres, struct target *target)
{
    target->connection = postgres_dsn_connect(target->dsn);
    if (!target->connection) {
        fail(postgres, target, FAILURE_LATE, "no memory for a connection");
        return;
    }
    if (PQstatus(target->connection) == CONNECTION_BAD) {
        fail_as_said(postgres, target);
        return;
    }
    PQsetNoticeProcessor(target->connection, ignore_notice, NULL);
    PQsetErrorVerbosity(target->connection, PQERRORS_VERBOSE); /* else no SQLSTATE while it connects */
    target->stage = CONNECTING;
    target->events = POLLOUT; /* as libpq wants it: as if PQconnectPoll() had said so */
}

static void look_up(struct postgres *postgres, struct target *target)
{
    char why[REASON_SIZE] = "";

    target->stage = LOOKING_UP;
    switch (postgres_dsn_look_up(target->dsn, why, sizeof why)) {
    case POSTGRES_DSN_FOUND:
        connect_to(postgres, target);
        break;
    case POSTGRES_DSN_LOOKING:
        break;
    case POSTGRES_DSN_UNKNOWN:
        fail(postgres, target, FAILURE_LATE, why);
        break;
    }
}

static void reach(struct postgres *postgres, struct target *target, int64_t now_ms)
{
    int64_t patience_ms = postgres_dsn_patience_ms(target->dsn);

    target->deadline_ms = now_ms + (patience_ms ? patience_ms : CONNECT_MS);
    look_up(postgres, target);
}

/* Sends what is left of the question. */
static void flush(struct postgres *postgres, struct target *target)
{
    int left = PQflush(target->connection);

    if (left < 0)
        fail_as_said(postgres, target);
    else
        target->events = left ? POLLIN | POLLOUT : POLLIN;
}

static void ask(struct postgres *postgres, struct target *target, int64_t now_ms)
{
    target->asked_ms = postgres->host->wall_ms();
    target->asked_mono_ms = postgres->host->mono_ms();
    target->deadline_ms = now_ms + ANSWER_MS;
    target->due_ms += postgres->interval_ms;
    if (target->due_ms <= now_ms) /* late, or the first time: from now on */
        target->due_ms = now_ms + postgres->interval_ms;
    target->has_answer = false;
    target->stage = ASKED;
    if (PQsendQuery(target->connection, postgres_question))
        flush(postgres, target);
    else
        fail_as_said(postgres, target);
}

static void go_on_connecting(struct postgres *postgres, struct target *target)
{
    switch (PQconnectPoll(target->connection)) {
    case PGRES_POLLING_READING:
        target->events = POLLIN;
        break;
    case PGRES_POLLING_WRITING:
        target->events = POLLOUT;
        break;
    case PGRES_POLLING_OK:
        PQsetnonblocking(target->connection, 1); /* also what PQfinish() says goodbye with */
        target->connected_ms = target->due_ms = postgres->host->mono_ms();
        ask(postgres, target, target->connected_ms);
        break;
    default:
        fail_as_said(postgres, target);
        break;
    }
}

/* Between question and answer: the time of the question is by another clock then. */
static bool was_set_back(const struct target *target, int64_t wall_ms, int64_t mono_ms)
{
    return wall_ms - target->asked_ms + STEP_MS < mono_ms - target->asked_mono_ms;
}

static void report(struct postgres *postgres, struct target *target, const struct postgres_answer *answer)
{
    struct weir_str address = address_of(target);
    struct position at = { .is_known = answer->has_position, .value = answer->position };
    int64_t mono_ms = postgres->host->mono_ms();
    int64_t wall_ms = postgres->host->wall_ms();

    loss_answered(&target->loss);
    timelines_learn(&postgres->timelines, answer);
    target->timeline = timelines_of(&postgres->timelines, answer, target->timeline);
    at.epoch = target->timeline;
    look_at_clock(postgres);
    /* That it receives a newer timeline than it has replayed says that there is one. */
    servers_role(postgres->servers, address, answer->is_primary,
                 answer->timeline > target->timeline ? answer->timeline : target->timeline);
    servers_lag(postgres->servers, address, answer->lag_ms);
    if (answer->has_position && !was_set_back(target, wall_ms, mono_ms))
        servers_sample(postgres->servers, address, target->asked_ms, wall_ms, at);
    tell(postgres, target, WEIR_LOG_INFO, "");
}

static bool is_goodbye(const PGresult *result)
{
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

    return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

/* False: it failed. */
static bool hear(struct postgres *postgres, struct target *target, const PGresult *result)
{
    struct postgres_answer answer;

    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        target->is_ended = is_goodbye(result);
        fail_as_said(postgres, target);
        return false;
    }
    if (target->has_answer || !postgres_answer_read(result, &answer)) {
        fail(postgres, target, FAILURE_SPOKE, "its answer is none to what was asked");
        return false;
    }
    target->has_answer = true;
    report(postgres, target, &answer);
    return true;
}

static void go_on_asking(struct postgres *postgres, struct target *target)
{
    if (!PQconsumeInput(target->connection)) {
        fail_as_said(postgres, target);
        return;
    }
    while (!PQisBusy(target->connection)) {
        PGresult *result = PQgetResult(target->connection);
        bool is_fine;

        if (!result) {
            target->stage = CONNECTED;
            return;
        }
        is_fine = hear(postgres, target, result);
        PQclear(result);
        if (!is_fine)
            return;
    }
    flush(postgres, target);
}

/* --- all of them --- */

static void start_due(struct postgres *postgres, struct target *target, int64_t now_ms)
{
    if (is_under_way(target) || now_ms < target->due_ms)
        return;
    if (target->stage == RESTING)
        reach(postgres, target, now_ms);
    else
        ask(postgres, target, now_ms);
}

static void go_on(struct postgres *postgres, struct target *target, const struct pollfd *fd)
{
    if (target->stage == LOOKING_UP)
        look_up(postgres, target);
    else if (fd->revents && target->stage == CONNECTING)
        go_on_connecting(postgres, target);
    else if (fd->revents && target->stage == ASKED)
        go_on_asking(postgres, target);
    if (is_under_way(target) && postgres->host->mono_ms() >= target->deadline_ms)
        fail_late(postgres, target);
}

/* Until when poll may sleep for this one; not beyond end_ms. */
static int64_t next_ms(const struct target *target, int64_t now_ms, int64_t end_ms)
{
    int64_t at_ms = is_under_way(target) ? target->deadline_ms : target->due_ms;

    if (target->stage == LOOKING_UP && at_ms > now_ms + LOOK_UP_MS)
        at_ms = now_ms + LOOK_UP_MS;
    return at_ms < end_ms ? at_ms : end_ms;
}

/* False: nothing is under way. */
static bool wait(struct postgres *postgres, int64_t now_ms, int64_t end_ms)
{
    bool is_any = false;
    int64_t until_ms = end_ms;

    for (unsigned i = 0; i < postgres->count; i++) {
        const struct target *target = &postgres->targets[i];
        struct pollfd *fd = &postgres->fds[i];

        *fd = (struct pollfd){ .fd = -1 };
        if (target->stage == CONNECTING || target->stage == ASKED)
            *fd = (struct pollfd){ .fd = PQsocket(target->connection), .events = target->events };
        is_any = is_any || is_under_way(target);
        until_ms = next_ms(target, now_ms, until_ms);
    }
    if (is_any)
        poll(postgres->fds, postgres->count, until_ms > now_ms ? (int)(until_ms - now_ms) : 0);
    return is_any;
}

void postgres_tick(struct postgres *postgres)
{
    int64_t now_ms = postgres->host->mono_ms();
    int64_t end_ms = now_ms + postgres->interval_ms;

    for (; now_ms < end_ms; now_ms = postgres->host->mono_ms()) {
        for (unsigned i = 0; i < postgres->count; i++)
            start_due(postgres, &postgres->targets[i], now_ms);
        if (!wait(postgres, now_ms, end_ms))
            return;
        for (unsigned i = 0; i < postgres->count; i++)
            go_on(postgres, &postgres->targets[i], &postgres->fds[i]);
    }
}

/* --- lifecycle --- */

static bool add(struct postgres *postgres, const struct postgres_target *from, char *error, size_t error_size)
{
    struct target *target = &postgres->targets[postgres->count];
    char why[160] = "";

    target->address = strdup(from->address);
    if (!target->address) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    postgres->count++;
    target->dsn = postgres_dsn_new(from->dsn, ANSWER_MS, why, sizeof why);
    if (!target->dsn)
        snprintf(error, error_size, "positions.postgres: the DSN of %s %s", from->address, why);
    else
        servers_expect(postgres->servers, address_of(target));
    return target->dsn != NULL;
}

struct postgres *postgres_new(const struct weir_host *host, struct servers *servers,
                              const struct postgres_target *targets, unsigned count, int64_t interval_ms,
                              char *error, size_t error_size)
{
    struct postgres *postgres = calloc(1, sizeof *postgres);

    snprintf(error, error_size, "out of memory");
    if (!postgres)
        return NULL;
    postgres->host = host;
    postgres->servers = servers;
    postgres->interval_ms = interval_ms > 0 ? interval_ms : 1;
    postgres->targets = calloc(count ? count : 1, sizeof *postgres->targets);
    postgres->fds = calloc(count ? count : 1, sizeof *postgres->fds);
    if (!postgres->targets || !postgres->fds)
        goto fail;
    for (unsigned i = 0; i < count; i++)
        if (!add(postgres, &targets[i], error, error_size))
            goto fail;
    return postgres;

fail:
    postgres_free(postgres);
    return NULL;
}

static const char *value_of(const PQconninfoOption *options, const char *keyword, const char *otherwise)
{
    for (const PQconninfoOption *at = options; at->keyword; at++)
        if (strcmp(at->keyword, keyword) == 0 && at->val && at->val[0])
            return at->val;
    return otherwise;
}

/* A pooler has databases of several clusters behind one port, by their names: without one that is the user's.
 */
bool postgres_place(const char *dsn, char *out, size_t size)
{
    PQconninfoOption *options = PQconninfoParse(dsn, NULL);
    int len;

    if (!options)
        return false;
    len = snprintf(out, size, "%s %s %s %s", value_of(options, "host", ""), value_of(options, "hostaddr", ""),
                   value_of(options, "port", "5432"),
                   value_of(options, "dbname", value_of(options, "user", "")));
    PQconninfoFree(options);
    return len >= 0 && (size_t)len < size;
}

void postgres_free(struct postgres *postgres)
{
    if (!postgres)
        return;
    for (unsigned i = 0; postgres->targets && i < postgres->count; i++) {
        PQfinish(postgres->targets[i].connection);
        postgres_dsn_free(postgres->targets[i].dsn);
        free(postgres->targets[i].address);
    }
    free(postgres->targets);
    free(postgres->fds);
    free(postgres);
}
