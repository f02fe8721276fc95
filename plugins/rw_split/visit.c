/* What is this request: a read or a write, and what must its client see? */
#include "split.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "graphql_request.h"

#define TELL_EVERY_MS 60000
#define LINES_MAX     16 /* of a client's Weir-Position that are looked at */

/* RFC 9110 9.2.1. Methods are case-sensitive, and what is not known to be safe may write. */
static const char *const safe_methods[] = { "GET", "HEAD", "OPTIONS", "TRACE" };
#define SAFE_COUNT (sizeof safe_methods / sizeof safe_methods[0])

static bool is_safe(struct weir_str method)
{
    for (size_t i = 0; i < SAFE_COUNT; i++)
        if (method.len == strlen(safe_methods[i]) && memcmp(method.data, safe_methods[i], method.len) == 0)
            return true;
    return false;
}

static bool is_word(struct weir_str text, const char *word)
{
    return text.data && text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

/* Frameworks take them in any case. */
static bool is_safe_override(struct weir_str method)
{
    for (size_t i = 0; i < SAFE_COUNT; i++)
        if (method.len == strlen(safe_methods[i]) &&
            strncasecmp(method.data, safe_methods[i], method.len) == 0)
            return true;
    return false;
}

/* A safe method that is to be taken for another, as app frameworks do: a GET that deletes. Only trusted peers
 * are asked, weir lets nobody else's through. It makes no read of a write, since the app may not heed it. */
static bool is_overridden(const struct weir_host *host, const struct weir_request *request)
{
    static const char *const names[] = { "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct weir_str said = host->field(request, names[i]);

        if (said.data && (!is_safe_override(said) || host->field_line(request, names[i], 1).data))
            return true;
    }
    return false;
}

/* Who is trusted knows best; then what the config says of the path, a write before a read; then the body;
 * then the method. */
static enum kind kind_of(struct rw_split *self, const struct weir_request *request)
{
    const struct weir_host *host = self->host;
    const struct settings *settings = &self->settings;
    struct weir_str method = host->method(request);
    bool has_paths = settings->read.count || settings->write.count || settings->graphql.count;
    bool is_trusted = host->is_trusted(request);
    struct weir_str said = { 0 }, path = { 0 };

    if (is_trusted)
        said = host->field(request, settings->kind_header);
    if (is_word(said, "read"))
        return KIND_READ;
    if (is_word(said, "write") || (is_trusted && is_overridden(host, request)))
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
    struct graphql_request graphql = { .body = { NULL, 0 } };
    struct weir_str target;
    const char *question;

    if (visit->kind != KIND_BY_BODY)
        return;
    visit->kind = KIND_WRITE;
    graphql.body = host->body(request);
    if (!graphql.body.data || host->field(request, "Content-Encoding").data)
        return;
    graphql.content_type = host->field(request, "Content-Type");
    target = host->target(request);
    question = target.len ? memchr(target.data, '?', target.len) : NULL;
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

/* What is not for here, but would be gone if the next token were all that is left in the cookie. */
static void carry_along(struct rw_split *self, struct weir_request *request, struct visit *visit,
                        const struct tokens *tokens)
{
    char text[STRAYS_BYTES];
    size_t len = tokens_strays(tokens, text);
    struct token *others = NULL;
    char *strays = NULL;

    if (tokens->other_count)
        others = self->host->alloc(request, tokens->other_count * sizeof *others);
    if (others) {
        memcpy(others, tokens->others, tokens->other_count * sizeof *others);
        visit->others = others;
        visit->other_count = tokens->other_count;
    }
    if (len)
        strays = self->host->alloc(request, len);
    if (strays) {
        memcpy(strays, text, len);
        visit->strays = (struct weir_str){ strays, len };
    }
}

static int64_t by_our_clock(int64_t ms, int64_t now_ms)
{
    return ms + CLOCK_SKEW_MS < now_ms ? ms + CLOCK_SKEW_MS : now_ms;
}

/* What a client saw it saw before this request came: so another clock's time, however far ahead it may be, is
 * no later than now by ours. It can be resolved by the next samples, not only when the skew is over. */
static void set_clock(const struct rw_split *self, struct seen *seen, int64_t now_ms)
{
    if (seen_is_nothing(seen) || seen->clock == self->clock)
        return;
    seen->at_ms = by_our_clock(seen->at_ms, now_ms);
    seen->until_ms = by_our_clock(seen->until_ms, now_ms);
    seen->clock = self->clock;
}

/* Of all tokens together. */
static void note_own(struct rw_split *self, struct visit *visit, const struct token *own, int64_t now_ms)
{
    visit->seen = visit->token_seen = own->seen;
    set_clock(self, &visit->seen, now_ms);
    visit->issued_ms = own->issued_ms;
    visit->token_wrote_ms = own->wrote_ms;
    /* The window is about writes. Who should go by positions and can't, since nobody has said one here, must
     * not fall behind what he has read either. */
    visit->wrote_ms = visit->consistency == CONSISTENCY_WINDOW ? own->wrote_ms : own->issued_ms;
    /* Another weir's clock may have said when. */
    if (visit->wrote_ms && self->host->is_in_fleet())
        visit->wrote_ms += CLOCK_SKEW_MS;
}

/* The last line first: who adds lines adds the newest at the end. */
static void read_header(struct rw_split *self, struct weir_request *request, struct tokens *tokens,
                        const struct token_scope *scope, int64_t now_ms)
{
    struct weir_str lines[LINES_MAX];
    unsigned count = 0;

    do
        lines[count] = self->host->field_line(request, "Weir-Position", count);
    while (lines[count].data && ++count < LINES_MAX);
    while (count-- > 0)
        tokens_read(tokens, &self->settings.ring, scope, lines[count], now_ms);
}

/* An API client may send cookie and header, and one of them may be left over: both count. So do several lines
 * of the header, and several cookies, which weir hands over as one. */
static void read_tokens(struct rw_split *self, struct weir_request *request, struct visit *visit,
                        bool has_header, struct weir_str cookie)
{
    const struct weir_host *host = self->host;
    struct token_scope scope = { .tenant = host->tenant(request), .domain = host->domain(request) };
    struct tokens tokens = { 0 };
    int64_t now_ms = host->wall_ms();

    if (has_header)
        read_header(self, request, &tokens, &scope, now_ms);
    tokens_read(&tokens, &self->settings.ring, &scope, cookie, now_ms);
    count_states(self, &tokens);
    note_own(self, visit, &tokens.own, now_ms);
    carry_along(self, request, visit, &tokens);
}

/* Most requests bring none, and do not pay for tokens' room (kilobytes). */
static void look_for_tokens(struct rw_split *self, struct weir_request *request, struct visit *visit)
{
    struct weir_str header = self->host->field(request, "Weir-Position");
    struct weir_str cookie = self->host->cookie(request, "weir_position");

    if (header.data || cookie.data)
        read_tokens(self, request, visit, header.data != NULL, cookie);
}

struct tenants_key visit_tenant(const struct rw_split *self, const struct weir_request *request)
{
    return (struct tenants_key){ .domain = self->host->domain(request),
                                 .tenant = self->host->tenant(request) };
}

static void look_at_tenant(struct rw_split *self, struct weir_request *request, struct visit *visit)
{
    struct tenants_key key = visit_tenant(self, request);
    int64_t wrote_ms = tenants_last(self->tenants, &key, self->host->wall_ms(), &visit->seen);

    if (visit->wrote_ms < wrote_ms)
        visit->wrote_ms = wrote_ms;
}

bool visit_has_positions(const struct rw_split *self, const struct visit *visit)
{
    /* A token of a clock was given where positions were known: there are some, they only have not come here.
     */
    return visit->consistency >= CONSISTENCY_POSITION &&
           (self->postgres || visit->seen.at.is_known || visit->token_seen.clock ||
            servers_know(self->servers));
}

struct visit *visit_of(struct rw_split *self, struct weir_request *request, struct visit *room)
{
    struct visit *kept = self->host->get(request);
    struct visit *visit;

    if (kept)
        return kept;
    kept = self->host->alloc(request, sizeof *kept);
    visit = kept ? kept : room;
    *visit = (struct visit){ .is_kept = kept != NULL,
                             .consistency = consistency_of(self, request),
                             .kind = kind_of(self, request) };
    /* What a route's own reads need not see others may have to: a write counts by the upstream's word. */
    if (visit->consistency == CONSISTENCY_NONE && visit->kind == KIND_WRITE)
        visit->consistency = self->settings.consistency;
    if (visit->consistency != CONSISTENCY_NONE)
        look_for_tokens(self, request, visit);
    if (visit->consistency == CONSISTENCY_STRICT && visit->kind != KIND_WRITE)
        look_at_tenant(self, request, visit);
    if (visit->kind != KIND_READ)
        visit->began_ms = self->host->wall_ms();
    if (kept)
        self->host->set(request, kept);
    return visit;
}
