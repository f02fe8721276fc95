/* What a reply says: about its server, about what its client has seen now, and for whom it may be stored. */
#include "split.h"

#include <string.h>
#include <strings.h>

#include "digits.h"
#include "fly.h"

/* --- texts that go with a stored reply --- */

static struct weir_str keep_text(struct rw_split *self, struct weir_request *request, const char *text,
                                 size_t len)
{
    char *kept = self->host->alloc(request, len + 1);

    if (!kept)
        return (struct weir_str){ 0 };
    memcpy(kept, text, len + 1);
    return (struct weir_str){ kept, len };
}

/* By the window: the time until which every write is known to be in a reply, in unix ms. */
static struct weir_str put_time(struct rw_split *self, struct weir_request *request, int64_t as_of_ms)
{
    char text[DIGITS_SIZE];

    return keep_text(self, request, text, (size_t)(put_ms(text, as_of_ms) - text));
}

/* -1 if it is none. */
static int64_t read_time(struct weir_str text)
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

/* A reply stored by position, asked for by time: a route may have changed its mind, or share with another. */
static int64_t time_of_stored(const struct rw_split *self, struct weir_str stored)
{
    struct origin origin;
    int64_t as_of_ms = read_time(stored);

    if (as_of_ms >= 0 || !origin_parse(stored, &origin))
        return as_of_ms;
    return origin.is_primary ? origin.sent_ms : origin.sent_ms - self->settings.window_ms;
}

bool answer_is_behind(const struct rw_split *self, struct weir_str stored, struct weir_str asked)
{
    int64_t asked_ms = read_time(asked);
    struct origin origin;
    struct seen seen;

    if (asked_ms >= 0)
        return time_of_stored(self, stored) < asked_ms;
    return !asked_parse(asked, &seen) || !origin_parse(stored, &origin) || !origin_covers(&origin, &seen) ||
           servers_may_be_past(self->servers, seen.at, origin.lower);
}

static void ask_by_time(struct rw_split *self, struct weir_request *request, const struct visit *visit,
                        struct weir_inspection *out)
{
    if (!visit->wrote_ms)
        return;
    /* The write's own millisecond is not enough: a read may have been sent in its first half, the write
     * answered in its second. */
    out->not_before_ms = visit->wrote_ms + 1;
    out->position = put_time(self, request, out->not_before_ms);
    if (!out->position.data)
        out->bypass_cache = true;
}

void answer_ask(struct rw_split *self, struct weir_request *request, struct visit *visit,
                struct weir_inspection *out)
{
    char text[ORIGIN_TEXT_SIZE];

    /* Another weir may have acknowledged what this one knows nothing of, by whatever it goes. */
    if (visit->consistency == CONSISTENCY_STRICT && self->host->is_in_fleet()) {
        out->bypass_cache = true;
        return;
    }
    if (!visit_has_positions(self, visit)) {
        ask_by_time(self, request, visit, out);
        return;
    }
    servers_resolve(self->servers, &visit->seen, self->host->wall_ms());
    if (seen_is_nothing(&visit->seen))
        return;
    out->position = keep_text(self, request, text, asked_put(&visit->seen, text));
    if (!out->position.data)
        out->bypass_cache = true;
}

/* --- tokens --- */

static void give_token(struct rw_split *self, struct weir_request *request, const struct visit *visit,
                       const struct seen *seen, bool is_of_write, struct weir_verdict *out)
{
    const struct weir_host *host = self->host;
    struct token_scope scope = { .tenant = host->tenant(request), .domain = host->domain(request) };
    struct tokens tokens = { .other_count = visit->other_count, .strays = visit->strays };
    char text[TOKENS_SIZE];
    size_t len;

    tokens.own.seen = *seen;
    tokens.own.issued_ms = host->wall_ms();
    if (tokens.own.issued_ms < visit->issued_ms) /* by another weir's clock, which is ahead */
        tokens.own.issued_ms = visit->issued_ms;
    tokens.own.wrote_ms = is_of_write ? tokens.own.issued_ms : visit->token_wrote_ms;
    if (tokens.other_count)
        memcpy(tokens.others, visit->others, tokens.other_count * sizeof tokens.others[0]);
    len = tokens_write(&tokens, &self->settings.ring, &scope, text);
    if (len)
        out->token = keep_text(self, request, text, len);
    if (!out->token.data) {
        host->log(WEIR_LOG_WARN, "rw_split: no room for a token; this client may not read its own write");
        return;
    }
    out->token_age_s = TOKEN_LIFE_MS / 1000;
    out->is_of_write = is_of_write;
}

/* Does the client's own token promise as much already? Not what became of it here: a source that was resolved
 * by one sample may be resolved to something earlier by a closer one. */
static bool has_promise(const struct seen *token, const struct seen *more)
{
    if (!position_promises(token->at, more->at))
        return false;
    return !more->has_source || (token->has_source && token->source == more->source &&
                                 token->clock == more->clock && token->at_ms >= more->at_ms);
}

/* Only what moves the client forward is worth a token. */
static void move_on(struct rw_split *self, struct weir_request *request, struct visit *visit,
                    const struct seen *more, struct weir_verdict *out)
{
    struct seen seen;

    if (has_promise(&visit->token_seen, more))
        return;
    servers_resolve(self->servers, &visit->seen, self->host->wall_ms());
    seen = visit->seen;
    seen_merge(&seen, more);
    give_token(self, request, visit, &seen, false, out);
}

/* --- what the app says of itself --- */

static bool said_position(struct rw_split *self, const struct weir_answer *answer, struct position *out)
{
    struct weir_str said = answer->field(answer, "Weir-Position");
    bool has_epoch;

    if (answer->is_weirs_own || !position_parse(said, out, &has_epoch))
        return false;
    *out = servers_complete(self->servers, answer->address, *out, has_epoch);
    return true;
}

/* Of reads only: a write says where it landed, and others may be further. */
void answer_learn(struct rw_split *self, const struct weir_answer *answer)
{
    int slot = servers_find(self->servers, answer->address, answer->index);
    struct position at;
    bool has_epoch;

    if (slot < 0)
        return;
    servers_note_role(self->servers, slot, answer->role == WEIR_PRIMARY);
    if (position_parse(answer->field(answer, "Weir-Position"), &at, &has_epoch))
        servers_told(self->servers, answer->address, answer->sent_ms, self->host->wall_ms(), at, has_epoch);
}

/* The app can't do it there: "Weir-Replay: primary", Fly's word for it, or an error that the config names. */
static bool asks_for_primary(const struct rw_split *self, const struct weir_answer *answer)
{
    struct weir_str said = answer->field(answer, "Weir-Replay");
    const struct settings *settings = &self->settings;

    if (answer->is_weirs_own)
        return false;
    if (said.data && said.len == 7 && strncasecmp(said.data, "primary", 7) == 0)
        return true;
    if (fly_names_primary(answer->field(answer, "fly-replay")))
        return true;
    return settings->read_only_status && answer->status == settings->read_only_status &&
           answer->field(answer, settings->read_only_header).data;
}

/* --- replies --- */

#define ON_ITS_WAY_MS 2000 /* a request or a reply, between client and weir */

/* A browser may have two writes on their way. Whichever reply comes last leaves its token, and that may be of
 * the write which was done first: so a token must not say less than what was acknowledged to others of the
 * tenant, of whom that client may be one, since it set out. Where the app says positions the later one does
 * for both, and costs nobody anything: whatever was done before this write is behind it anyway. */
static void see_overtaking(struct rw_split *self, const struct tenants_key *key, struct visit *visit,
                           const struct weir_answer *answer)
{
    int64_t since_ms = answer->sent_ms;

    if (visit->began_ms && visit->began_ms < since_ms)
        since_ms = visit->began_ms;
    tenants_since(self->tenants, key, since_ms - ON_ITS_WAY_MS, &visit->seen);
}

/* Whatever became of a write that a server was asked for, it may have left something behind: a reply that
 * says 500, or that never came, is no promise that nothing happened. (Rails' DatabaseSelector marks the time
 * in an `ensure` for this.) */
static void answer_to_write(struct rw_split *self, struct weir_request *request, struct visit *visit,
                            const struct weir_answer *answer, struct weir_verdict *out)
{
    struct tenants_key key = visit_tenant(self, request);
    int64_t now_ms = self->host->wall_ms();
    struct seen wrote = { .has_source = true,
                          .source = SOURCE_PRIMARY,
                          .clock = self->clock,
                          .at_ms = now_ms,
                          .until_ms = now_ms };
    struct seen seen;

    split_count(self, "write");
    if (said_position(self, answer, &wrote.at)) {
        wrote.has_source = false;
        servers_landed(self->servers, answer->address, now_ms, wrote.at);
    }
    if (visit->consistency >= CONSISTENCY_POSITION)
        see_overtaking(self, &key, visit, answer);
    tenants_wrote(self->tenants, &key, &wrote, now_ms);
    if (visit->consistency == CONSISTENCY_NONE)
        return;
    /* Nobody goes by positions here, or has said one yet: the time alone. */
    if (visit->consistency == CONSISTENCY_WINDOW || (!wrote.at.is_known && !visit_has_positions(self, visit)))
        wrote = (struct seen){
            .has_source = true, .source = SOURCE_PRIMARY, .at_ms = now_ms, .until_ms = now_ms
        };
    else
        servers_resolve(self->servers, &visit->seen, now_ms);
    seen = visit->seen;
    seen_merge(&seen, &wrote);
    give_token(self, request, visit, &seen, true, out);
}

/* The window is how far replicas are taken to be behind at worst, unless more is known. */
static int64_t as_of_window(struct rw_split *self, const struct weir_answer *answer)
{
    int64_t behind_ms = self->settings.window_ms;

    if (servers_know(self->servers) && answer->address.data) {
        int slot = servers_find(self->servers, answer->address, answer->index);
        int64_t lag_ms = slot < 0 ? -1 : servers_lag_ms(self->servers, slot);

        if (lag_ms > behind_ms)
            behind_ms = lag_ms;
    }
    return answer->sent_ms - behind_ms > 0 ? answer->sent_ms - behind_ms : 1;
}

static void answer_by_time(struct rw_split *self, struct weir_request *request,
                           const struct weir_answer *answer, struct weir_verdict *out)
{
    int64_t as_of_ms = answer->sent_ms;

    if (answer->role == WEIR_REPLICA) {
        as_of_ms = as_of_window(self, answer);
        out->as_of_ms = as_of_ms;
    }
    out->position = put_time(self, request, as_of_ms);
}

/* Until when the reply of a replica knows of all that was written. Where nobody has ever said how far anybody
 * is, lag_max is the operator's word for it. */
static int64_t as_of(struct rw_split *self, const struct origin *origin)
{
    int64_t as_of_ms = servers_as_of(self->servers, origin->lower);

    if (as_of_ms == 0 && self->settings.lag_max_ms < 0)
        return 1; /* not known: of nothing */
    if (as_of_ms == 0)
        as_of_ms = origin->sent_ms - self->settings.lag_max_ms;
    return as_of_ms < origin->sent_ms ? as_of_ms : origin->sent_ms;
}

/* What a reply of that origin shows at most. */
static struct seen seen_of(const struct origin *origin)
{
    struct seen seen = { .at = position_later(origin->lower, origin->upper),
                         .clock = origin->clock,
                         .until_ms = origin->answered_ms };

    if (origin->upper.is_known)
        return seen;
    seen.has_source = true;
    seen.source = origin->server;
    seen.at_ms = origin->answered_ms;
    return seen;
}

static void answer_by_position(struct rw_split *self, struct weir_request *request, struct visit *visit,
                               const struct weir_answer *answer, struct weir_verdict *out)
{
    int slot = servers_find(self->servers, answer->address, answer->index);
    struct origin origin = {
        .is_primary = answer->role == WEIR_PRIMARY,
        .server = servers_tag(answer->address),
        .clock = self->clock,
        .sent_ms = answer->sent_ms,
        .answered_ms = self->host->wall_ms(),
    };
    struct seen seen;
    char text[ORIGIN_TEXT_SIZE];

    /* What the app says it says after its queries: it bounds what they showed from above only. */
    said_position(self, answer, &origin.upper);
    if (slot >= 0)
        origin.lower = servers_lower(self->servers, slot, answer->sent_ms);
    out->position = keep_text(self, request, text, origin_put(&origin, text));
    if (!out->position.data)
        out->forbid_store = true;
    if (!origin.is_primary)
        out->as_of_ms = as_of(self, &origin);
    seen = seen_of(&origin);
    move_on(self, request, visit, &seen, out);
}

void answer_take(struct rw_split *self, struct weir_request *request, const struct weir_answer *answer,
                 struct weir_verdict *out)
{
    struct visit room;
    struct visit *visit = visit_of(self, request, &room);
    bool may_replay = answer->role == WEIR_REPLICA || visit->was_replayed;
    bool is_write = visit->kind != KIND_READ;

    if (may_replay && asks_for_primary(self, answer)) {
        out->replay_to_primary = true; /* the second time weir finds that it goes in a circle */
        out->forbid_store = true;
        if (!visit->was_replayed)
            split_count(self, "replayed");
        visit->is_circle = visit->was_replayed;
        visit->was_replayed = true;
    } else if (visit->was_replayed && !visit->is_circle) {
        is_write = true; /* a replica could not do it */
    }
    if (!is_write && !answer->is_weirs_own && answer->address.data && visit->consistency != CONSISTENCY_NONE)
        answer_learn(self, answer);
    if (is_write)
        answer_to_write(self, request, visit, answer, out);
    else if (answer->is_weirs_own || visit->consistency == CONSISTENCY_NONE)
        return;
    else if (visit_has_positions(self, visit) && answer->address.data)
        answer_by_position(self, request, visit, answer, out);
    else
        answer_by_time(self, request, answer, out);
}

void answer_from_store(struct rw_split *self, struct weir_request *request, struct weir_str position,
                       struct weir_verdict *out)
{
    struct visit room;
    struct visit *visit = visit_of(self, request, &room);
    struct origin origin;
    int64_t now_ms = self->host->wall_ms();
    struct seen seen = { .has_source = true,
                         .source = SOURCE_PRIMARY,
                         .clock = self->clock,
                         .at_ms = now_ms,
                         .until_ms = now_ms };

    if (!visit_has_positions(self, visit))
        return;
    if (origin_parse(position, &origin)) {
        seen = seen_of(&origin);
        servers_resolve(self->servers, &seen, now_ms);
    }
    move_on(self, request, visit, &seen, out);
}
