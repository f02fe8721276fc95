/* rw_split: reads go to replicas, writes to the primary, and who has just written reads what he wrote.
 *
 * It knows the methods, a client's token (token.h) and how far a reply is to be believed. It keeps nothing
 * about clients: the token that a write's reply carries says when it was, and comes back with the client's
 * next requests. For the window after that the client reads from the primary. For the token's whole life (an
 * hour) the cache must not hand him a reply that may be older than his write: fetched before it, or from a
 * replica while the window was still open.
 *
 * All hooks run on any worker; what they share are counters. */
#include <weir/plugin.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"
#include "token.h"

#define PLUGIN_VERSION "1.0"
#define TELL_EVERY_MS  60000

struct rw_split {
    const struct weir_host *host;
    struct settings settings;
    atomic_uint_least64_t seen[TOKEN_STATES]; /* tokens, by what was found out */
    atomic_int_least64_t told_ms;             /* when the log was told of ignored ones; monotonic */
};

/* What a request brings along. */
struct visit {
    bool is_write;
    int64_t wrote_ms; /* the client's last write; 0: not known to have written */
};

static void *configure(const struct weir_host *host, const struct weir_config *config, char *error,
                       size_t error_size)
{
    struct rw_split *self;

    if (!WEIR_HAS(host, secret)) {
        snprintf(error, error_size, "this weir is too old for this rw_split");
        return NULL;
    }
    self = calloc(1, sizeof *self);
    if (!self) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    self->host = host;
    if (!settings_read(&self->settings, host, config, error, error_size)) {
        free(self);
        return NULL;
    }
    return self;
}

static void destroy(void *self)
{
    free(self);
}

/* RFC 9110 9.2.1. Methods are case-sensitive, and what is not known to be safe may write. */
static bool is_safe(struct weir_str method)
{
    static const char *const safe[] = { "GET", "HEAD", "OPTIONS", "TRACE" };

    for (size_t i = 0; i < sizeof safe / sizeof safe[0]; i++)
        if (method.len == strlen(safe[i]) && memcmp(method.data, safe[i], method.len) == 0)
            return true;
    return false;
}

/* Once a minute at most, so that a client with a bad token cannot fill the log. */
static void tell_of_ignored(struct rw_split *self)
{
    int64_t now_ms = self->host->mono_ms();
    int64_t told_ms = atomic_load_explicit(&self->told_ms, memory_order_relaxed);
    char line[160];

    if (told_ms && now_ms - told_ms < TELL_EVERY_MS)
        return;
    if (!atomic_compare_exchange_strong(&self->told_ms, &told_ms, now_ms))
        return;
    snprintf(line, sizeof line,
             "rw_split: position tokens ignored so far: %" PRIuLEAST64
             " forged or of another tenant, %" PRIuLEAST64 " expired, %" PRIuLEAST64 " of another domain",
             atomic_load(&self->seen[TOKEN_FORGED]), atomic_load(&self->seen[TOKEN_EXPIRED]),
             atomic_load(&self->seen[TOKEN_FOREIGN]));
    self->host->log(WEIR_LOG_INFO, line);
}

static int64_t read_one(struct rw_split *self, const struct token_scope *scope, struct weir_str text,
                        int64_t now_ms)
{
    int64_t issued_ms = 0;
    enum token_state state = token_read(&self->settings.ring, scope, text, now_ms, &issued_ms);

    if (state == TOKEN_ABSENT)
        return 0;
    atomic_fetch_add_explicit(&self->seen[state], 1, memory_order_relaxed);
    if (state != TOKEN_VALID)
        tell_of_ignored(self);
    return issued_ms;
}

/* The newest of what cookie and header say: an API client may send both, and one of them may be left over. */
static int64_t last_write_ms(struct rw_split *self, const struct weir_request *request)
{
    const struct weir_host *host = self->host;
    struct weir_str header = host->field(request, "Weir-Position");
    struct weir_str cookie = host->cookie(request, "weir_position");
    struct token_scope scope;
    int64_t now_ms, by_header_ms, by_cookie_ms;

    if (self->settings.consistency == CONSISTENCY_NONE || (!header.data && !cookie.data))
        return 0;
    scope = (struct token_scope){ .tenant = host->tenant(request), .domain = host->domain(request) };
    now_ms = host->wall_ms();
    by_header_ms = read_one(self, &scope, header, now_ms);
    by_cookie_ms = read_one(self, &scope, cookie, now_ms);
    return by_header_ms > by_cookie_ms ? by_header_ms : by_cookie_ms;
}

/* Tokens are verified once a request and the result kept with it. Without memory for that, or for a fetch
 * that has no request of its own, it is found out again. */
static struct visit visit_of(struct rw_split *self, struct weir_request *request)
{
    struct visit *kept = self->host->get(request);
    struct visit visit;

    if (kept)
        return *kept;
    visit.is_write = !is_safe(self->host->method(request));
    visit.wrote_ms = last_write_ms(self, request);
    kept = self->host->alloc(request, sizeof *kept);
    if (kept) {
        *kept = visit;
        self->host->set(request, kept);
    }
    return visit;
}

/* Positions, as this plugin has them: the time until which every write is known to be in a reply, in unix ms.
 */
static struct weir_str put_position(struct rw_split *self, struct weir_request *request, int64_t as_of_ms)
{
    enum {
        SIZE = 24
    };
    char *text = self->host->alloc(request, SIZE);

    if (!text)
        return (struct weir_str){ 0 };
    return (struct weir_str){ text, (size_t)snprintf(text, SIZE, "%" PRId64, as_of_ms) };
}

/* -1 if it is none. */
static int64_t read_position(struct weir_str text)
{
    int64_t value = 0;

    if (text.len == 0 || text.len > 18)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        value = value * 10 + (text.data[i] - '0');
    }
    return value;
}

static bool is_behind(void *arg, struct weir_str stored, struct weir_str asked)
{
    return read_position(stored) < read_position(asked);
}

static void inspect(void *arg, struct weir_request *request, struct weir_inspection *out)
{
    struct rw_split *self = arg;
    struct visit visit = visit_of(self, request);
    int64_t as_of_ms;

    out->kind = visit.is_write ? WEIR_WRITE : WEIR_READ;
    if (!visit.wrote_ms)
        return;
    /* The write's own millisecond is not enough: a read may have been sent in its first half, the write
     * answered in its second. */
    as_of_ms = visit.wrote_ms + 1;
    out->not_before_ms = as_of_ms;
    out->position = put_position(self, request, as_of_ms);
    if (!out->position.data)
        out->bypass_cache = true;
}

static bool is_in_window(struct rw_split *self, const struct visit *visit)
{
    return visit->wrote_ms && self->host->wall_ms() - visit->wrote_ms < self->settings.window_ms;
}

static bool has_untried_replica(const struct weir_candidate *candidates, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct weir_candidate *candidate = weir_candidate_at(candidates, i);

        if (candidate->role == WEIR_REPLICA && candidate->is_usable && !candidate->was_tried)
            return true;
    }
    return false;
}

static void choose(void *arg, struct weir_request *request, const struct weir_candidate *candidates,
                   unsigned count, bool is_last_call, struct weir_choice *out)
{
    struct rw_split *self = arg;
    struct visit visit = visit_of(self, request);

    out->kind = WEIR_ROLES;
    out->roles = WEIR_ROLES_PRIMARY;
    if (visit.is_write) {
        out->why = "write";
        return;
    }
    if (is_in_window(self, &visit)) {
        /* No way back to a replica: an error is better than one's own write gone without a word. */
        out->why = "own-write";
        return;
    }
    out->falls_back = true;
    if (has_untried_replica(candidates, count)) {
        out->roles = WEIR_ROLES_REPLICA;
        out->why = "read";
    } else {
        out->why = "read-no-replica";
    }
}

/* Whatever became of a write that a server was asked for, it may have left something behind: a reply that
 * says 500, or that never came, is no promise that nothing happened. (Rails' DatabaseSelector marks the time
 * in an `ensure` for this.) */
static void answer_write(struct rw_split *self, struct weir_request *request, struct weir_verdict *out)
{
    struct token_scope scope = { .tenant = self->host->tenant(request),
                                 .domain = self->host->domain(request) };
    char *token = self->host->alloc(request, TOKEN_SIZE);
    size_t len = 0;

    if (token)
        len = token_write(&self->settings.ring, &scope, self->host->wall_ms(), token);
    if (len == 0) {
        self->host->log(WEIR_LOG_WARN,
                        "rw_split: no room for a token; this client may not read its own write");
        return;
    }
    out->token = (struct weir_str){ token, len };
    out->token_age_s = TOKEN_LIFE_MS / 1000;
}

static void answered(void *arg, struct weir_request *request, const struct weir_answer *answer,
                     struct weir_verdict *out)
{
    struct rw_split *self = arg;
    int64_t as_of_ms = answer->sent_ms;

    if (self->settings.consistency == CONSISTENCY_NONE || answer->sent_ms <= 0)
        return;
    if (visit_of(self, request).is_write) {
        answer_write(self, request, out);
        return;
    }
    if (answer->is_weirs_own)
        return;
    /* The window is how far replicas are taken to be behind at worst. */
    if (answer->role == WEIR_REPLICA)
        as_of_ms -= self->settings.window_ms;
    out->position = put_position(self, request, as_of_ms);
}

WEIR_EXPORT const struct weir_plugin weir_plugin = {
    .size = sizeof(struct weir_plugin),
    .abi_major = WEIR_PLUGIN_ABI_MAJOR,
    .abi_minor = WEIR_PLUGIN_ABI_MINOR,
    .name = "rw_split",
    .version = PLUGIN_VERSION,
    .configure = configure,
    .destroy = destroy,
    .inspect = inspect,
    .choose = choose,
    .answered = answered,
    .is_behind = is_behind,
};
