/* The second tier as a worker sees it: real Redis servers, good ones and sick ones. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "fleet/tier.h"
#include "servers.h"

#define HEAD    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
#define PRIMARY "acme\0http\0example.com\0/items"

static struct loop *loop;
static struct server server;
static struct tier *tier;

/* --- a question, and what became of it --- */

struct question {
    struct tier_get get;
    unsigned calls;
    enum tier_miss miss;
    char body[64];
    uint64_t seq;
    int64_t took_ns;
    int64_t began_ns;
    struct str accept; /* the request's own; data NULL: cannot be said */
    uint64_t seq_min;
};

static struct str vary_key(struct tier_get *get, struct str vary)
{
    struct question *question = get->arg;
    cr_assert(str_eq(vary, STR("accept")));
    return question->accept;
}

static bool may_use(struct tier_get *get, const struct value *value)
{
    struct question *question = get->arg;
    return value->seq >= question->seq_min;
}

static void on_done(struct tier_get *get, const struct value *value, enum tier_miss miss)
{
    struct question *question = get->arg;
    question->calls++;
    question->miss = miss;
    question->took_ns = clock_mono_ns() - question->began_ns;
    cr_assert_eq(value != NULL, miss == TIER_FOUND);
    if (!value)
        return;
    str_copy(value->body, question->body, sizeof question->body);
    question->seq = value->seq;
    cr_assert_eq(value->status, 200);
    cr_assert(str_eq(value->head, STR(HEAD)));
}

static enum tier_miss begin(struct question *question)
{
    question->calls = 0;
    question->body[0] = '\0';
    question->get =
        (struct tier_get){ .primary = question->get.primary.data ? question->get.primary : STR(PRIMARY),
                           .selector = question->get.selector.data ? question->get.selector : STR("sel"),
                           .vary_key = vary_key,
                           .may_use = may_use,
                           .on_done = on_done,
                           .arg = question };
    loop_turn(loop, 0);
    question->began_ns = clock_mono_ns();
    return question->miss = tier_get(tier, &question->get);
}

static enum tier_miss look(struct question *question)
{
    if (begin(question) != TIER_FOUND)
        return question->miss;
    turn_until_count(loop, &question->calls, 1);
    cr_assert_eq(question->calls, 1);
    cr_assert_null(question->get.trip);
    return question->miss;
}

static enum tier_miss look_plain(void)
{
    struct question question = { 0 };
    return look(&question);
}

static struct value answer(const char *body)
{
    return (struct value){ .primary = STR(PRIMARY),
                           .selector = STR("sel"),
                           .status = 200,
                           .seq = 7,
                           .stored_wall_ms = 1000,
                           .fetched_wall_ms = 1000,
                           .lifetime_ms = 60000,
                           .head = STR(HEAD),
                           .body = str_of(body) };
}

static void wait_count(enum tier_count count, uint64_t want)
{
    int64_t end_ns = clock_mono_ns() + WAIT_MS * NS_PER_MS;
    while (tier_count(tier, count) < want) {
        cr_assert_lt(clock_mono_ns(), end_ns, "only %lu %s", (unsigned long)tier_count(tier, count),
                     tier_count_word(count));
        loop_turn(loop, 20);
    }
}

/* Turns until Redis has a tombstone. */
static void wait_tomb(void)
{
    int64_t end_ns = clock_mono_ns() + WAIT_MS * NS_PER_MS;
    while (strstr(server_do(&server, "KEYS *:t"), "*0")) {
        cr_assert_lt(clock_mono_ns(), end_ns);
        loop_turn(loop, 20);
    }
}

static void put(const struct value *value)
{
    uint64_t stored = tier_count(tier, TIER_COUNT_stored);
    tier_put(tier, value, 60000);
    wait_count(TIER_COUNT_stored, stored + 1);
}

static void wait_state(enum tier_state state)
{
    int64_t end_ns = clock_mono_ns() + WAIT_MS * NS_PER_MS;
    while (tier_state(tier) != state) {
        cr_assert_lt(clock_mono_ns(), end_ns, "it is %s", tier_state_word(tier_state(tier)));
        loop_turn(loop, 20);
    }
}

/* Patient where the budget is not what is tested: this machine may be busy. */
static enum tier_state last_state;
static unsigned changes;

static void on_change(void *arg, enum tier_state state, const char *why)
{
    cr_assert_eq(state == TIER_UP, *why == '\0');
    cr_assert_eq(state, tier_state(tier));
    last_state = state;
    changes++;
}

static void open_tier(const struct redis_url *url, int64_t budget_ms)
{
    struct tier_options options = {
        .url = url, .budget_ms = budget_ms, .value_bytes_max = 1 << 20, .on_change = on_change
    };
    tier = tier_new(loop, &options);
    cr_assert_not_null(tier);
}

static void start(const char *const *options)
{
    loop = loop_new();
    server_init(&server);
    server_start(&server, options);
    struct redis_url url = server_url(&server);
    open_tier(&url, 2000);
    wait_state(TIER_UP);
}

static void end(void)
{
    tier_free(tier);
    loop_turn(loop, 0);
    loop_free(loop);
    server_fini(&server);
    check_leaks();
}

/* --- what it is for --- */

Test(tier, gives_back_what_was_put)
{
    struct question question = { 0 };
    start(NULL);
    cr_assert_eq(look(&question), TIER_ABSENT);
    struct value value = answer("hello");
    put(&value);
    cr_assert_eq(look(&question), TIER_FOUND);
    cr_assert_str_eq(question.body, "hello");
    cr_assert_eq(question.seq, 7);

    question.get.selector = STR("other");
    cr_assert_eq(look(&question), TIER_ABSENT, "another selector");
    question.get.selector = STR("sel");
    question.get.primary = STR("other\0http\0example.com\0/items");
    cr_assert_eq(look(&question), TIER_ABSENT, "another tenant");
    cr_assert_eq(tier_count(tier, TIER_COUNT_hits), 1);
    cr_assert_eq(tier_count(tier, TIER_COUNT_misses), 3);
    end();
}

Test(tier, shows_the_tenant_in_its_keys)
{
    start(NULL);
    struct value value = answer("hello");
    put(&value);
    const char *keys = server_do(&server, "KEYS weir:1:{acme/*}:*");
    cr_assert(str_has_prefix(str_of(keys), STR("*1\r\n")), "%s", keys);
    value.primary = STR("EVIL}\0http\0a\0/");
    put(&value);
    keys = server_do(&server, "KEYS weir:1:{/*}:*");
    cr_assert(str_has_prefix(str_of(keys), STR("*1\r\n")), "%s", keys);
    end();
}

Test(tier, lets_answers_expire)
{
    start(NULL);
    struct value value = answer("hello");
    put(&value);
    const char *keys = server_do(&server, "KEYS *");
    char command[256];
    const char *key = strstr(keys, "weir:");
    cr_assert_not_null(key);
    snprintf(command, sizeof command, "PTTL %.*s", (int)strcspn(key, "\r"), key);
    const char *ttl = server_do(&server, command);
    cr_assert(atoi(ttl + 1) > 50000 && atoi(ttl + 1) <= 60000, "%s", ttl);

    tier_put(tier, &value, INT64_MAX);
    wait_count(TIER_COUNT_stored, 2);
    ttl = server_do(&server, command);
    cr_assert(atoi(ttl + 1) > 3500000 && atoi(ttl + 1) <= TIER_TTL_MS_MAX, "%s", ttl);
    tier_put(tier, &value, 0);
    cr_assert_eq(tier_count(tier, TIER_COUNT_skipped), 1);
    end();
}

Test(tier, follows_vary_to_the_right_variant)
{
    struct question question = { 0 };
    start(NULL);
    static const char *const accepts[] = { "json", "html" };
    for (unsigned i = 0; i < 2; i++) {
        struct value value = answer(accepts[i]);
        value.vary = STR("accept");
        value.vary_key = str_of(accepts[i]);
        put(&value);
    }
    for (unsigned i = 0; i < 2; i++) {
        question.accept = str_of(accepts[i]);
        cr_assert_eq(look(&question), TIER_FOUND);
        cr_assert_str_eq(question.body, accepts[i]);
    }
    question.accept = STR("xml");
    cr_assert_eq(look(&question), TIER_ABSENT);
    question.accept = (struct str){ NULL, 0 };
    cr_assert_eq(look(&question), TIER_ABSENT);

    struct value plain = answer("plain");
    put(&plain);
    question.accept = STR("json");
    cr_assert_eq(look(&question), TIER_FOUND, "it does not vary any more");
    cr_assert_str_eq(question.body, "plain");
    end();
}

Test(tier, asks_its_caller_whether_a_value_is_young_enough)
{
    struct question question = { .seq_min = 8 };
    start(NULL);
    struct value value = answer("hello");
    put(&value);
    cr_assert_eq(look(&question), TIER_UNUSABLE);
    question.seq_min = 7;
    cr_assert_eq(look(&question), TIER_FOUND);
    end();
}

Test(tier, forgets_what_was_fetched_before_an_unsafe_request)
{
    struct question question = { 0 };
    start(NULL);
    int64_t now_ms = clock_wall_ns() / NS_PER_MS;
    struct value value = answer("old");
    value.fetched_wall_ms = now_ms;
    put(&value);
    cr_assert_eq(look(&question), TIER_FOUND);

    tier_forget(tier, STR(PRIMARY));
    cr_assert_eq(look(&question), TIER_INVALIDATED, "at once, also before Redis knows");
    wait_tomb();
    struct redis_url url = server_url(&server);
    struct tier *first = tier;
    open_tier(&url, 2000);
    wait_state(TIER_UP);
    cr_assert_eq(look(&question), TIER_INVALIDATED, "by another weir too");
    struct value late = answer("late");
    late.fetched_wall_ms = now_ms;
    put(&late);
    cr_assert_eq(look(&question), TIER_INVALIDATED, "and when it is stored only now");
    struct value young = answer("young");
    young.fetched_wall_ms = clock_wall_ns() / NS_PER_MS + TIER_CLOCK_SKEW_MS + 100;
    put(&young);
    cr_assert_eq(look(&question), TIER_FOUND);
    cr_assert_str_eq(question.body, "young");
    tier_free(first);
    end();
}

Test(tier, remembers_invalidations_while_redis_is_away)
{
    struct question question = { 0 };
    start((const char *const[]){ "--appendonly", "yes", "--appendfsync", "always", NULL });
    struct value value = answer("old");
    value.fetched_wall_ms = clock_wall_ns() / NS_PER_MS;
    put(&value);
    server_stop(&server, SIGKILL);
    wait_state(TIER_CONNECTING);
    cr_assert_eq(look(&question), TIER_CLOSED);
    tier_forget(tier, STR(PRIMARY));
    tier_forget(tier, STR(PRIMARY));
    server_start(&server, (const char *const[]){ "--appendonly", "yes", NULL });
    wait_tomb();
    wait_state(TIER_UP);
    cr_assert_eq(look(&question), TIER_INVALIDATED);
    end();
}

Test(tier, distrusts_everything_when_too_many_invalidations_wait)
{
    struct question question = { 0 };
    start((const char *const[]){ "--appendonly", "yes", "--appendfsync", "always", NULL });
    struct value value = answer("old");
    value.fetched_wall_ms = clock_wall_ns() / NS_PER_MS;
    put(&value);
    server_stop(&server, SIGKILL);
    wait_state(TIER_CONNECTING);
    for (unsigned i = 0; i <= TIER_TOMBS_MAX; i++) {
        char primary[32];
        int len = snprintf(primary, sizeof primary, "t%chttp%ch%c/%u", 0, 0, 0, i);
        tier_forget(tier, str_n(primary, (size_t)len));
    }
    server_start(&server, (const char *const[]){ "--appendonly", "yes", NULL });
    wait_state(TIER_UP);
    cr_assert_eq(look(&question), TIER_INVALIDATED);
    end();
}

Test(tier, may_be_called_off_and_freed_with_questions_open)
{
    struct question called_off = { 0 };
    struct question open = { 0 };
    start(NULL);
    cr_assert_eq(begin(&called_off), TIER_FOUND);
    tier_get_cancel(&called_off.get);
    tier_get_cancel(&called_off.get);
    cr_assert_eq(look_plain(), TIER_ABSENT);
    cr_assert_eq(called_off.calls, 0);
    cr_assert_eq(begin(&called_off), TIER_FOUND);
    cr_assert_eq(begin(&open), TIER_FOUND);
    tier_get_cancel(&called_off.get);
    tier_free(tier);
    tier = NULL;
    cr_assert_eq(open.calls, 1);
    cr_assert_eq(open.miss, TIER_FAILED);
    cr_assert_eq(called_off.calls, 0);
    end();
}

/* --- a sick Redis --- */

Test(tier, keeps_its_budget_when_redis_stands_still)
{
    loop = loop_new();
    server_init(&server);
    server_start(&server, NULL);
    struct redis_url url = server_url(&server);
    open_tier(&url, 5);
    wait_state(TIER_UP);
    struct value value = answer("hello");
    put(&value);
    server_pause(&server);
    int64_t worst_ns = 0;
    for (unsigned i = 0; i < 5; i++) {
        struct question question = { 0 };
        cr_assert_eq(look(&question), TIER_LATE, "question %u", i);
        worst_ns = max_i64(worst_ns, question.took_ns);
        cr_assert_geq(question.took_ns, 4 * NS_PER_MS);
    }
    cr_assert_leq(worst_ns, 15 * NS_PER_MS, "%ld us", (long)worst_ns / 1000);
    cr_assert_eq(look_plain(), TIER_CLOSED, "then nobody waits any more");
    cr_assert_eq(tier_state(tier), TIER_PAUSED);
    cr_assert_eq(tier_count(tier, TIER_COUNT_breaker_open), 1);
    server_go_on(&server);
    int64_t end_ns = clock_mono_ns() + WAIT_MS * NS_PER_MS;
    while (look_plain() != TIER_FOUND && clock_mono_ns() < end_ns)
        loop_turn(loop, 20);
    cr_assert_eq(look_plain(), TIER_FOUND);
    wait_state(TIER_UP);
    end();
}

Test(tier, goes_on_after_a_restart_and_a_flush)
{
    struct question question = { 0 };
    start(NULL);
    struct value value = answer("hello");
    put(&value);
    server_do(&server, "FLUSHALL");
    cr_assert_eq(look(&question), TIER_ABSENT);
    server_stop(&server, SIGKILL);
    wait_state(TIER_CONNECTING);
    cr_assert_eq(last_state, TIER_CONNECTING, "the log can tell");
    tier_put(tier, &value, 1000);
    cr_assert_eq(tier_count(tier, TIER_COUNT_skipped), 1);
    server_start(&server, NULL);
    wait_state(TIER_UP);
    cr_assert_eq(last_state, TIER_UP);
    cr_assert_lt(changes, 20, "and is not flooded");
    put(&value);
    cr_assert_eq(look(&question), TIER_FOUND);
    end();
}

Test(tier, reads_while_redis_is_full)
{
    struct question question = { 0 };
    start((const char *const[]){ "--maxmemory-policy", "noeviction", NULL });
    struct value value = answer("hello");
    put(&value);
    server_do(&server, "CONFIG SET maxmemory 1");
    tier_put(tier, &value, 60000);
    wait_count(TIER_COUNT_errors, 1);
    cr_assert_eq(tier_state(tier), TIER_READ_ONLY);
    tier_put(tier, &value, 60000);
    cr_assert_eq(tier_count(tier, TIER_COUNT_skipped), 1, "writing pauses");
    cr_assert_eq(look(&question), TIER_FOUND, "reading does not");
    tier_forget(tier, STR(PRIMARY));
    cr_assert_eq(look(&question), TIER_INVALIDATED, "though no tombstone can be written");
    server_do(&server, "CONFIG SET maxmemory 0");
    wait_tomb();
    end();
}

Test(tier, reads_from_a_replica_that_takes_no_writes)
{
    struct server replica;
    char port[16];
    start(NULL);
    struct value value = answer("hello");
    put(&value);
    server_init(&replica);
    snprintf(port, sizeof port, "%d", server.port);
    server_start(&replica, (const char *const[]){ "--replicaof", "127.0.0.1", port, NULL });
    server_wait_output(&replica, "Finished with success");
    tier_free(tier);
    struct redis_url url = server_url(&replica);
    open_tier(&url, 2000);
    wait_state(TIER_UP);
    cr_assert_eq(look_plain(), TIER_FOUND);
    tier_put(tier, &value, 60000);
    wait_count(TIER_COUNT_errors, 1);
    cr_assert_eq(tier_state(tier), TIER_READ_ONLY);
    cr_assert_eq(look_plain(), TIER_FOUND);
    server_fini(&replica);
    end();
}

Test(tier, skips_what_is_too_large)
{
    static char big[1 << 20];
    start(NULL);
    struct value value = answer("");
    value.body = str_n(big, sizeof big);
    tier_put(tier, &value, 60000);
    cr_assert_eq(tier_count(tier, TIER_COUNT_skipped), 1);
    value.body.len = sizeof big - 4096;
    put(&value);
    cr_assert_eq(look_plain(), TIER_FOUND, "just below it fits");
    end();
}

/* What stands in Redis is somebody else's word. */
Test(tier, refuses_what_it_did_not_write)
{
    static const char *const lies[] = { "SET %s garbage",    "DEL %s",      "LPUSH %s a",
                                        "SETRANGE %s 100 x", "APPEND %s x", "SET %s WEIR" };
    static const enum tier_miss want[] = { TIER_REFUSED, TIER_ABSENT,  TIER_ABSENT,
                                           TIER_REFUSED, TIER_REFUSED, TIER_REFUSED };
    start(NULL);
    for (unsigned i = 0; i < 6; i++) {
        char key[128];
        char command[256];
        server_do(&server, "FLUSHALL");
        struct value value = answer("hello");
        put(&value);
        const char *keys = strstr(server_do(&server, "KEYS *"), "weir:");
        snprintf(key, sizeof key, "%.*s", (int)strcspn(keys, "\r"), keys);
        if (i == 2) {
            snprintf(command, sizeof command, "DEL %s", key);
            server_do(&server, command);
        }
        snprintf(command, sizeof command, lies[i], key);
        server_do(&server, command);
        cr_expect_eq(look_plain(), want[i], "%s", lies[i]);
    }
    end();
}

Test(tier, refuses_an_answer_that_stands_under_another_key)
{
    char command[512];
    char from[128];
    char to[128];
    struct question other = { .get.selector = STR("other") };
    start(NULL);
    struct value value = answer("hello");
    put(&value);
    const char *key = strstr(server_do(&server, "KEYS *"), "weir:");
    snprintf(from, sizeof from, "%.*s", (int)strcspn(key, "\r"), key);
    server_do(&server, "FLUSHALL");
    value.selector = STR("other");
    put(&value);
    key = strstr(server_do(&server, "KEYS *"), "weir:");
    snprintf(to, sizeof to, "%.*s", (int)strcspn(key, "\r"), key);
    cr_assert_str_neq(from, to);
    snprintf(command, sizeof command, "RENAME %s %s", to, from);
    server_do(&server, command);
    cr_assert_eq(look_plain(), TIER_REFUSED);
    cr_assert_eq(look(&other), TIER_ABSENT);
    cr_assert_eq(tier_count(tier, TIER_COUNT_refused), 1);
    end();
}

/* --- a lying one --- */

static const char *lie;
static size_t lie_len;

static const char *tell_lie(struct fake *fake, int argc, const struct str *argv)
{
    fake_say(fake, lie, lie_len);
    return NULL;
}

static const struct str lies[] = {
    STR_INIT("*2\r\n$536870912\r\nabc"),
    STR_INIT("$536870912\r\n"),
    STR_INIT("*2147483647\r\n"),
    STR_INIT("*-5\r\n"),
    STR_INIT("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"),
    STR_INIT("HTTP/1.1 200 OK\r\n\r\n"),
    STR_INIT("\0\0\0\0"),
    STR_INIT("+OK\r\n"),
    STR_INIT(":5\r\n"),
    STR_INIT("$-1\r\n"),
    STR_INIT("*0\r\n"),
    STR_INIT("*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"),
    STR_INIT("*2\r\n:1\r\n:2\r\n"),
    STR_INIT("*2\r\n*0\r\n$-1\r\n"),
    STR_INIT("*2\r\n$3\r\nabc\r\n$-1\r\n"),
    STR_INIT("*2\r\n$-1\r\n$-1\r\n+one\r\n+two\r\n"),
    STR_INIT("-LOADING Redis is loading the dataset in memory\r\n"),
    STR_INIT("-MOVED 99999 127.0.0.1:1\r\n"),
    STR_INIT("-MOVED 1 nonsense\r\n"),
    STR_INIT("-MOVED 1 127.0.0.1:1\r\n"),
    STR_INIT("-ASK 1 127.0.0.1:1\r\n"),
    STR_INIT("-MOVED\r\n"),
    STR_INIT("*2\r\n"),
    STR_INIT("*2\r\n$5\r\nab"),
    STR_INIT("*"),
    STR_INIT("$99999999999999999999999\r\n"),
    STR_INIT(":99999999999999999999999\r\n"),
};

Test(tier, is_not_impressed_by_lies)
{
    struct fake fake;
    loop = loop_new();
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        fake_open(&fake, loop, tell_lie);
        struct redis_url url = fake_url(&fake);
        open_tier(&url, 30);
        wait_state(TIER_UP);
        lie = lies[i].data;
        lie_len = lies[i].len;
        for (unsigned round = 0; round < 8; round++) {
            struct question question = { 0 };
            enum tier_miss miss = look(&question);
            cr_assert_neq(miss, TIER_FOUND, "row %zu", i);
            if (question.calls > 0)
                cr_assert_leq(question.took_ns, 500 * NS_PER_MS, "row %zu", i);
        }
        struct value value = answer("hello");
        tier_put(tier, &value, 1000);
        tier_forget(tier, STR(PRIMARY));
        for (unsigned turn = 0; turn < 5; turn++)
            loop_turn(loop, 5);
        tier_free(tier);
        loop_turn(loop, 0);
        fake_close(&fake);
    }
    loop_turn(loop, 0);
    loop_free(loop);
    check_leaks();
}

static uint64_t dice = 88172645463325252u;

static uint64_t roll(void)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    return dice ^= dice << 17;
}

static const char *babble(struct fake *fake, int argc, const struct str *argv)
{
    static const char *const words[] = { "*",  "2", "\r\n", "$", "-1", "3",  ":",  "+OK",
                                         "-E", "a", "$-1",  "*", "*2", "$3", "\r", "\xff" };
    fake->text[0] = '\0';
    for (uint64_t n = roll() % 30 + 1; n > 0; n--)
        strcat(fake->text, words[roll() % COUNT_OF(words)]);
    return fake->text;
}

Test(tier, is_not_impressed_by_babble)
{
    struct fake fake;
    loop = loop_new();
    fake_open(&fake, loop, babble);
    fake.is_plain = false;
    struct redis_url url = fake_url(&fake);
    for (unsigned round = 0; round < 40; round++) {
        open_tier(&url, 3);
        wait_state(TIER_UP);
        for (unsigned i = 0; i < 10; i++)
            cr_assert_neq(look_plain(), TIER_FOUND);
        tier_free(tier);
        loop_turn(loop, 0);
    }
    fake_close(&fake);
    loop_turn(loop, 0);
    loop_free(loop);
    check_leaks();
}

static const char *keep_silent(struct fake *fake, int argc, const struct str *argv)
{
    return NULL;
}

Test(tier, has_one_budget_for_both_asks)
{
    struct fake fake;
    char reply[1024];
    struct question question = { .accept = STR("json") };
    struct value signpost = { .primary = STR(PRIMARY), .selector = STR("sel"), .vary = STR("accept") };
    loop = loop_new();
    fake_open(&fake, loop, keep_silent);
    struct redis_url url = fake_url(&fake);
    open_tier(&url, 300);
    wait_state(TIER_UP);
    cr_assert_eq(begin(&question), TIER_FOUND);
    size_t size = value_bytes(&signpost);
    size_t len = (size_t)snprintf(reply, sizeof reply, "*2\r\n$%zu\r\n", size);
    value_write(&signpost, reply + len);
    memcpy(reply + len + size, "\r\n$-1\r\n", 7);
    while (clock_mono_ns() - question.began_ns < 200 * NS_PER_MS)
        loop_turn(loop, 5);
    fake.accepted = 1;
    unsigned commands = fake.commands;
    fake_say(&fake, reply, len + size + 7);
    turn_until_count(loop, &question.calls, 1);
    cr_assert_eq(fake.commands, commands + 1, "it asked for the variant");
    cr_assert_eq(question.miss, TIER_LATE);
    cr_assert_geq(question.took_ns, 299 * NS_PER_MS);
    cr_assert_leq(question.took_ns, 330 * NS_PER_MS, "%ld us", (long)question.took_ns / 1000);
    tier_free(tier);
    fake_close(&fake);
    loop_turn(loop, 0);
    loop_free(loop);
    check_leaks();
}

/* An endless reply, a little at a time: it is cut at the bound, not kept. */
Test(tier, does_not_collect_an_endless_reply)
{
    static char chunk[65536];
    struct fake fake;
    struct question question = { 0 };
    loop = loop_new();
    fake_open(&fake, loop, keep_silent);
    struct redis_url url = fake_url(&fake);
    open_tier(&url, 10000);
    wait_state(TIER_UP);
    cr_assert_eq(begin(&question), TIER_FOUND);
    while (fake.commands < 3)
        loop_turn(loop, 5);
    /* Both connections are there; the reader's is the first. */
    fake.accepted = 1;
    fake_say(&fake, "*2\r\n$536870912\r\n", 16);
    for (unsigned i = 0; i < 64 && question.calls == 0; i++) {
        fake_say(&fake, chunk, sizeof chunk);
        loop_turn(loop, 0);
    }
    turn_until_count(loop, &question.calls, 1);
    cr_assert_eq(question.miss, TIER_FAILED);
    tier_free(tier);
    fake_close(&fake);
    loop_turn(loop, 0);
    loop_free(loop);
    check_leaks();
}

Test(tier, refuses_bad_options)
{
    loop = loop_new();
    struct redis_url url = url_of("redis://127.0.0.1:1");
    struct tier_options options = { .url = &url, .prefix = STR("a{b") };
    cr_assert_null(tier_new(loop, &options));
    options.prefix = STR("0123456789012345678901234567890123456789012345678901234567890123");
    cr_assert_null(tier_new(loop, &options));
    loop_turn(loop, 0);
    loop_free(loop);
    check_leaks();
}
