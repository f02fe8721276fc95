/* What rw_split promises to a client: reads on replicas, its own writes read back, and nobody else's token
 * believed. */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fake_host.h"

#define KEY_A  "0123456789abcdef-a"
#define KEY_B  "0123456789abcdef-b"
#define HOUR   (3600 * INT64_C(1000))
#define WINDOW 2000

static const struct weir_plugin *plugin;

static void load(void)
{
    plugin = fake_load(PLUGIN_PATH);
}

TestSuite(rw_split, .init = load);

static void *make(struct weir_config config)
{
    char error[200] = "";
    void *self = plugin->configure(&fake_host, &config, error, sizeof error);

    cr_assert(self, "%s", error);
    return self;
}

static void *make_with_keys(const char *first, const char *second)
{
    return make((struct weir_config){ { { .name = "keys", .items = { first, second } } } });
}

static void *make_default(void)
{
    return make((struct weir_config){ 0 });
}

static struct weir_request request_of(const char *method, const char *tenant)
{
    return (struct weir_request){ .method = method, .tenant = tenant, .domain = "main" };
}

static struct weir_str field_absent(const struct weir_answer *answer, const char *name)
{
    return (struct weir_str){ 0 };
}

static struct weir_answer answer_of(int status, enum weir_role role)
{
    return (struct weir_answer){
        .size = sizeof(struct weir_answer),
        .status = status,
        .role = role,
        .sent_ms = fake_wall_ms,
        .field = field_absent,
    };
}

/* The token that a write gets; empty without one. */
static void write_token(void *self, struct weir_request request, struct weir_answer answer, char out[512])
{
    struct weir_verdict verdict = { .size = sizeof verdict };

    plugin->answered(self, &request, &answer, &verdict);
    snprintf(out, 512, "%.*s", (int)verdict.token.len, verdict.token.data ? verdict.token.data : "");
    cr_assert_eq(verdict.token_age_s, out[0] ? 3600 : 0);
}

static void token_of(void *self, const char *tenant, char out[512])
{
    write_token(self, request_of("POST", tenant), answer_of(201, WEIR_PRIMARY), out);
    cr_assert(out[0]);
}

static struct weir_candidate candidate(enum weir_role role, bool is_usable, bool was_tried)
{
    return (struct weir_candidate){
        .size = sizeof(struct weir_candidate), .role = role, .is_usable = is_usable, .was_tried = was_tried
    };
}

static struct weir_choice choose(void *self, struct weir_request request)
{
    struct weir_candidate servers[] = { candidate(WEIR_PRIMARY, true, false),
                                        candidate(WEIR_REPLICA, true, false) };
    struct weir_choice choice = { .size = sizeof choice };

    plugin->choose(self, &request, servers, 2, false, &choice);
    cr_assert_eq(choice.kind, WEIR_ROLES);
    return choice;
}

static bool reads_from_primary(void *self, const char *tenant, const char *header, const char *cookie)
{
    struct weir_request request = request_of("GET", tenant);

    request.header = header;
    request.cookie = cookie;
    return choose(self, request).roles == WEIR_ROLES_PRIMARY;
}

Test(rw_split, safe_methods_read_and_all_others_write)
{
    static const struct {
        const char *method;
        bool is_write;
    } rows[] = { { "GET", false },  { "HEAD", false }, { "OPTIONS", false }, { "TRACE", false },
                 { "POST", true },  { "PUT", true },   { "PATCH", true },    { "DELETE", true },
                 { "PURGE", true }, { "get", true },   { "GETS", true },     { "PROPFIND", true },
                 { "G", true },     { "", true } };
    void *self = make_default();

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_request request = request_of(rows[i].method, "acme");
        struct weir_inspection inspection = { .size = sizeof inspection };
        struct weir_choice choice = choose(self, request);

        plugin->inspect(self, &request, &inspection);
        cr_assert_eq(inspection.kind, rows[i].is_write ? WEIR_WRITE : WEIR_READ, "row %zu", i);
        cr_assert_eq(choice.roles, rows[i].is_write ? WEIR_ROLES_PRIMARY : WEIR_ROLES_REPLICA, "row %zu", i);
        cr_assert_eq(choice.falls_back, !rows[i].is_write, "row %zu: writes never go to a replica", i);
    }
    plugin->destroy(self);
}

Test(rw_split, a_read_goes_on_to_the_primary_when_no_replica_is_left)
{
    static const struct {
        bool is_usable[2], was_tried[2];
        unsigned roles;
    } rows[] = {
        { { true, true }, { false, false }, WEIR_ROLES_REPLICA },
        { { true, true }, { true, false }, WEIR_ROLES_REPLICA },
        { { false, true }, { false, false }, WEIR_ROLES_REPLICA },
        { { true, true }, { true, true }, WEIR_ROLES_PRIMARY },
        { { false, true }, { false, true }, WEIR_ROLES_PRIMARY },
        { { false, false }, { false, false }, WEIR_ROLES_PRIMARY },
    };
    void *self = make_default();

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_request request = request_of("GET", "acme");
        struct weir_choice choice = { .size = sizeof choice };
        struct weir_candidate servers[] = {
            candidate(WEIR_PRIMARY, true, false),
            candidate(WEIR_REPLICA, rows[i].is_usable[0], rows[i].was_tried[0]),
            candidate(WEIR_REPLICA, rows[i].is_usable[1], rows[i].was_tried[1])
        };

        plugin->choose(self, &request, servers, 3, false, &choice);
        cr_assert_eq(choice.roles, rows[i].roles, "row %zu", i);
        cr_assert(choice.falls_back, "row %zu", i);
    }
    plugin->destroy(self);
}

Test(rw_split, steps_over_candidates_by_their_own_size)
{
    struct {
        struct weir_candidate known;
        char added_later[64];
    } servers[2] = { { .known = candidate(WEIR_PRIMARY, true, false) },
                     { .known = candidate(WEIR_REPLICA, true, false) } };
    struct weir_request request = request_of("GET", "acme");
    struct weir_choice choice = { .size = sizeof choice };
    void *self = make_default();

    servers[0].known.size = servers[1].known.size = sizeof servers[0];
    plugin->choose(self, &request, &servers[0].known, 2, false, &choice);
    cr_assert_eq(choice.roles, WEIR_ROLES_REPLICA);
    plugin->destroy(self);
}

Test(rw_split, a_token_has_five_parts_and_fits_a_cookie)
{
    char token[512], begin[64];
    void *self = make_default();

    token_of(self, "acme", token);
    snprintf(begin, sizeof begin, "v1.main.-.%" PRId64 ".", fake_wall_ms);
    cr_assert_eq(strncmp(token, begin, strlen(begin)), 0, "%s", token);
    cr_assert_eq(strlen(token), strlen(begin) + 43);
    cr_assert_eq(strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.%"),
                 strlen(token));
    cr_assert_not(strstr(token, "acme"), "the tenant is signed, not told");
    plugin->destroy(self);
}

Test(rw_split, the_writer_reads_from_the_primary_for_the_window)
{
    char token[512];
    void *self = make_default();

    token_of(self, "acme", token);
    cr_assert(reads_from_primary(self, "acme", token, NULL), "by header");
    cr_assert(reads_from_primary(self, "acme", NULL, token), "by cookie");
    cr_assert_not(reads_from_primary(self, "acme", NULL, NULL), "others go on reading from replicas");
    fake_wall_ms += WINDOW - 1;
    cr_assert(reads_from_primary(self, "acme", token, NULL));
    fake_wall_ms += 1;
    cr_assert_not(reads_from_primary(self, "acme", token, NULL));
    plugin->destroy(self);
}

Test(rw_split, a_read_in_the_window_does_not_fall_back_to_a_replica)
{
    char token[512];
    void *self = make_default();
    struct weir_request request = request_of("GET", "acme");

    token_of(self, "acme", token);
    request.cookie = token;
    cr_assert_not(choose(self, request).falls_back);
    plugin->destroy(self);
}

Test(rw_split, a_token_from_a_clock_that_is_ahead_counts)
{
    char token[512];
    void *self = make_default();

    token_of(self, "acme", token);
    fake_wall_ms -= 30000;
    cr_assert(reads_from_primary(self, "acme", token, NULL));
    fake_wall_ms -= HOUR;
    cr_assert_not(reads_from_primary(self, "acme", token, NULL), "but not by any distance");
    plugin->destroy(self);
}

Test(rw_split, the_newest_of_cookie_and_header_wins)
{
    char older[512], newer[512];
    void *self = make_default();

    token_of(self, "acme", older);
    fake_wall_ms += WINDOW;
    token_of(self, "acme", newer);
    fake_wall_ms += 1;
    cr_assert(reads_from_primary(self, "acme", older, newer));
    cr_assert(reads_from_primary(self, "acme", newer, older));
    cr_assert(reads_from_primary(self, "acme", "v1.main.-.9.forged", newer));
    cr_assert_not(reads_from_primary(self, "acme", older, older));
    plugin->destroy(self);
}

Test(rw_split, every_changed_byte_voids_a_token)
{
    char token[512];
    void *self = make_default();
    size_t len;

    token_of(self, "acme", token);
    len = strlen(token);
    for (size_t i = 0; i < len; i++) {
        char kept = token[i];

        token[i] = kept == '1' ? '2' : '1';
        cr_assert_not(reads_from_primary(self, "acme", token, NULL), "byte %zu", i);
        token[i] = kept;
    }
    for (size_t i = 0; i < len; i++) {
        char kept = token[i];

        token[i] = '\0';
        cr_assert_not(reads_from_primary(self, "acme", token, NULL), "cut to %zu", i);
        token[i] = kept;
    }
    strcat(token, "A");
    cr_assert_not(reads_from_primary(self, "acme", token, NULL));
    plugin->destroy(self);
}

Test(rw_split, nonsense_is_ignored)
{
    static const char *const rows[] = {
        "",
        ".",
        "....",
        ".....",
        "v1....",
        "v1.main.-.1.",
        "v1.main.-..AAAA",
        "v2.main.-.1790000000000.AAAA",
        "v1.main.-.-1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "v1.main.-.99999999999999999999999.AAAA",
        "v1.main.-.1790000000000.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.",
        "\xff\xfe",
        "%00"
    };
    char huge[5000];
    void *self = make_default();

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_not(reads_from_primary(self, "acme", rows[i], rows[i]), "row %zu", i);
    memset(huge, '.', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    cr_assert_not(reads_from_primary(self, "acme", huge, NULL));
    cr_assert_leq(fake_hmacs, 12, "what cannot be a token costs no HMAC");
    plugin->destroy(self);
}

Test(rw_split, tenants_and_domains_are_kept_apart)
{
    char token[512];
    void *self = make_default();
    struct weir_request request = request_of("GET", "acme");

    token_of(self, "acme", token);
    cr_assert_not(reads_from_primary(self, "tiny", token, NULL));
    cr_assert_not(reads_from_primary(self, "acm", token, NULL));
    cr_assert_not(reads_from_primary(self, "", token, NULL));
    request.header = token;
    request.domain = "billing";
    cr_assert_neq(choose(self, request).roles, WEIR_ROLES_PRIMARY);
    request.domain = "main";
    cr_assert_eq(choose(self, request).roles, WEIR_ROLES_PRIMARY);
    plugin->destroy(self);
}

Test(rw_split, a_domain_may_have_any_bytes)
{
    static const char *const domains[] = { "eu.main", "a b;c,\"", "\xc3\xa4", ".", "" };
    void *self = make_default();

    for (size_t i = 0; i < sizeof domains / sizeof domains[0]; i++) {
        struct weir_request post = request_of("POST", "acme");
        struct weir_request get = request_of("GET", "acme");
        char token[512];

        post.domain = get.domain = domains[i];
        write_token(self, post, answer_of(200, WEIR_PRIMARY), token);
        cr_assert_not(strpbrk(token, " ;,\"\\"), "row %zu: %s", i, token);
        get.cookie = token;
        cr_assert_eq(choose(self, get).roles, WEIR_ROLES_PRIMARY, "row %zu", i);
    }
    plugin->destroy(self);
}

Test(rw_split, keys_can_be_rotated)
{
    char token_a[512], token_b[512];
    void *only_a = make_with_keys(KEY_A, NULL);
    void *a_then_b = make_with_keys(KEY_A, KEY_B);
    void *b_then_a = make_with_keys(KEY_B, KEY_A);
    void *only_b = make_with_keys(KEY_B, NULL);

    token_of(only_a, "acme", token_a);
    token_of(b_then_a, "acme", token_b);
    cr_assert(reads_from_primary(a_then_b, "acme", token_a, NULL));
    cr_assert(reads_from_primary(b_then_a, "acme", token_a, NULL), "the old key still verifies");
    cr_assert_not(reads_from_primary(only_b, "acme", token_a, NULL), "until it is gone");
    cr_assert(reads_from_primary(only_b, "acme", token_b, NULL), "the first key signs");
    cr_assert_not(reads_from_primary(only_a, "acme", token_b, NULL));
}

Test(rw_split, a_drawn_key_is_shared_by_instances_and_outlives_a_reload)
{
    char token[512];
    void *before = make_default();
    void *after;

    token_of(before, "acme", token);
    after = make_default();
    plugin->destroy(before);
    cr_assert(reads_from_primary(after, "acme", token, NULL));
    plugin->destroy(after);
}

Test(rw_split, a_failed_write_counts_once_a_server_was_asked)
{
    static const int statuses[] = { 200, 201, 204, 302, 400, 404, 409, 500, 502, 504 };
    char token[512];
    void *self = make_default();
    struct weir_answer answer;

    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        write_token(self, request_of("PUT", "acme"), answer_of(statuses[i], WEIR_PRIMARY), token);
        cr_assert(token[0], "row %zu", i);
    }
    answer = answer_of(504, WEIR_PRIMARY);
    answer.is_weirs_own = true;
    write_token(self, request_of("POST", "acme"), answer, token);
    cr_assert(token[0], "the server may have done it all the same");
    answer.status = 503;
    answer.sent_ms = 0;
    write_token(self, request_of("POST", "acme"), answer, token);
    cr_assert_not(token[0], "nobody was asked, so nothing was written");
    write_token(self, request_of("GET", "acme"), answer_of(200, WEIR_REPLICA), token);
    cr_assert_not(token[0], "reads get none");
    plugin->destroy(self);
}

/* What the cache would do with a stored reply, by the two means it has. */
static bool may_use(void *self, const char *token, struct weir_answer stored)
{
    struct weir_request fill = request_of("GET", "acme");
    struct weir_request reader = request_of("GET", "acme");
    struct weir_verdict verdict = { .size = sizeof verdict };
    struct weir_inspection asked = { .size = sizeof asked };

    plugin->answered(self, &fill, &stored, &verdict);
    reader.cookie = token;
    plugin->inspect(self, &reader, &asked);
    cr_assert_not(asked.bypass_cache);
    if (stored.sent_ms < asked.not_before_ms)
        return false;
    return !asked.position.data || !plugin->is_behind(self, verdict.position, asked.position);
}

Test(rw_split, the_cache_gives_a_writer_nothing_older_than_the_write)
{
    static const struct {
        int64_t after_write_ms;
        bool from_primary, from_replica;
    } rows[] = {
        { -1000, false, false },       { -1, false, false },
        { 0, false, false },           { 1, true, false },
        { WINDOW, true, false },       { WINDOW + 1, true, true },
        { WINDOW + 1000, true, true },
    };
    char token[512];
    void *self = make_default();
    struct weir_answer stored = answer_of(200, WEIR_PRIMARY);
    int64_t wrote_ms = fake_wall_ms;

    token_of(self, "acme", token);
    fake_wall_ms += HOUR - 1; /* the token's last moment */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        stored.sent_ms = wrote_ms + rows[i].after_write_ms;
        stored.role = WEIR_PRIMARY;
        cr_assert_eq(may_use(self, token, stored), rows[i].from_primary, "row %zu", i);
        cr_assert(may_use(self, NULL, stored), "row %zu: others have no such wish", i);
        stored.role = WEIR_REPLICA;
        cr_assert_eq(may_use(self, token, stored), rows[i].from_replica, "row %zu", i);
    }
    fake_wall_ms += 1;
    stored.sent_ms = wrote_ms - 1000;
    cr_assert(may_use(self, token, stored), "an hour later the token is forgotten");
    plugin->destroy(self);
}

Test(rw_split, what_has_no_position_is_behind)
{
    static const char *const rows[] = { "", "x", "-5", "0/16B3748", "99999999999999999999999" };
    void *self = make_default();

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert(plugin->is_behind(self, (struct weir_str){ rows[i], strlen(rows[i]) },
                                    (struct weir_str){ "1", 1 }),
                  "row %zu", i);
    cr_assert(plugin->is_behind(self, (struct weir_str){ 0 }, (struct weir_str){ "1", 1 }));
    plugin->destroy(self);
}

Test(rw_split, consistency_none_knows_no_tokens)
{
    void *windowed = make_default();
    void *self = make((struct weir_config){ { { .name = "consistency", .text = "none" } } });
    char token[512], none[512];

    token_of(windowed, "acme", token);
    write_token(self, request_of("POST", "acme"), answer_of(201, WEIR_PRIMARY), none);
    cr_assert_not(none[0]);
    cr_assert_not(reads_from_primary(self, "acme", token, token));
    cr_assert(may_use(self, token, (struct weir_answer){ .sent_ms = 1, .role = WEIR_REPLICA }));
}

Test(rw_split, a_token_is_verified_once_a_request)
{
    char token[512];
    void *self = make_default();
    struct weir_request request = request_of("GET", "acme");
    struct weir_inspection inspection = { .size = sizeof inspection };
    struct weir_candidate server = candidate(WEIR_PRIMARY, true, false);
    struct weir_choice choice = { .size = sizeof choice };

    token_of(self, "acme", token);
    request.cookie = token;
    fake_hmacs = 0;
    plugin->inspect(self, &request, &inspection);
    plugin->choose(self, &request, &server, 1, false, &choice);
    cr_assert_eq(fake_hmacs, 1);
    plugin->destroy(self);
}

Test(rw_split, out_of_memory_stays_on_the_safe_side)
{
    char token[512];
    void *self = make_default();
    struct weir_request request = request_of("GET", "acme");
    struct weir_inspection inspection = { .size = sizeof inspection };

    token_of(self, "acme", token);
    request.cookie = token;
    request.is_out_of_memory = true;
    plugin->inspect(self, &request, &inspection);
    cr_assert(inspection.bypass_cache);
    cr_assert_eq(choose(self, request).roles, WEIR_ROLES_PRIMARY);

    request.method = "POST";
    write_token(self, request, answer_of(201, WEIR_PRIMARY), token);
    cr_assert_not(token[0]);
    cr_assert_eq(fake_warnings, 1);
    plugin->destroy(self);
}
