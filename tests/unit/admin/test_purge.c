#include <criterion/criterion.h>

#include "cache/key.h"
#include "fixture.h"

static struct room room;

static void setup(void)
{
    room_init(&room);
}

static void teardown(void)
{
    room_fini(&room);
}

TestSuite(purge, .init = setup, .fini = teardown);

/* Something stored for a tenant under http://api.example.com. tags: each ended by a NUL. */
static void store_at(const char *tenant, const char *target, struct str tags)
{
    const struct key_parts parts = {
        .tenant = str_of(tenant),
        .authority = STR("api.example.com"),
        .target = str_of(target),
        .version = STR("v2"),
        .upstream = STR("app"),
        .method_class = STR("GET"),
    };
    const struct object_meta meta = { .status = 200,
                                      .head = STR("HTTP/1.1 200 OK\r\n"),
                                      .stored_wall_ms = loop_wall_ms(room.admin.loop),
                                      .fetched_wall_ms = loop_wall_ms(room.admin.loop),
                                      .lifetime_ms = 1000000,
                                      .length = -1,
                                      .tags = tags };
    struct arena arena;
    struct key key;
    arena_init(&arena, NULL, 0, 4096);
    CHECK(key_make(&key, &parts, &arena));
    struct object *object = object_new(room.city.cache, &key, &meta);
    CHECK(object != NULL);
    object_seal(object);
    CHECK(cache_insert(room.city.cache, &key, object, INT64_MAX));
    object_unref(object);
    arena_fini(&arena);
}

static void store(const char *tenant)
{
    store_at(tenant, "/items?page=2", STR(""));
}

/* How many went; a refusal's status, negative. */
static long long purge(const char *body)
{
    int status;
    json_t *json = room_json(&room, POST("/api/purge"), body, &status);
    long long purged =
        status == 200 ? (long long)json_integer_value(json_object_get(json, "purged")) : -status;
    json_decref(json);
    return purged;
}

/* --- here alone --- */

Test(purge, by_url_takes_one_tenants_answer_and_what_is_shared)
{
    store("acme");
    store("tiny");
    store(""); /* scope: all_tenants */
    cr_expect_eq(purge("{\"tenant\": \"acme\", \"url\": \"http://api.example.com/other\"}"), 0);
    cr_expect_eq(purge("{\"tenant\": \"acme\", \"url\": \"https://api.example.com/items?page=2\"}"), 0);
    cr_expect_eq(purge("{\"tenant\": \"ACME\", \"url\": \"http://API.example.com:80/items?page=2\"}"), 2);
    cr_expect_eq(purge("{\"tenant\": \"tiny\", \"url\": \"http://api.example.com/items?page=2\"}"), 1);
}

Test(purge, of_all_is_one_tenants_or_everybodys)
{
    store("acme");
    store("tiny");
    store("other");
    cr_expect_eq(purge("{\"tenant\": \"acme\", \"all\": true}"), 1);
    cr_expect_eq(purge("{\"all\": true, \"soft\": false}"), 2);
}

Test(purge, by_tag_takes_what_carries_it)
{
    store_at("acme", "/1", STR("items\0shop\0"));
    store_at("acme", "/2", STR("shop\0"));
    store_at("tiny", "/1", STR("items\0"));
    store_at("", "/3", STR("items\0"));
    cr_expect_eq(purge("{\"tenant\": \"acme\", \"tag\": \"items\"}"), 2, "its own, and what is shared");
    cr_expect_eq(purge("{\"tag\": \"item\"}"), 0);
    cr_expect_eq(purge("{\"tag\": \"items\"}"), 1);
    cr_expect_eq(purge("{\"all\": true}"), 1);
}

Test(purge, by_prefix_takes_what_begins_so)
{
    store_at("acme", "/items/1", STR(""));
    store_at("acme", "/items/2?x=y", STR(""));
    store_at("acme", "/other", STR(""));
    store_at("tiny", "/items/1", STR(""));
    cr_expect_eq(purge("{\"tenant\": \"tiny\", \"prefix\": \"/items/\"}"), 1);
    cr_expect_eq(purge("{\"prefix\": \"https://api.example.com/items/\"}"), 0);
    cr_expect_eq(purge("{\"prefix\": \"HTTP://API.example.com:80/items/\"}"), 2);
    cr_expect_eq(purge("{\"prefix\": \"/\"}"), 1);
}

Test(purge, soft_leaves_them_stale_and_counts_them_once)
{
    store("acme");
    cr_expect_eq(purge("{\"all\": true, \"soft\": true}"), 1);
    cr_expect_eq(purge("{\"all\": true, \"soft\": true}"), 0, "it is stale already");
    cr_expect_eq(purge("{\"all\": true}"), 1, "and still there");
}

/* --- what may be said --- */

Test(purge, says_exactly_what_to_purge)
{
    static const struct {
        const char *body;
        int status;
    } rows[] = {
        { "", 400 },
        { "{}", 400 },
        { "{\"tenant\": \"acme\"}", 400 },
        { "{\"soft\": true}", 400 },
        { "{\"all\": false}", 400 },
        { "{\"all\": \"yes\"}", 400 },
        { "{\"all\": true, \"url\": \"http://a/\"}", 400 },
        { "{\"tag\": \"a\", \"prefix\": \"/a\"}", 400 },
        { "{\"all\": true, \"soft\": 1}", 400 },
        { "{\"all\": true, \"hard\": true}", 400 },
        { "{\"url\": \"http://api.example.com/items\"}", 400 },
        { "{\"tenant\": \"acme\", \"url\": \"/items\"}", 400 },
        { "{\"tenant\": \"acme\", \"url\": \"ftp://a/\"}", 400 },
        { "{\"tenant\": \"acme\", \"url\": \"http://a/#x\"}", 400 },
        { "{\"tenant\": \"acme\", \"url\": \"http:///x\"}", 400 },
        { "{\"tenant\": \"a b\", \"all\": true}", 400 },
        { "{\"tenant\": \"\", \"all\": true}", 400 },
        { "{\"tenant\": 1, \"all\": true}", 400 },
        { "{\"tag\": \"\"}", 400 },
        { "{\"tag\": \"a b\"}", 400 },
        { "{\"tag\": \"a,b\"}", 400 },
        { "{\"tag\": \"a\\nb\"}", 400 },
        { "{\"tag\": [\"a\"]}", 400 },
        { "{\"prefix\": \"\"}", 400 },
        { "{\"prefix\": \"items\"}", 400 },
        { "{\"prefix\": \"/a b\"}", 400 },
        { "{\"prefix\": \"//\\u0000\"}", 400 },
        { "{\"prefix\": \"http://a b/\"}", 400 },
    };
    store("acme");
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(purge(rows[i].body), -rows[i].status, "row %zu: %s", i, rows[i].body);
    cr_expect_eq(purge("{\"all\": true}"), 1, "and nothing went meanwhile");
}

Test(purge, a_tag_is_at_most_256_bytes)
{
    char tag[CACHE_TAG_BYTES_MAX + 2];
    char body[CACHE_TAG_BYTES_MAX + 32];
    for (unsigned extra = 0; extra < 2; extra++) {
        memset(tag, 'x', sizeof tag);
        tag[CACHE_TAG_BYTES_MAX + extra] = '\0';
        snprintf(body, sizeof body, "{\"tag\": \"%s\"}", tag);
        cr_expect_eq(purge(body), extra ? -400 : 0);
    }
}

/* --- with a fleet --- */

static struct asked {
    enum purge_kind kind;
    bool is_soft;
    char tenant[64]; /* "(every)" for none */
    char what[128];
    purge_done_fn *done;
    void *done_arg;
} asked[4];
static unsigned asked_count;
static const struct purge_result *at_once; /* NULL: done is kept */

static void ask_fleet(void *arg, const struct cache_purge *purge, purge_done_fn *done, void *done_arg)
{
    struct asked *row = &asked[asked_count++];
    (void)arg;
    CHECK(asked_count <= COUNT_OF(asked));
    row->kind = purge->kind;
    row->is_soft = purge->is_soft;
    row->done = done;
    row->done_arg = done_arg;
    str_copy(purge->tenant.data ? purge->tenant : STR("(every)"), row->tenant, sizeof row->tenant);
    str_copy(purge->kind == PURGE_URL ? STR("") : purge->what, row->what, sizeof row->what);
    CHECK((purge->kind == PURGE_URL) == (purge->key != NULL));
    if (at_once)
        done(done_arg, at_once);
}

Test(purge, each_way_is_handed_on_as_the_cache_knows_it)
{
    static const struct purge_result local = { .end = PURGE_IS_LOCAL };
    static const struct {
        const char *body;
        enum purge_kind kind;
        const char *tenant;
        const char *what;
        unsigned count; /* 2: the same for tenant "" */
    } rows[] = {
        { "{\"all\": true}", PURGE_ALL, "(every)", "", 1 },
        { "{\"all\": true, \"tenant\": \"Acme\", \"soft\": true}", PURGE_TENANT, "acme", "", 1 },
        { "{\"tag\": \"a:1\"}", PURGE_TAG, "(every)", "a:1", 1 },
        { "{\"tag\": \"a:1\", \"tenant\": \"acme\"}", PURGE_TAG, "acme", "a:1", 2 },
        { "{\"prefix\": \"/Items?a\", \"soft\": true}", PURGE_PREFIX, "(every)", "/Items?a", 1 },
        { "{\"prefix\": \"https://Shop.test:443\", \"tenant\": \"acme\"}", PURGE_PREFIX, "acme",
          "https://shop.test/", 2 },
        { "{\"prefix\": \"http://shop.test:81/A\"}", PURGE_PREFIX, "(every)", "http://shop.test:81/A", 1 },
        { "{\"url\": \"http://shop.test/a\", \"tenant\": \"acme\"}", PURGE_URL, "acme", "", 2 },
    };
    room.admin.hooks.purge = ask_fleet;
    at_once = &local;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        asked_count = 0;
        cr_expect_eq(purge(rows[i].body), 0, "row %zu", i);
        cr_assert_eq(asked_count, rows[i].count, "row %zu", i);
        cr_expect_eq(asked[0].kind, rows[i].kind, "row %zu", i);
        cr_expect_str_eq(asked[0].tenant, rows[i].tenant, "row %zu", i);
        cr_expect_str_eq(asked[0].what, rows[i].what, "row %zu", i);
        cr_expect_eq(asked[0].is_soft, strstr(rows[i].body, "soft") != NULL, "row %zu", i);
        if (asked_count == 2) {
            cr_expect_eq(asked[1].kind, rows[i].kind, "row %zu", i);
            cr_expect_str_eq(asked[1].tenant, "", "row %zu", i);
            cr_expect_str_eq(asked[1].what, rows[i].what, "row %zu", i);
        }
    }
}

Test(purge, the_answer_says_how_it_ended)
{
    static const struct {
        enum purge_end end;
        int status;
        const char *word;
    } rows[] = {
        { PURGE_IS_LOCAL, 200, NULL },
        { PURGE_IS_DONE, 200, NULL },
        { PURGE_PARTLY, 503, "fleet-unreachable" },
        { PURGE_UNREACHABLE, 503, "fleet-unreachable" },
    };
    room.admin.hooks.purge = ask_fleet;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct purge_result result = { .count = 5, .nodes = 3, .end = rows[i].end };
        int status;
        at_once = &result;
        asked_count = 0;
        json_t *json = room_json(&room, POST("/api/purge"), "{\"all\": true, \"soft\": true}", &status);
        cr_expect_eq(status, rows[i].status, "row %zu", i);
        cr_expect_eq(json_integer_value(json_object_get(json, "purged")), 5, "row %zu", i);
        cr_expect_eq(json_integer_value(json_object_get(json, "nodes")), rows[i].end == PURGE_IS_DONE ? 3 : 0,
                     "row %zu", i);
        cr_expect_eq(json_is_true(json_object_get(json, "soft")), status == 200, "row %zu", i);
        if (rows[i].word)
            cr_expect_str_eq(json_string_value(json_object_get(json, "reason")), rows[i].word);
        json_decref(json);
    }
}

static unsigned ready;

static void on_ready(struct reply *reply)
{
    (void)reply;
    ready++;
}

Test(purge, waits_until_the_whole_fleet_has_done_all_of_it)
{
    static const char head[] = "POST /api/purge HTTP/1.1\r\nHost: 127.0.0.1:9900\r\n"
                               "Authorization: Bearer s3cret\r\nContent-Type: application/json\r\n\r\n";
    static const struct head_limits limits = { .head_bytes = 8192, .line_bytes = 4096, .fields = 64 };
    static struct message msg;
    struct reply reply;
    room.admin.hooks.purge = ask_fleet;
    at_once = NULL;
    CHECK(message_read_request(&msg, STR(head), &limits) == 0);
    const struct ask ask = { .msg = &msg, .body = STR("{\"tenant\": \"acme\", \"tag\": \"items\"}") };
    reply_init(&reply);
    api_ask(&ask, &reply, &room.admin);
    cr_assert(reply.is_later);
    cr_assert_eq(asked_count, 2);
    reply.on_ready = on_ready;

    const struct purge_result one = { .count = 2, .nodes = 3, .end = PURGE_PARTLY };
    const struct purge_result other = { .count = 1, .nodes = 2, .end = PURGE_IS_DONE };
    asked[1].done(asked[1].done_arg, &one);
    cr_expect_eq(ready, 0);
    asked[0].done(asked[0].done_arg, &other);
    cr_expect_eq(ready, 1);
    cr_expect_eq(reply.status, 503, "the worse end of the two");
    cr_expect_not_null(memmem(buf_str(&reply.body).data, buf_len(&reply.body), "\"purged\":3", 10));
    reply_fini(&reply);
}
