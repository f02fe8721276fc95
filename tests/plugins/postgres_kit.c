#include "postgres_kit.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ADDRESSES_MAX 8

int64_t kit_pushed_ms;
char kit_log[16384];
unsigned kit_lines, kit_clocks;
int64_t kit_wall_pushed_ms;

static struct told told[ADDRESSES_MAX];

/* --- servers.h --- */

struct told *told_of(const char *address)
{
    for (size_t i = 0; i < ADDRESSES_MAX; i++) {
        if (!told[i].address[0])
            snprintf(told[i].address, sizeof told[i].address, "%s", address);
        if (strcmp(told[i].address, address) == 0)
            return &told[i];
    }
    cr_assert_fail("more addresses than places");
    return NULL;
}

static struct told *told_by(struct weir_str address)
{
    char text[64];

    snprintf(text, sizeof text, "%.*s", (int)address.len, address.data);
    return told_of(text);
}

void servers_sample(struct servers *servers, struct weir_str address, int64_t before_ms, int64_t after_ms,
                    struct position at)
{
    struct told *of = told_by(address);

    cr_assert(at.is_known);
    cr_assert_leq(before_ms, after_ms);
    cr_assert_geq(before_ms, of->after_ms, "one question at a time");
    cr_assert_gt(of->roles, of->samples, "its role is said first");
    of->before_ms = before_ms;
    of->after_ms = after_ms;
    of->at = at;
    of->samples++;
}

void servers_role(struct servers *servers, struct weir_str address, bool is_primary, uint32_t timeline)
{
    struct told *of = told_by(address);

    of->is_primary = is_primary;
    of->timeline = timeline;
    of->roles++;
    of->gone_since_ms = 0;
}

void servers_lag(struct servers *servers, struct weir_str address, int64_t lag_ms)
{
    told_by(address)->lag_ms = lag_ms;
}

void servers_silent(struct servers *servers, struct weir_str address)
{
    told_by(address)->silences++;
}

void servers_lost(struct servers *servers, struct weir_str address, int64_t now_ms)
{
    told_by(address)->losses++;
}

void servers_gone(struct servers *servers, struct weir_str address, int64_t since_ms)
{
    told_by(address)->gone_since_ms = since_ms;
}

void servers_expect(struct servers *servers, struct weir_str address)
{
    told_by(address)->is_expected = true;
}

void servers_clock(struct servers *servers, int64_t wall_ms, int64_t mono_ms)
{
    kit_clocks++;
}

/* --- the host --- */

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

int64_t kit_real_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

static int64_t host_mono_ms(void)
{
    return kit_real_ms() + kit_pushed_ms;
}

static int64_t host_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME) + kit_wall_pushed_ms;
}

static void host_log(enum weir_log_level level, const char *line)
{
    size_t len = strlen(kit_log);

    cr_assert_not(strpbrk(line, "\r\n"), "one line");
    snprintf(kit_log + len, sizeof kit_log - len, "%s\n", line);
    kit_lines++;
}

const struct weir_host kit_host = {
    .size = sizeof(struct weir_host),
    .log = host_log,
    .wall_ms = host_wall_ms,
    .mono_ms = host_mono_ms,
};

struct postgres *kit_probe(const struct postgres_target *targets, unsigned count)
{
    char error[256] = "";
    struct postgres *postgres = postgres_new(&kit_host, NULL, targets, count, 5, error, sizeof error);

    cr_assert(postgres, "%s", error);
    return postgres;
}

/* --- real servers --- */

int kit_listen(int *out_port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_geq(fd, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(fd, 8), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *out_port = ntohs(address.sin_port);
    return fd;
}

static void tool(const char *arguments)
{
    char command[1024];
    int status;

    /* The servers are not to hold the test's own output open. */
    snprintf(command, sizeof command, "exec '%s' %s >'%s/tool-%d.log' 2>&1 </dev/null",
             getenv("WEIR_POSTGRES_TOOL"), arguments, getenv("WEIR_POSTGRES_DIR"), (int)getpid());
    status = system(command);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "postgres.sh %s: %d", arguments, status);
}

void server_do(const struct server *server, const char *what)
{
    char arguments[512];

    snprintf(arguments, sizeof arguments, "%s '%s'", what, server->folder);
    tool(arguments);
}

struct server server_new(const char *name, const struct server *primary)
{
    struct server server;
    char arguments[640];
    int fd = kit_listen(&server.port);

    close(fd);
    snprintf(server.folder, sizeof server.folder, "%s/%s-%d", getenv("WEIR_POSTGRES_DIR"), name,
             (int)getpid());
    snprintf(server.dsn, sizeof server.dsn, "postgresql://probe:hush-hush@127.0.0.1:%d/postgres",
             server.port);
    snprintf(arguments, sizeof arguments, "copy %s '%s' %d", primary ? "replica" : "primary", server.folder,
             server.port);
    if (primary)
        snprintf(arguments + strlen(arguments), 16, " %d", primary->port);
    tool(arguments);
    server_do(&server, "start");
    return server;
}

const char *server_sql(const struct server *server, const char *sql)
{
    static char value[256];
    char dsn[128];
    PGconn *connection;
    PGresult *result;

    snprintf(dsn, sizeof dsn, "host=127.0.0.1 port=%d user=postgres dbname=postgres", server->port);
    connection = PQconnectdb(dsn);
    cr_assert_eq(PQstatus(connection), CONNECTION_OK, "%s", PQerrorMessage(connection));
    result = PQexec(connection, sql);
    cr_assert(PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK, "%s",
              PQerrorMessage(connection));
    snprintf(value, sizeof value, "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(connection);
    return value;
}

uint64_t server_lsn(const struct server *server, const char *function)
{
    char sql[128];

    snprintf(sql, sizeof sql, "SELECT (%s() - '0/0')::text", function);
    return strtoull(server_sql(server, sql), NULL, 10);
}
