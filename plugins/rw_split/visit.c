/* What is this request: a read or a write, and what must its client see? */
#include "split.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "graphql_request.h"

#define TELL_EVERY_MS 60000

/* RFC 9110 9.2.1. Methods are case-sensitive, and what is not known to be safe may write. */
static bool is_safe(struct weir_str method)
{
    static const char *const safe[] = { "GET", "HEAD", "OPTIONS", "TRACE" };

    for (size_t i = 0; i < sizeof safe / sizeof safe[0]; i++)
        if (method.len == strlen(safe[i]) && memcmp(method.data, safe[i], method.len) == 0)
            return true;
    return false;
}

static bool is_word(struct weir_str text, const char *word)
{
    return text.data && text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

/* Who is trusted knows best; then what the config says of the path, a write before a read; then the body;
 * then the method. */
static enum kind kind_of(struct rw_split *self, const struct weir_request *request)
{
    const struct weir_host *host = self->host;
    const struct settings *settings = &self->settings;
    struct weir_str method = host->method(request);
    bool has_paths = settings->read.count || settings->write.count || settings->graphql.count;
    struct weir_str said = { 0 }, path = { 0 };

    if (host->is_trusted(request))
        said = host->field(request, settings->kind_header);
    if (is_word(said, "read"))
        return KIND_READ;
    if (is_word(said, "write"))
        return KIND_WRITE;
    if (has_paths)
        path = host->path(request);
    if (patterns_have(&settings->write, method, path))
        return KIND_WRITE;
    if (patterns_have(&settings->read, method, path))
        return KIND_READ;
    if (is_safe(method))
        return KIND_READ;
    return host->has_body(request) && patterns_have(&settings->graphql, method, path) ? KIND_BY_BODY
                                                                                      : KIND_WRITE;
}

/* What is not understood is a write. */
void visit_settle_kind(struct rw_split *self, struct weir_request *request, struct visit *visit)
{
    const struct weir_host *host = self->host;
    struct weir_str target = host->target(request);
    struct graphql_request graphql = { .content_type = host->field(request, "Content-Type") };
    const char *question = target.len ? memchr(target.data, '?', target.len) : NULL;

    if (visit->kind != KIND_BY_BODY)
        return;
    visit->kind = KIND_WRITE;
    graphql.body = host->body(request);
    if (!graphql.body.data || host->field(request, "Content-Encoding").data)
        return;
    if (question)
        graphql.query_string =
            (struct weir_str){ question + 1, target.len - (size_t)(question + 1 - target.data) };
    if (graphql_request_is_read(&graphql, self->settings.graphql_reads, self->settings.graphql_read_count))
        visit->kind = KIND_READ;
}

static enum consistency consistency_of(struct rw_split *self, const struct weir_request *request)
{
    enum consistency said = self->settings.consistency;
    struct weir_str word = self->host->route_option(request, "consistency");

    if (word.data)
        consistency_parse(word, &said);
    return said;
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

static void count_states(struct rw_split *self, const struct tokens *tokens)
{
    static const char *const events[TOKEN_STATES] = {
        [TOKEN_FORGED] = "token_forged", [TOKEN_EXPIRED] = "token_expired", [TOKEN_FOREIGN] = "token_foreign"
    };

    for (unsigned state = 0; state < TOKEN_STATES; state++) {
        if (tokens->states[state] == 0)
            continue;
        atomic_fetch_add_explicit(&self->seen[state], tokens->states[state], memory_order_relaxed);
        for (unsigned i = 0; i < tokens->states[state] && events[state]; i++)
            split_count(self, events[state]);
        if (events[state])
            tell_of_ignored(self);
    }
}

/* An API client may send cookie and header, and one of them may be left over: both count. */
static void read_tokens(struct rw_split *self, struct weir_request *request, struct visit *visit)
{
    const struct weir_host *host = self->host;
    struct weir_str header = host->field(request, "Weir-Position");
    struct weir_str cookie = host->cookie(request, "weir_position");
    struct tokens tokens = { 0 };
    struct token_scope scope;
    struct token *others;
    int64_t now_ms;

    if (!header.data && !cookie.data)
        return;
    scope = (struct token_scope){ .tenant = host->tenant(request), .domain = host->domain(request) };
    now_ms = host->wall_ms();
    tokens_read(&tokens, &self->settings.ring, &scope, header, now_ms);
    tokens_read(&tokens, &self->settings.ring, &scope, cookie, now_ms);
    count_states(self, &tokens);
    visit->seen = visit->token_seen = tokens.own.seen;
    visit->issued_ms = visit->wrote_ms = tokens.own.issued_ms;
    if (tokens.other_count == 0)
        return;
    others = host->alloc(request, tokens.other_count * sizeof *others);
    if (!others)
        return;
    memcpy(others, tokens.others, tokens.other_count * sizeof *others);
    visit->others = others;
    visit->other_count = tokens.other_count;
}

bool visit_has_positions(const struct rw_split *self, const struct visit *visit)
{
    return visit->consistency >= CONSISTENCY_POSITION &&
           (self->postgres || visit->seen.at.is_known || servers_know(self->servers));
}

struct visit *visit_of(struct rw_split *self, struct weir_request *request, struct visit *room)
{
    struct visit *kept = self->host->get(request);

    if (kept)
        return kept;
    *room = (struct visit){ .consistency = consistency_of(self, request), .kind = kind_of(self, request) };
    if (room->consistency != CONSISTENCY_NONE)
        read_tokens(self, request, room);
    if (room->consistency == CONSISTENCY_STRICT && room->kind != KIND_WRITE) {
        int64_t wrote_ms = tenants_last(self->tenants, self->host->tenant(request), &room->seen);

        if (room->wrote_ms < wrote_ms)
            room->wrote_ms = wrote_ms;
    }
    kept = self->host->alloc(request, sizeof *kept);
    if (!kept)
        return room;
    *kept = *room;
    kept->is_kept = true;
    self->host->set(request, kept);
    return kept;
}
