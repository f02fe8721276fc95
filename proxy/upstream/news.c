#include "upstream/news.h"

#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "upstream/server.h"

#define QUIET_FIRST_NS (1 * NS_PER_S)
#define QUIET_MAX_NS   (60 * NS_PER_S)
#define CALM_NS        (120 * NS_PER_S) /* without a line: then the next one comes at once again */

#define LOAD(field)    atomic_load_explicit(&(field), memory_order_relaxed)

/* --- what is so --- */

/* A break of traffic's ends by itself; whether the server is well shows the first request that succeeds. */
static bool is_out(const struct upstream *upstream, const struct server *server, int64_t now_ns)
{
    return !LOAD(server->is_healthy) || LOAD(server->out_until_ns) > now_ns ||
           LOAD(server->failures) >= server_fall(upstream);
}

/* --- what is said of it --- */

static const char *role_word(const struct server *server)
{
    return server_role(server) == ROLE_PRIMARY ? "primary" : "replica";
}

static void put_why(const struct upstream *upstream, const struct server *server, int64_t now_ns, char *out,
                    size_t size)
{
    int why = LOAD(server->why_unhealthy);
    if (!LOAD(server->is_healthy)) {
        if (why > 0)
            snprintf(out, size, "is out: its health check says %d", why);
        else
            snprintf(out, size, "is out: its health check fails: %s", err_word(why));
        return;
    }
    why = LOAD(server->why_failed);
    bool is_used = LOAD(server->out_until_ns) <= now_ns;
    snprintf(out, size, "%s: %d requests in a row failed, the last one with %s",
             is_used ? "fails, and stays in for want of another" : "is out", server_fall(upstream),
             err_word(why));
}

/* "; it changed 12 times more since the last line", or nothing. */
static void put_untold(const struct server *server, char *out, size_t size)
{
    unsigned untold = server->told.untold;
    out[0] = '\0';
    if (untold > 0)
        snprintf(out, size, "; unsaid since the last line: %u change%s", untold, untold == 1 ? "" : "s");
}

static void be_quiet(struct server_told *told, int64_t now_ns)
{
    told->quiet_until_ns =
        now_ns + min_i64(QUIET_MAX_NS, QUIET_FIRST_NS << (told->lines < 6 ? told->lines : 6));
    told->lines++;
    told->untold = 0;
}

/* A change is counted when it is seen, whether it is told or not; the one that is told is not among the
 * untold.
 */
static bool has_changed(const struct upstream *upstream, struct server *server, int64_t now_ns)
{
    struct server_told *told = &server->told;
    bool is_out_now = is_out(upstream, server, now_ns);
    if (now_ns - told->quiet_until_ns >= CALM_NS)
        told->lines = 0;
    if (is_out_now != told->was_out) {
        told->was_out = is_out_now;
        told->untold++;
    }
    if (is_out_now == told->is_out || now_ns < told->quiet_until_ns)
        return false;
    told->untold--;
    return true;
}

static enum news tell_name(const struct upstream *upstream, struct server *server, char *line)
{
    server->told.is_nameless = !server->told.is_nameless;
    snprintf(line, NEWS_SIZE, "upstream %.*s: %s: %s", STR_FMT(upstream->name), server->addr.text,
             server->told.is_nameless ? "this name cannot be resolved; it is looked up again and again"
                                      : "this name can be resolved now");
    return server->told.is_nameless ? NEWS_BAD : NEWS_GOOD;
}

enum news server_news(const struct upstream *upstream, struct server *server, int64_t now_ns, char *line)
{
    struct server_told *told = &server->told;
    char what[192];
    char untold[64];
    if (endpoint_is_lost(server->endpoint) != told->is_nameless)
        return tell_name(upstream, server, line);
    if (!has_changed(upstream, server, now_ns))
        return NEWS_NONE;
    told->is_out = !told->is_out;
    if (told->is_out) {
        told->since_ns = now_ns;
        put_why(upstream, server, now_ns, what, sizeof what);
    } else {
        snprintf(what, sizeof what, "is back after %.1f s",
                 (double)(now_ns - told->since_ns) / (double)NS_PER_S);
    }
    put_untold(server, untold, sizeof untold);
    be_quiet(told, now_ns);
    snprintf(line, NEWS_SIZE, "upstream %.*s: %s %s %s%s", STR_FMT(upstream->name), role_word(server),
             server->addr.text, what, untold);
    return told->is_out ? NEWS_BAD : NEWS_GOOD;
}
