/* The whole plugin among simulated servers whose positions are known exactly: a primary, replicas that lag at
 * random, a probe, a cache, and clients that keep their tokens. Nobody may ever be shown less than he has
 * seen or written. `none` in the same world shows that the check can fail. Time is simulated, in
 * microseconds, so that what happens within one millisecond is met too. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_host.h"
#include "split.h"

#define SERVERS  4
#define CLIENTS  24
#define TENANTS  2
#define KEYS     40
#define LOG_SIZE 400000
#define NEVER    INT64_MAX
#define MS       1000

enum says {
    SAYS_NOTHING,    /* the app keeps its positions to itself: the probe alone knows */
    SAYS_POSITION,   /* Weir-Position on every reply and health check, and nobody probes */
    SAYS_IN_REPLIES, /* and there are no health checks either */
    SAYS_AND_PROBE
};

struct world {
    const char *consistency;
    enum says says;
    bool has_failover;
    unsigned operations;
    int64_t lag_max_us;
    unsigned one_write_in; /* 0: ten */
};

/* One write, in the order of the log: its position is its index. */
struct written {
    int64_t at_us;
    unsigned key;
};

struct server {
    struct weir_str address;
    bool is_down, is_claimed;
    uint32_t timeline;
    int64_t lag_us;
    uint64_t position; /* of a replica */
    int64_t probe_at_us, probe_said_us, probe_begun_us;
    struct position probe_saw;
    bool probe_saw_primary;
    uint32_t probe_timeline;
};

struct entry {
    bool is_there;
    char origin[128];
    int64_t sent_ms;
    uint64_t position;
};

enum step {
    IDLE,
    CHOOSING,
    ASKING, /* on the way to the server */
    ANSWERING
};

struct client {
    const char *tenant;
    char token[2400];
    enum step step;
    bool is_write;
    unsigned key;
    int64_t next_us, begun_us;
    struct weir_request request;
    unsigned server;
    int64_t sent_ms;
    uint64_t position; /* of what the server did */
    bool has_failed, is_replayed;
    uint64_t seen; /* the furthest it has been shown */
    uint64_t wrote[KEYS];
    uint64_t must_see; /* by strict: when its read began */
};

static struct {
    const struct world *world;
    struct rw_split *self;
    int64_t now_us;
    uint64_t random;
    struct server servers[SERVERS];
    unsigned primary; /* SERVERS: none */
    struct written *log;
    uint64_t end; /* of the log: the primary's position */
    uint64_t version[KEYS][1];
    struct client clients[CLIENTS];
    struct entry cache[KEYS];
    int64_t invalidated_ms[KEYS];
    uint64_t invalidated[KEYS];
    uint64_t acknowledged[TENANTS];
    unsigned done, reads, writes, hits, by_replica, refused, fills, replayed, wakes;
    unsigned own_write_lost, went_back, strict_lost, stale_fills;
} sim;

static uint64_t dice(void)
{
    sim.random ^= sim.random << 13;
    sim.random ^= sim.random >> 7;
    sim.random ^= sim.random << 17;
    return sim.random;
}

static int64_t between(int64_t low, int64_t high)
{
    return low + (int64_t)(dice() % (uint64_t)(high - low + 1));
}

static void set_now(int64_t now_us)
{
    sim.now_us = now_us;
    fake_wall_ms = INT64_C(1790000000000) + now_us / MS;
}

/* --- servers --- */

/* How far the log was at that time. */
static uint64_t end_at(int64_t at_us)
{
    uint64_t low = 0, high = sim.end;

    while (low < high) {
        uint64_t middle = (low + high) / 2;

        if (sim.log[middle].at_us <= at_us)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint64_t position_of(unsigned index)
{
    struct server *server = &sim.servers[index];
    uint64_t reached;

    if (index == sim.primary)
        return sim.end;
    reached = end_at(sim.now_us - server->lag_us);
    if (reached > server->position)
        server->position = reached;
    return server->position;
}

/* Replays in jumps, stands still at times, and is never more than 2 s behind. */
static void drift(void)
{
    for (unsigned i = 0; i < SERVERS; i++) {
        struct server *server = &sim.servers[i];

        position_of(i);
        if (dice() % 8 == 0)
            server->lag_us = between(0, sim.world->lag_max_us);
        else if (dice() % 2)
            server->lag_us /= 2;
    }
}

static struct weir_answer answer_from(unsigned server, uint64_t position, int64_t sent_ms, bool has_failed);

/* Where nobody probes, health checks bring the app's word. */
static void finish_health_check(unsigned index)
{
    struct server *server = &sim.servers[index];
    int64_t sent_ms = INT64_C(1790000000000) + server->probe_begun_us / MS;
    struct weir_answer answer = answer_from(index, server->probe_saw.value, sent_ms, server->is_down);

    weir_plugin.checked(sim.self, &answer);
}

static void finish_probe(unsigned index)
{
    struct server *server = &sim.servers[index];
    struct servers *known = sim.self->servers;

    if (sim.world->says == SAYS_POSITION) {
        finish_health_check(index);
    } else if (sim.world->says == SAYS_IN_REPLIES) {
        /* nobody asks */
    } else if (server->is_down) {
        servers_silent(known, server->address);
    } else {
        servers_role(known, server->address, server->probe_saw_primary, server->probe_timeline);
        servers_sample(known, server->address, INT64_C(1790000000000) + server->probe_begun_us / MS,
                       fake_wall_ms, server->probe_saw);
    }
    server->probe_said_us = NEVER;
    server->probe_begun_us = sim.now_us + between(20, 60) * MS;
    server->probe_at_us = server->probe_begun_us + between(0, 9000);
}

static uint64_t floor_of_timeline_2 = UINT64_MAX;

static void do_probe(unsigned index)
{
    struct server *server = &sim.servers[index];
    uint64_t position = position_of(index);
    bool is_primary = index == sim.primary;

    if (is_primary && server->timeline == 2 && position < floor_of_timeline_2)
        floor_of_timeline_2 = position;
    server->probe_saw_primary = is_primary;
    server->probe_timeline = server->timeline;
    server->probe_saw = (struct position){ .is_known = true, .value = position, .epoch = 1 };
    if (server->timeline == 2 && position >= floor_of_timeline_2)
        server->probe_saw.epoch = 2;
    server->probe_at_us = NEVER;
    server->probe_said_us = sim.now_us + between(0, 9000);
}

/* The primary dies; a replica that has all of it is promoted, the others follow it. */
static void fail_over(void)
{
    sim.servers[0].is_down = true;
    sim.servers[0].position = sim.end;
    sim.primary = SERVERS;
    sim.servers[1].lag_us = 0;
    sim.servers[1].position = sim.end;
}

static void promote(void)
{
    sim.primary = 1;
    for (unsigned i = 0; i < SERVERS; i++)
        sim.servers[i].timeline = 2;
}

static void come_back(void)
{
    sim.servers[0].is_down = false;
    sim.servers[0].lag_us = 0;
}

/* --- what weir would do --- */

static char said[32];

static struct weir_str field_said(const struct weir_answer *answer, const char *name)
{
    bool is_asked = strcmp(name, "Weir-Position") == 0 && sim.world->says != SAYS_NOTHING;

    return (struct weir_str){ is_asked ? said : NULL, is_asked ? strlen(said) : 0 };
}

static struct weir_answer answer_from(unsigned server, uint64_t position, int64_t sent_ms, bool has_failed)
{
    snprintf(said, sizeof said, "%X/%08X", (unsigned)(position >> 32), (unsigned)position);
    return (struct weir_answer){
        .size = sizeof(struct weir_answer),
        .status = has_failed ? 504 : 200,
        .is_weirs_own = has_failed,
        .role = fake_servers[server].server.role,
        .index = server,
        .sent_ms = sent_ms,
        .field = field_said,
        .address = sim.servers[server].address,
    };
}

static void keep_token(struct client *client, const struct weir_verdict *verdict)
{
    if (verdict->token.data)
        snprintf(client->token, sizeof client->token, "%.*s", (int)verdict->token.len, verdict->token.data);
}

static void check(struct client *client, uint64_t shown)
{
    if (shown < client->wrote[client->key])
        sim.own_write_lost++;
    if (shown < client->seen)
        sim.went_back++;
    else
        client->seen = shown;
    if (shown < client->must_see)
        sim.strict_lost++;
}

static void done(struct client *client)
{
    sim.done++;
    client->step = IDLE;
    client->next_us = sim.now_us + (dice() % 4 ? between(0, 3 * MS) : between(0, 300 * MS));
}

static bool is_hit(struct client *client)
{
    const struct entry *entry = &sim.cache[client->key];
    struct weir_inspection asked = { .size = sizeof asked };
    struct weir_verdict verdict = { .size = sizeof verdict };
    struct weir_str origin = { entry->origin, strlen(entry->origin) };

    weir_plugin.inspect(sim.self, &client->request, &asked);
    cr_assert_eq(asked.kind, client->is_write ? WEIR_WRITE : WEIR_READ);
    if (client->is_write || asked.bypass_cache || !entry->is_there || entry->sent_ms < asked.not_before_ms)
        return false;
    if (asked.position.data && weir_plugin.is_behind(sim.self, origin, asked.position))
        return false;
    weir_plugin.served(sim.self, &client->request, origin, entry->sent_ms, &verdict);
    keep_token(client, &verdict);
    check(client, entry->position);
    sim.hits++;
    return true;
}

static void begin(struct client *client)
{
    client->is_write = dice() % (sim.world->one_write_in ? sim.world->one_write_in : 10) == 0;
    client->key = (unsigned)(dice() % KEYS);
    client->begun_us = sim.now_us;
    client->must_see = 0;
    memset(&client->request, 0, sizeof client->request);
    client->request.method = client->is_write ? "POST" : "GET";
    client->request.tenant = client->tenant;
    client->request.domain = "main";
    client->request.body = client->is_write ? "x" : NULL;
    client->request.cookie = client->token[0] ? client->token : NULL;
    if (strcmp(sim.world->consistency, "strict") == 0 && !client->is_write)
        client->must_see = sim.acknowledged[client->tenant[0] == 'a'];
    client->has_failed = client->is_replayed = false;
    if (is_hit(client)) {
        sim.reads++;
        done(client);
        return;
    }
    client->step = CHOOSING;
}

static void ask(struct client *client, unsigned server)
{
    if (sim.servers[server].is_down) { /* refused: nothing was sent, weir asks again */
        client->next_us = sim.now_us + 20 * MS;
        return;
    }
    client->server = server;
    client->sent_ms = fake_wall_ms;
    client->step = ASKING;
    client->next_us = sim.now_us + between(0, 4000);
}

static void choose(struct client *client)
{
    struct weir_candidate candidates[SERVERS];
    struct weir_choice choice = { .size = sizeof choice };
    unsigned roles = 0, found[SERVERS], count = 0;

    for (unsigned i = 0; i < SERVERS; i++) {
        candidates[i] = (struct weir_candidate){
            .size = sizeof(struct weir_candidate),
            .role = fake_servers[i].server.role,
            .is_usable = !sim.servers[i].is_down,
            .address = sim.servers[i].address,
            .lag_ms = -1,
        };
    }
    weir_plugin.choose(sim.self, &client->request, candidates, SERVERS, false, &choice);
    /* Plugins may hold or refuse a replay, but it goes to the primary. */
    if (client->is_replayed && choice.kind != WEIR_HOLD && choice.kind != WEIR_REFUSE) {
        cr_assert(choice.kind == WEIR_PICK ? candidates[choice.index].role == WEIR_PRIMARY
                                           : choice.roles == WEIR_ROLES_PRIMARY);
    }
    switch (choice.kind) {
    case WEIR_PICK:
        ask(client, choice.index);
        return;
    case WEIR_HOLD:
        client->next_us = sim.now_us + choice.hold_ms * MS;
        return;
    case WEIR_ROLES:
        roles = choice.roles;
        break;
    default:
        sim.refused++;
        done(client);
        return;
    }
    for (unsigned i = 0; i < SERVERS; i++)
        if (!sim.servers[i].is_down && roles >> candidates[i].role & 1)
            found[count++] = i;
    if (count == 0) {
        sim.refused++;
        done(client);
        return;
    }
    ask(client, found[dice() % count]);
}

/* The server does it. */
static void act(struct client *client)
{
    client->step = ANSWERING;
    client->next_us = sim.now_us + between(0, 4000);
    if (sim.servers[client->server].is_down || (client->is_write && client->server != sim.primary)) {
        client->has_failed = true;
        return;
    }
    if (client->is_write) {
        cr_assert_lt(sim.end, LOG_SIZE);
        sim.log[sim.end] = (struct written){ sim.now_us, client->key };
        sim.end++;
    }
    client->position = position_of(client->server);
}

static void fill(struct client *client, const struct weir_verdict *verdict)
{
    struct entry *entry = &sim.cache[client->key];
    int64_t as_of_ms = verdict->as_of_ms ? verdict->as_of_ms : client->sent_ms;

    if (verdict->forbid_store || sim.invalidated_ms[client->key] >= as_of_ms)
        return;
    if (client->position < sim.invalidated[client->key])
        sim.stale_fills++;
    sim.fills++;
    entry->is_there = true;
    entry->sent_ms = client->sent_ms;
    entry->position = client->position;
    snprintf(entry->origin, sizeof entry->origin, "%.*s", (int)verdict->position.len,
             verdict->position.data ? verdict->position.data : "");
}

static void answer(struct client *client)
{
    /* The app says how far it has come when it answers a read, which is after its queries. */
    uint64_t told = client->is_write ? client->position : position_of(client->server);
    struct weir_answer answer = answer_from(client->server, told, client->sent_ms, client->has_failed);
    struct weir_verdict verdict = { .size = sizeof verdict };

    weir_plugin.answered(sim.self, &client->request, &answer, &verdict);
    if (verdict.replay_to_primary && !client->has_failed) {
        cr_assert_not(client->is_replayed || client->is_write);
        client->is_replayed = true;
        client->step = CHOOSING;
        client->next_us = sim.now_us;
        sim.replayed++;
        return;
    }
    keep_token(client, &verdict);
    if (client->is_write) {
        sim.writes++;
        if (!client->has_failed) {
            uint64_t *acknowledged = &sim.acknowledged[client->tenant[0] == 'a'];

            client->wrote[client->key] = client->position;
            if (client->seen < client->position)
                client->seen = client->position;
            if (*acknowledged < client->position)
                *acknowledged = client->position;
            sim.cache[client->key].is_there = false;
            sim.invalidated_ms[client->key] = fake_wall_ms;
            sim.invalidated[client->key] = client->position;
        }
    } else if (!client->has_failed) {
        sim.reads++;
        sim.by_replica += client->server != sim.primary;
        check(client, client->position);
        fill(client, &verdict);
    }
    done(client);
}

static void step(struct client *client)
{
    switch (client->step) {
    case IDLE:
        begin(client);
        break;
    case CHOOSING:
        choose(client);
        break;
    case ASKING:
        act(client);
        break;
    case ANSWERING:
        answer(client);
        break;
    }
}

/* --- time --- */

static int64_t next_event(unsigned *out_client, unsigned *out_server)
{
    int64_t next_us = NEVER;

    *out_client = CLIENTS;
    *out_server = SERVERS;
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (sim.clients[i].next_us >= next_us)
            continue;
        next_us = sim.clients[i].next_us;
        *out_client = i;
    }
    for (unsigned i = 0; i < SERVERS; i++) {
        int64_t at_us = sim.servers[i].probe_at_us < sim.servers[i].probe_said_us
                            ? sim.servers[i].probe_at_us
                            : sim.servers[i].probe_said_us;

        if (at_us >= next_us)
            continue;
        next_us = at_us;
        *out_server = i;
        *out_client = CLIENTS;
    }
    return next_us;
}

static void wake_the_held(void)
{
    if (sim.wakes == fake_wakes)
        return;
    sim.wakes = fake_wakes;
    for (unsigned i = 0; i < CLIENTS; i++)
        if (sim.clients[i].step == CHOOSING)
            sim.clients[i].next_us = sim.now_us;
}

static void fail_over_in_the_middle(void)
{
    static int64_t failed_us, promoted_us;

    if (!sim.world->has_failover || sim.done < sim.world->operations / 2)
        return;
    if (!failed_us) {
        fail_over();
        failed_us = sim.now_us;
    } else if (!promoted_us && sim.now_us > failed_us + 400 * MS) {
        promote();
        promoted_us = sim.now_us;
    } else if (promoted_us && sim.now_us > promoted_us + 1500 * MS && sim.servers[0].is_down) {
        come_back();
    }
}

static void start(const struct world *world)
{
    static const char *const addresses[SERVERS] = { "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80",
                                                    "10.0.0.4:80" };
    struct weir_config config = { { { .name = "consistency", .text = world->consistency },
                                    { .name = "wait", .text = "100ms" } } };
    char error[400] = "";

    memset(&sim, 0, sizeof sim);
    sim.world = world;
    sim.random = UINT64_C(0x9e3779b97f4a7c15);
    sim.log = calloc(LOG_SIZE, sizeof *sim.log);
    set_now(0);
    for (unsigned i = 0; i < SERVERS; i++) {
        fake_add_server(addresses[i], i ? WEIR_REPLICA : WEIR_PRIMARY);
        sim.servers[i] = (struct server){ .address = { addresses[i], strlen(addresses[i]) },
                                          .timeline = 1,
                                          .probe_said_us = NEVER,
                                          .probe_at_us = between(0, 9000) };
    }
    /* The probe speaks first: without one configured a plugin that never heard a position goes by the window.
     */
    for (unsigned i = 0; i < CLIENTS; i++)
        sim.clients[i] =
            (struct client){ .tenant = i % TENANTS ? "acme" : "tiny", .next_us = between(60 * MS, 70 * MS) };
    sim.self = weir_plugin.configure(&fake_host, &config, error, sizeof error);
    cr_assert(sim.self, "%s", error);
    sim.self->has_probe = world->says == SAYS_NOTHING || world->says == SAYS_AND_PROBE;
}

static void run(const struct world *world)
{
    unsigned client, server;
    int64_t ticked_us = 0, drifted_us = 0;

    start(world);
    while (sim.done < world->operations) {
        set_now(next_event(&client, &server));
        if (sim.now_us - ticked_us > 10 * MS) {
            ticked_us = sim.now_us;
            weir_plugin.tick(sim.self);
        }
        if (sim.now_us - drifted_us > 50 * MS) {
            drifted_us = sim.now_us;
            drift();
        }
        fail_over_in_the_middle();
        if (client < CLIENTS)
            step(&sim.clients[client]);
        else if (sim.now_us >= sim.servers[server].probe_said_us)
            finish_probe(server);
        else
            do_probe(server);
        wake_the_held();
    }
    fprintf(stderr,
            "%s: %u reads (%u of replicas, %u of the cache), %u writes, %u refused, %u replayed, %u fills, "
            "in %lld s: %u "
            "own writes lost, %u went back, %u strict lost, %u stale fills\n",
            world->consistency, sim.reads, sim.by_replica, sim.hits, sim.writes, sim.refused, sim.replayed,
            sim.fills, (long long)(sim.now_us / 1000000), sim.own_write_lost, sim.went_back, sim.strict_lost,
            sim.stale_fills);
    weir_plugin.destroy(sim.self);
    free(sim.log);
}

static void check_nothing_lost(void)
{
    cr_expect_eq(sim.own_write_lost, 0);
    cr_expect_eq(sim.went_back, 0);
    cr_expect_eq(sim.strict_lost, 0);
    cr_expect_eq(sim.stale_fills, 0);
    cr_expect_gt(sim.by_replica, sim.reads / 20, "and replicas read");
}

Test(rw_split_simulation, by_the_probe_alone_nobody_falls_behind)
{
    run(&(struct world){ "position", SAYS_NOTHING, false, 100000, 2000 * MS });
    check_nothing_lost();
}

Test(rw_split_simulation, by_the_apps_word_alone_nobody_falls_behind)
{
    run(&(struct world){ "position", SAYS_POSITION, false, 100000, 2000 * MS });
    check_nothing_lost();
}

/* Where all have tokens no replica would ever be asked again, and none could say that it has caught up. */
Test(rw_split_simulation, by_replies_alone_nobody_falls_behind_and_replicas_are_found_out)
{
    run(&(struct world){ "position", SAYS_IN_REPLIES, false, 100000, 300 * MS, 200 });
    check_nothing_lost();
    cr_expect_gt(sim.replayed, 0);
    cr_expect_lt(sim.replayed, sim.reads / 20);
}

Test(rw_split_simulation, through_a_failover_nobody_falls_behind)
{
    run(&(struct world){ "position", SAYS_NOTHING, true, 100000, 2000 * MS });
    check_nothing_lost();
}

Test(rw_split_simulation, through_a_failover_with_the_apps_word_nobody_falls_behind)
{
    run(&(struct world){ "position", SAYS_AND_PROBE, true, 100000, 2000 * MS });
    check_nothing_lost();
}

Test(rw_split_simulation, strict_shows_everybody_what_was_acknowledged)
{
    run(&(struct world){ "strict", SAYS_AND_PROBE, true, 100000, 1000 * MS });
    check_nothing_lost();
}

/* Where little is written what is stored stays good enough for those who have tokens, too. */
Test(rw_split_simulation, the_cache_serves_nobody_what_he_is_beyond)
{
    static const enum says says[] = { SAYS_NOTHING, SAYS_POSITION, SAYS_AND_PROBE };

    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
        fake_server_count = 0;
        run(&(struct world){ "position", says[i], false, 50000, 300 * MS, 1000 });
        cr_expect_gt(sim.hits, sim.reads / 20);
        cr_expect_gt(sim.by_replica, 0);
        cr_expect_eq(sim.own_write_lost + sim.went_back + sim.stale_fills, 0);
    }
}

Test(rw_split_simulation, small_lags_keep_reads_off_the_primary)
{
    run(&(struct world){ "position", SAYS_AND_PROBE, false, 50000, 20 * MS });
    check_nothing_lost();
    cr_expect_gt(sim.by_replica + sim.hits, (sim.reads + sim.refused) * 85 / 100);
}

Test(rw_split_simulation, without_consistency_the_same_world_loses_writes)
{
    run(&(struct world){ "none", SAYS_AND_PROBE, false, 100000, 2000 * MS });
    cr_expect_gt(sim.own_write_lost, 0);
    cr_expect_gt(sim.went_back, 0);
}

Test(rw_split_simulation, by_the_window_a_client_may_go_back_but_keeps_his_writes)
{
    run(&(struct world){ "window", SAYS_NOTHING, false, 100000, 1900 * MS });
    cr_expect_eq(sim.own_write_lost, 0);
    cr_expect_gt(sim.went_back, 0);
}
