/* The second half of `weir explain`: which cache rule, times and limits a request would get. */
#include "base/check.h"
#include "base/err.h"
#include "http/caching.h"
#include "http/target.h"
#include "pipeline/own_cookie.h"
#include "explain_inside.h"

/* --- what may the cache do? --- */

static bool counts_as_credential(const struct config_cache_rule *rule, struct str name)
{
    if (name.len == 0 || own_cookie_is(name))
        return false;
    if (!rule || !rule->has_cookies)
        return true;
    for (unsigned i = 0; i < rule->cookie_count; i++) {
        if (str_eq(name, rule->cookies[i]))
            return true;
    }
    return false;
}

static bool has_credential_cookie(const struct explanation *e, const struct config_cache_rule *rule)
{
    for (const struct field *field = message_field(&e->msg, FIELD_COOKIE); field;
         field = message_next(&e->msg, field)) {
        struct str rest = field->value, pair;
        while (str_split(&rest, ';', &pair)) {
            pair = str_trim(pair);
            ptrdiff_t equals = str_find(pair, '=');
            if (counts_as_credential(rule, equals < 0 ? pair : str_n(pair.data, (size_t)equals)))
                return true;
        }
    }
    return false;
}

bool explain_has_body(const struct message *msg)
{
    return msg->framing == FRAMING_CHUNKED || (msg->framing == FRAMING_LENGTH && msg->content_length > 0);
}

static const char *why_past_cache(const struct explanation *e, const struct cache_request *asks)
{
    const struct message *msg = &e->msg;
    if (e->config->cache.memory_bytes == 0)
        return "the cache is off (memory: 0)";
    if (msg->method != METHOD_GET && msg->method != METHOD_HEAD)
        return "only GET and HEAD are answered from it";
    if (e->is_write)
        return "a plugin takes it for a write";
    if (e->bypasses_cache)
        return "a plugin says so";
    if (explain_has_body(msg))
        return "the request has a body";
    if (msg->has_upgrade)
        return "the request asks for an upgrade";
    if (asks->control.is_no_store)
        return "the request says no-store";
    return NULL;
}

static const char *why_no_ttl(const struct explanation *e, const struct config_cache_rule *rule,
                              const struct cache_request *asks)
{
    if (!rule || rule->ttl_ms < 0)
        return "the route has no ttl";
    if (!path_is_plain(e->msg.path))
        return "the path has dot segments, \"//\", \";\", \"\\\" or an encoded separator";
    if (rule->share == SHARE_CREDENTIAL)
        return NULL;
    if (asks->has_authorization)
        return "the request carries Authorization";
    return has_credential_cookie(e, rule) ? "the request carries a cookie that counts as a credential" : NULL;
}

/* "as the reply says, else 3600 s": the route's word, or what holds without one. */
static void put_window(char *out, size_t size, int64_t ms, int64_t fallback_ms)
{
    if (ms != NEVER)
        snprintf(out, size, "%g s", (double)ms / 1000);
    else if (fallback_ms > 0)
        snprintf(out, size, "as the reply says, else %g s", (double)fallback_ms / 1000);
    else
        snprintf(out, size, "as the reply says");
}

static void explain_stale(const struct explanation *e, const struct config_cache_rule *rule)
{
    char renewing[64], failing[64];
    put_window(renewing, sizeof renewing, rule ? rule->stale_while_revalidate_ms : NEVER, 0);
    put_window(failing, sizeof failing, rule ? rule->stale_if_error_ms : NEVER,
               e->config->cache.stale_if_error_ms);
    explain_say(e, "", "stale while a fresh one is fetched: %s; when the app fails: %s", renewing, failing);
    if (rule && rule->brownout_ms > 0)
        explain_say(e, "", "and when the app is full: %g s (brownout)", (double)rule->brownout_ms / 1000);
}

/* "a, b"; cut where it gets too long. */
static void put_tags(char *out, size_t size, const struct config_cache_rule *rule)
{
    size_t len = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < rule->tag_count && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%.*s", i > 0 ? ", " : "", STR_FMT(rule->tags[i]));
}

static void put_ignored(char *out, size_t size, const struct config_cache_rule *rule)
{
    static const char *const words[] = {
        [IGNORABLE_NO_CACHE] = "no-cache",   [IGNORABLE_NO_STORE] = "no-store",
        [IGNORABLE_MAX_AGE] = "max-age",     [IGNORABLE_MIN_FRESH] = "min-fresh",
        [IGNORABLE_MAX_STALE] = "max-stale", [IGNORABLE_ONLY_IF_CACHED] = "only-if-cached",
    };
    size_t len = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < COUNT_OF(words) && len < size; i++) {
        if (rule->ignored & 1U << i)
            len += (size_t)snprintf(out + len, size - len, "%s%s", len > 0 ? ", " : "", words[i]);
    }
}

/* What a rule says besides how long. */
static void explain_rule(const struct explanation *e, const struct config_cache_rule *rule)
{
    char text[512];
    if (rule->is_heuristic_off)
        explain_say(e, "", "no freshness is guessed from Last-Modified (heuristic: false)");
    if (rule->is_for_all_tenants)
        explain_say(e, "", "shared by all tenants (scope: all_tenants)");
    if (rule->is_query_sorted)
        explain_say(e, "", "parameters in another order are the same question (query: sorted)");
    if (rule->is_refresh_off)
        explain_say(e, "", "not fetched again ahead of time (refresh_ahead: false)");
    put_tags(text, sizeof text, rule);
    if (text[0])
        explain_say(e, "", "tags: %s", text);
    put_ignored(text, sizeof text, rule);
    if (text[0])
        explain_say(e, "", "means nothing in requests: %s (ignore)", text);
}

void explain_cache(const struct explanation *e)
{
    static const char *const shares[] = {
        [SHARE_PUBLIC] = "public",
        [SHARE_TENANT] = "tenant",
        [SHARE_CREDENTIAL] = "credential",
    };
    const struct config_cache_rule *rule = e->route && e->route->has_cache ? &e->route->cache : NULL;
    struct cache_request asks;
    cache_request_read(&e->msg, &asks);
    if (rule)
        cache_request_ignore(&asks, rule->ignored);
    const char *past = why_past_cache(e, &asks);
    if (past) {
        explain_say(e, "cache", "passed by: %s", past);
        return;
    }
    const char *no_ttl = why_no_ttl(e, rule, &asks);
    explain_say(e, "cache", "answers with a freshness of their own are used%s",
                e->msg.method != METHOD_GET ? ", none is stored (HEAD)"
                : asks.has_range            ? ", none is stored (a range)"
                                            : " and stored");
    if (no_ttl)
        explain_say(e, "", "others are not: %s", no_ttl);
    else
        explain_say(e, "", "others for %g s by the route's ttl; share: %s", (double)rule->ttl_ms / 1000,
                    shares[rule->share]);
    explain_stale(e, rule);
    if (rule)
        explain_rule(e, rule);
    if (e->config->cache.redis.is_given)
        explain_say(e, "", "then the second tier (redis) is asked, for at most %lld ms",
                    (long long)e->config->cache.redis.budget_ms);
    if (asks.is_no_cache)
        explain_say(e, "", "the request says no-cache: what is stored is validated first");
}

/* --- limits and times --- */

static void print_ms(const struct explanation *e, const char *name, int64_t ms, bool is_last)
{
    if (ms == NEVER)
        fprintf(e->out, "%s unlimited%s", name, is_last ? "\n" : ", ");
    else
        fprintf(e->out, "%s %g s%s", name, (double)ms / 1000, is_last ? "\n" : ", ");
}

static int64_t own_or(int64_t own, int64_t other)
{
    return own == INT64_MIN ? other : own;
}

void explain_times(const struct explanation *e)
{
    struct config_timeouts t = e->upstream->timeouts;
    if (e->route) {
        t.connect_ms = own_or(e->route->timeouts.connect_ms, t.connect_ms);
        t.first_byte_ms = own_or(e->route->timeouts.first_byte_ms, t.first_byte_ms);
        t.idle_ms = own_or(e->route->timeouts.idle_ms, t.idle_ms);
        t.total_ms = own_or(e->route->timeouts.total_ms, t.total_ms);
    }
    fprintf(e->out, "%-10s ", "timeouts");
    print_ms(e, "connect", t.connect_ms, false);
    print_ms(e, "first byte", t.first_byte_ms, false);
    print_ms(e, "idle", t.idle_ms, false);
    print_ms(e, "total", t.total_ms, true);
}

void explain_limits(const struct explanation *e)
{
    static const char *const priorities[] = {
        [PRIORITY_HIGH] = "high",
        [PRIORITY_NORMAL] = "normal",
        [PRIORITY_LOW] = "low",
    };
    const struct config_tenant *limits = e->limits;
    const struct config_upstream *upstream = e->upstream;
    double burst = limits->burst > 0 ? limits->burst : limits->rate_per_s > 1 ? limits->rate_per_s : 1;
    if (limits->rate_per_s < 0)
        explain_say(e, "limits", "tenant: rate unlimited");
    else
        explain_say(e, "limits", "tenant: rate %g/s, burst %g (then 429 tenant-rate)", limits->rate_per_s,
                    burst);
    if (limits->concurrency >= 0)
        explain_say(e, "", "tenant: %lld at once (then 429 tenant-concurrency)",
                    (long long)limits->concurrency);
    if (e->config->clients.rate_per_s >= 0 && !e->is_trusted)
        explain_say(e, "", "address: rate %g/s (then 429 address-rate)", e->config->clients.rate_per_s);
    if (upstream->limit_concurrency >= 0)
        explain_say(e, "", "upstream: %lld at once, %lld more wait for at most %g s; weight %u, priority %s",
                    (long long)upstream->limit_concurrency, (long long)upstream->limit_queue,
                    (double)upstream->limit_queue_ms / 1000, limits->weight,
                    priorities[e->route ? e->route->priority : PRIORITY_NORMAL]);
    else
        explain_say(e, "", "upstream: unlimited");
}
