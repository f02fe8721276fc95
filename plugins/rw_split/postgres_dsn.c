#include "postgres_dsn.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ADDRESSES_MAX 8 /* of one name; the others are not tried */
#define KEYWORDS_MAX  80
#define PATIENCE_S    60

/* Shared by the DSN and a thread that looks the name up; the last one frees it. */
struct look_up {
    atomic_uint references;
    atomic_bool is_done; /* what is below belongs to the thread until then */
    int error;           /* of getaddrinfo() */
    unsigned count;
    char addresses[ADDRESSES_MAX][INET6_ADDRSTRLEN];
    char name[];
};

struct postgres_dsn {
    PQconninfoOption *options;
    char *settings; /* the value of libpq's "options" */
    bool is_name;
    struct look_up *look_up; /* under way; NULL: none */
    char *hosts;             /* "db,db", one for each of: */
    char *addresses;         /* "192.0.2.1,2001:db8::1"; NULL: not a name, or not looked up */
};

static const char *option(const struct postgres_dsn *dsn, const char *keyword)
{
    for (const PQconninfoOption *at = dsn->options; at && at->keyword; at++)
        if (strcmp(at->keyword, keyword) == 0)
            return at->val && at->val[0] ? at->val : NULL;
    return NULL;
}

/* --- looking a name up --- */

static void look_up_unref(struct look_up *look_up)
{
    if (look_up && atomic_fetch_sub(&look_up->references, 1) == 1)
        free(look_up);
}

static void *look_up_thread(void *arg)
{
    struct look_up *look_up = arg;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
    struct addrinfo *found = NULL;

    look_up->error = getaddrinfo(look_up->name, NULL, &hints, &found);
    for (struct addrinfo *at = found; at && look_up->count < ADDRESSES_MAX; at = at->ai_next)
        if (getnameinfo(at->ai_addr, at->ai_addrlen, look_up->addresses[look_up->count],
                        sizeof look_up->addresses[0], NULL, 0, NI_NUMERICHOST) == 0)
            look_up->count++;
    if (found)
        freeaddrinfo(found);
    atomic_store(&look_up->is_done, true);
    look_up_unref(look_up);
    return NULL;
}

/* Signals are for weir's own threads: none is to be interrupted by them here. */
static bool start_thread(struct look_up *look_up)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    int error;

    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, &attributes, look_up_thread, look_up);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

static struct look_up *look_up_new(const char *name)
{
    struct look_up *look_up = calloc(1, sizeof *look_up + strlen(name) + 1);

    if (!look_up)
        return NULL;
    memcpy(look_up->name, name, strlen(name) + 1);
    atomic_init(&look_up->references, 2);
    if (!start_thread(look_up)) {
        free(look_up);
        return NULL;
    }
    return look_up;
}

/* Appends one more entry to a list with commas. */
static bool append(char **list, const char *entry)
{
    size_t len = *list ? strlen(*list) + 1 : 0;
    char *longer = realloc(*list, len + strlen(entry) + 1);

    if (!longer)
        return false;
    if (len)
        longer[len - 1] = ',';
    memcpy(longer + len, entry, strlen(entry) + 1);
    *list = longer;
    return true;
}

/* libpq takes a name and its address side by side: the one for certificates and password files, the other to
 * connect to. */
static bool keep_addresses(struct postgres_dsn *dsn, const struct look_up *look_up)
{
    free(dsn->hosts);
    free(dsn->addresses);
    dsn->hosts = dsn->addresses = NULL;
    for (unsigned i = 0; i < look_up->count; i++)
        if (!append(&dsn->hosts, look_up->name) || !append(&dsn->addresses, look_up->addresses[i]))
            return false;
    return look_up->count > 0;
}

enum postgres_dsn_state postgres_dsn_look_up(struct postgres_dsn *dsn, char *why, size_t why_size)
{
    struct look_up *look_up;
    bool is_known;

    if (!dsn->is_name)
        return POSTGRES_DSN_FOUND;
    if (!dsn->look_up)
        dsn->look_up = look_up_new(option(dsn, "host"));
    look_up = dsn->look_up;
    if (!look_up) {
        snprintf(why, why_size, "no memory or thread to look its name up");
        return POSTGRES_DSN_UNKNOWN;
    }
    if (!atomic_load(&look_up->is_done))
        return POSTGRES_DSN_LOOKING;
    is_known = keep_addresses(dsn, look_up);
    if (!is_known)
        snprintf(why, why_size, "the name %.100s has no address: %s", look_up->name,
                 look_up->error ? gai_strerror(look_up->error) : "none was found");
    look_up_unref(look_up);
    dsn->look_up = NULL;
    return is_known ? POSTGRES_DSN_FOUND : POSTGRES_DSN_UNKNOWN;
}

/* --- the connection string --- */

static bool is_address(const char *host)
{
    struct in6_addr address;
    size_t len = strcspn(host, "%"); /* fe80::1%eth0 */
    char copy[INET6_ADDRSTRLEN];

    if (len >= sizeof copy)
        return false;
    memcpy(copy, host, len);
    copy[len] = '\0';
    return inet_pton(AF_INET6, copy, &address) == 1 || inet_pton(AF_INET, copy, &address) == 1;
}

static bool is_list(const char *value)
{
    return value && strchr(value, ',');
}

/* A DSN with several hosts would tell of whichever answers, under one server's name. */
static const char *mistake_in(const struct postgres_dsn *dsn)
{
    const char *host = option(dsn, "host");
    const char *address = option(dsn, "hostaddr");

    if (is_list(host) || is_list(address))
        return "names several hosts: each server has its own database";
    if (!host && !address && !option(dsn, "service"))
        return "names no host";
    return NULL;
}

/* The DSN's own options come last, and win. */
static bool write_settings(struct postgres_dsn *dsn, int64_t statement_ms)
{
    const char *own = option(dsn, "options");
    size_t size = 64 + (own ? strlen(own) : 0);

    dsn->settings = malloc(size);
    if (!dsn->settings)
        return false;
    snprintf(dsn->settings, size, "-c statement_timeout=%lld%s%s", (long long)statement_ms, own ? " " : "",
             own ? own : "");
    return true;
}

struct postgres_dsn *postgres_dsn_new(const char *text, int64_t statement_ms, char *error, size_t error_size)
{
    struct postgres_dsn *dsn = calloc(1, sizeof *dsn);
    const char *why = "finds no memory", *host;
    char *said = NULL;

    if (!dsn)
        goto fail;
    dsn->options = PQconninfoParse(text, &said);
    if (!dsn->options) {
        if (said)
            why =
                "is no connection string: postgresql://user@host:5432/name, or host=... port=... dbname=...";
        PQfreemem(said); /* it would quote what may be a password */
        goto fail;
    }
    if (mistake_in(dsn)) {
        why = mistake_in(dsn);
        goto fail;
    }
    if (!write_settings(dsn, statement_ms))
        goto fail;
    host = option(dsn, "host");
    dsn->is_name = host && !option(dsn, "hostaddr") && host[0] != '/' && host[0] != '@' && !is_address(host);
    return dsn;

fail:
    snprintf(error, error_size, "%s", why);
    postgres_dsn_free(dsn);
    return NULL;
}

void postgres_dsn_free(struct postgres_dsn *dsn)
{
    if (!dsn)
        return;
    look_up_unref(dsn->look_up);
    PQconninfoFree(dsn->options);
    free(dsn->settings);
    free(dsn->hosts);
    free(dsn->addresses);
    free(dsn);
}

/* What the probe decides, whatever the DSN says. A replica is to be asked as well (target_session_attrs),
 * with queries (replication). */
static bool is_ours(const char *keyword)
{
    static const char *const ours[] = { "host", "hostaddr", "options", "target_session_attrs",
                                        "replication" };

    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcmp(keyword, ours[i]) == 0)
            return true;
    return false;
}

struct parameters {
    const char *keywords[KEYWORDS_MAX];
    const char *values[KEYWORDS_MAX];
    unsigned count;
};

/* libpq has some 45 options: what is beyond the end would be a future one's, and the last place is for NULL.
 */
static void put(struct parameters *parameters, const char *keyword, const char *value)
{
    if (!value || parameters->count == KEYWORDS_MAX - 1)
        return;
    parameters->keywords[parameters->count] = keyword;
    parameters->values[parameters->count++] = value;
}

PGconn *postgres_dsn_connect(const struct postgres_dsn *dsn)
{
    struct parameters parameters = { 0 };

    put(&parameters, "host", dsn->addresses ? dsn->hosts : option(dsn, "host"));
    put(&parameters, "hostaddr", dsn->addresses ? dsn->addresses : option(dsn, "hostaddr"));
    put(&parameters, "options", dsn->settings);
    put(&parameters, "target_session_attrs", "any");
    put(&parameters, "fallback_application_name", "weir rw_split");
    /* Asking Kerberos whether it has credentials may block; who wants that says so. */
    if (!option(dsn, "gssencmode"))
        put(&parameters, "gssencmode", "disable");
    for (const PQconninfoOption *at = dsn->options; at->keyword; at++)
        if (!is_ours(at->keyword) && at->val && at->val[0])
            put(&parameters, at->keyword, at->val);
    return PQconnectStartParams(parameters.keywords, parameters.values, 0);
}

int64_t postgres_dsn_patience_ms(const struct postgres_dsn *dsn)
{
    const char *text = option(dsn, "connect_timeout");
    long seconds = text ? strtol(text, NULL, 10) : 0;

    if (seconds <= 0)
        return 0;
    return 1000 * (int64_t)(seconds < PATIENCE_S ? seconds : PATIENCE_S);
}
