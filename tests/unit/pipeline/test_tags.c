/* By what names an answer may be purged, how many there may be, and what a write makes stale. */
#include "pipeline/tags.h"

#include "standing.h"

#define ROUTE   APP "routes:\n  - {path: /**, cache: {tags: [r1, r2]}}\n"
#define TENANTS APP "tenants: {from: [{header: X-Tenant, believe: any}], unknown: default}\n"

static struct request *req;
static struct message reply;
static char reply_text[40000];
static char out[TAGS_BYTES_MAX];
static struct str tags;

/* The reply has these field lines, "\n" for their ends. */
static void reply_says(const char *fields)
{
    static const struct head_limits limits = { 65536, 65536, FIELDS_MAX };
    size_t len = (size_t)sprintf(reply_text, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
    for (const char *at = fields; *at; at++)
        len += (size_t)sprintf(reply_text + len, *at == '\n' ? "\r\n" : "%c", *at);
    len += (size_t)sprintf(reply_text + len, "\r\n");
    cr_assert(len < sizeof reply_text);
    cr_assert_eq(message_read_reply(&reply, str_n(reply_text, len), METHOD_GET, &limits), 0, "%s",
                 reply_text);
}

/* Reads the tags and writes them with "|" for their ends. */
static bool reads(const char *fields)
{
    reply_says(fields);
    tags = STR("untouched");
    return tags_of_reply(req, &reply, out, &tags);
}

static const char *text(void)
{
    static char shown[TAGS_BYTES_MAX + 1];
    str_copy(tags, shown, sizeof shown);
    for (size_t i = 0; i < tags.len && i < sizeof shown - 1; i++)
        shown[i] = tags.data[i] ? tags.data[i] : '|';
    return shown;
}

/* So many names like "t0042", with that between them. */
static const char *names(const char *field, unsigned count, const char *between)
{
    static char line[8000];
    size_t len = (size_t)sprintf(line, "%s: ", field);
    for (unsigned i = 0; i < count; i++) {
        bool is_group = strcmp(field, "Cache-Groups") == 0;
        len += (size_t)sprintf(line + len, is_group ? "%s\"t%04u\"" : "%st%04u", i ? between : "", i);
    }
    sprintf(line + len, "\n");
    return line;
}

static const char *long_name(const char *before, size_t len, const char *after)
{
    static char line[1200];
    size_t at = (size_t)sprintf(line, "%s", before);
    memset(line + at, 'x', len);
    sprintf(line + at + len, "%s\n", after);
    return line;
}

Test(tags, where_they_come_from)
{
    static const struct {
        const char *fields;
        const char *want;
    } rows[] = {
        { "", "" },
        { "Cache-Tag: a\n", "a|" },
        { "Cache-Tag: a, b ,,c d\n", "a|b|c d|" },
        { "Cache-Tag: a\nSurrogate-Key: b  c,d\nCache-Tag: e\n", "a|e|b|c,d|" },
        { "Cache-Tag:\n", "" },
        { "Cache-Tag: A, a\n", "A|a|" },
    };
    set_up(APP);
    req = standing("GET /x HTTP/1.1\nHost: a");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cr_expect(reads(rows[i].fields), "row %zu", i);
        cr_expect_str_eq(text(), rows[i].want, "row %zu", i);
    }
    go_away(req);
    tear_down();
}

Test(tags, the_routes_come_with_every_reply)
{
    set_up(ROUTE);
    req = standing("GET /x HTTP/1.1\nHost: a");
    cr_expect(reads(""));
    cr_expect_str_eq(text(), "r1|r2|");
    cr_expect(reads("Cache-Tag: a\n"));
    cr_expect_str_eq(text(), "a|r1|r2|");
    go_away(req);
    tear_down();
}

Test(tags, a_group_is_its_origins_and_no_tag_can_be_taken_for_one)
{
    char one[600], other[600];
    set_up(APP);
    req = standing("GET /x HTTP/1.1\nHost: a");
    cr_assert(reads("Cache-Groups: \"g\", \"h i\"\n"));
    str_copy(str_of(text()), one, sizeof one);
    cr_expect_not_null(strstr(one, "http://a g|"));
    cr_expect_not_null(strstr(one, "http://a h i|"));
    req->authority = STR("b");
    cr_assert(reads("Cache-Groups: \"g\", \"h i\"\n"));
    str_copy(str_of(text()), other, sizeof other);
    cr_expect_str_neq(one, other);
    req->authority = STR("a");
    req->is_https = true;
    cr_assert(reads("Cache-Groups: \"g\", \"h i\"\n"));
    cr_expect_str_neq(text(), one);
    req->is_https = false;
    *strchr(one, '|') = '\0'; /* the app may say what it likes */
    char line[1400];
    snprintf(line, sizeof line, "Cache-Tag: %s\nSurrogate-Key: %s\n", one, one);
    cr_assert(reads(line));
    snprintf(other, sizeof other, "|%s", text());
    snprintf(line, sizeof line, "|%s|", one);
    cr_expect_null(strstr(other, line), "%s", other);
    cr_expect(reads("Cache-Groups: not a list of strings\n"), "a malformed field has none");
    cr_expect_str_eq(text(), "");
    go_away(req);
    tear_down();
}

Test(tags, what_could_not_be_purged_by_all_its_names_is_not_stored)
{
    char both[9000];
    set_up(ROUTE);
    req = standing("GET /x HTTP/1.1\nHost: a");
    cr_expect(reads(names("Cache-Tag", 62, ", ")), "and the route's two");
    cr_expect_not(reads(names("Cache-Tag", 63, ", ")));
    cr_expect_not(reads(names("Cache-Tag", 65, ", ")));
    cr_expect(reads(names("Surrogate-Key", 62, " ")));
    cr_expect_not(reads(names("Surrogate-Key", 63, " ")));
    cr_expect(reads(names("Cache-Groups", 62, ", ")));
    cr_expect_not(reads(names("Cache-Groups", 63, ", ")));
    size_t len = (size_t)sprintf(both, "%s", names("Cache-Tag", 31, ", "));
    sprintf(both + len, "%s", names("Cache-Groups", 31, ", "));
    cr_expect(reads(both));
    sprintf(both + len, "%s", names("Cache-Groups", 32, ", "));
    cr_expect_not(reads(both));
    cr_expect(reads(long_name("Cache-Tag: ", 256, "")));
    cr_expect_not(reads(long_name("Cache-Tag: a, ", 257, "")));
    cr_expect_not(reads(long_name("Surrogate-Key: a ", 257, "")));
    cr_expect(reads(long_name("Cache-Groups: \"", 200, "\"")));
    cr_expect_not(reads(long_name("Cache-Groups: \"", 256, "\"")), "its origin is part of it");
    go_away(req);
    tear_down();
}

Test(tags, all_together_have_a_limit_too)
{
    static char fields[40000];
    size_t len = 0;
    set_up(APP);
    req = standing("GET /x HTTP/1.1\nHost: a");
    for (unsigned i = 0; i < 31; i++)
        len += (size_t)sprintf(fields + len, "%s", long_name("Cache-Tag: ", 256, ""));
    cr_expect(reads(fields));
    cr_expect_eq(tags.len, 31u * 257);
    for (unsigned i = 0; i < 2; i++)
        len += (size_t)sprintf(fields + len, "%s", long_name("Cache-Tag: ", 256, ""));
    cr_expect_not(reads(fields));
    go_away(req);
    tear_down();
}

/* --- renewed --- */

static uint64_t purged(const char *tag)
{
    const struct cache_purge purge = { .kind = PURGE_TAG, .tenant = STR("default"), .what = str_of(tag) };
    return cache_purge(place.city.cache, &purge, loop_tick_ns(place.lane->loop), now_ms());
}

static const char renewable[] =
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=0\r\nETag: \"e\"\r\nCache-Tag: one two, c\r\n"
    "Surrogate-Key: a,b three\r\nContent-Length: 0\r\n\r\n";

Test(tags, the_apps_own_tags_survive_a_renewal)
{
    static const char *const named[] = { "one two", "c", "a,b", "three", "r2" };
    for (size_t i = 0; i < COUNT_OF(named); i++) {
        set_up(ROUTE);
        meet("GET /x HTTP/1.1\nHost: a", renewable);
        for (unsigned times = 0; times < 2; times++)
            meet("GET /x HTTP/1.1\nHost: a",
                 "HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\nCache-Control: max-age=0\r\n\r\n");
        cr_expect_eq(purged("two"), 0);
        cr_expect_eq(purged(named[i]), 1, "%s", named[i]);
        tear_down();
    }
}

Test(tags, a_renewals_own_tags_take_their_place)
{
    set_up(ROUTE);
    meet("GET /x HTTP/1.1\nHost: a", renewable);
    meet("GET /x HTTP/1.1\nHost: a",
         "HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\nCache-Control: max-age=0\r\nCache-Tag: new\r\n\r\n");
    cr_expect_eq(purged("three"), 0);
    cr_expect_eq(purged("new"), 1);
    tear_down();
}

/* --- what a write makes stale --- */

#define WROTE(fields) "HTTP/1.1 201 Created\r\n" fields "Content-Length: 0\r\n\r\n"

/* Is that page there after the write, which the app answers so? */
static bool survives(const char *yaml, const char *page, const char *stored, const char *write,
                     const char *reply_of_it)
{
    char lines[256];
    snprintf(lines, sizeof lines, "GET %s HTTP/1.1\nHost: a", page);
    set_up(yaml);
    meet(lines, stored);
    meet(write, reply_of_it);
    guest_ask(&guest, lines);
    bool is_there = guest.req == NULL;
    if (!is_there) {
        app_head(&place.apps[0]);
        app_send(&place.apps[0], stored);
        guest_until_done(&guest);
    }
    tear_down();
    return is_there;
}

Test(tags, what_a_write_makes_stale)
{
    static const char tagged[] = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nCache-Tag: "
                                 "t\r\nCache-Groups: \"g\"\r\nContent-Length: 0\r\n\r\n";
    static const struct {
        const char *write;
        const char *reply;
        bool survives;
    } rows[] = {
        { "POST /x HTTP/1.1\nHost: a", WROTE(""), false },
        { "PUT /x HTTP/1.1\nHost: a", "HTTP/1.1 204 None\r\n\r\n", false },
        { "DELETE /x HTTP/1.1\nHost: A:80", WROTE(""), false },
        { "FROB /x HTTP/1.1\nHost: a", WROTE(""), false },
        { "POST /x HTTP/1.1\nHost: a", "HTTP/1.1 303 See\r\nContent-Length: 0\r\n\r\n", false },
        { "POST /x HTTP/1.1\nHost: a", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", true },
        { "POST /x HTTP/1.1\nHost: a", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", true },
        { "OPTIONS /x HTTP/1.1\nHost: a", WROTE(""), true },
        { "POST /y HTTP/1.1\nHost: a", WROTE(""), true },
        { "POST /x HTTP/1.1\nHost: b", WROTE(""), true },
        { "POST /x HTTP/1.1\nHost: a:8080", WROTE(""), true },
        { "POST /y HTTP/1.1\nHost: a", WROTE("Location: /x\r\n"), false },
        { "POST /y HTTP/1.1\nHost: a", WROTE("Content-Location: http://A:80/z/../x#f\r\n"), false },
        { "POST /y HTTP/1.1\nHost: a", WROTE("Location: http://b/x\r\n"), true },
        { "POST /y HTTP/1.1\nHost: a", WROTE("Location: https://a/x\r\n"), true },
        { "POST /y HTTP/1.1\nHost: b", WROTE("Location: http://a/x\r\n"), true },
        { "GET /y HTTP/1.1\nHost: a", WROTE("Location: /x\r\n"), true },
        { "POST /y HTTP/1.1\nHost: a", WROTE("Cache-Group-Invalidation: \"h\", \"g\"\r\n"), false },
        { "POST /y HTTP/1.1\nHost: b", WROTE("Cache-Group-Invalidation: \"g\"\r\n"), true },
        { "GET /y HTTP/1.1\nHost: a", WROTE("Cache-Group-Invalidation: \"g\"\r\n"), true },
        { "POST /y HTTP/1.1\nHost: a", WROTE("Cache-Group-Invalidation: \"t\"\r\n"), true },
        { "POST /y HTTP/1.1\nHost: b", WROTE("Weir-Purge: u t\r\n"), false },
        { "POST /y HTTP/1.1\nHost: a", "HTTP/1.1 500 No\r\nWeir-Purge: t\r\nContent-Length: 0\r\n\r\n",
          false },
        { "POST /y HTTP/1.1\nHost: a", WROTE("Weir-Purge: u tt\r\n"), true },
        { "GET /y HTTP/1.1\nHost: a", WROTE("Weir-Purge: t\r\n"), true },
        { "POST /y HTTP/1.1\nHost: a\nX-Tenant: other", WROTE("Weir-Purge: t\r\nLocation: /x\r\n"), true },
        { "POST /x HTTP/1.1\nHost: a\nX-Tenant: other", WROTE("Cache-Group-Invalidation: \"g\"\r\n"), true },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(survives(TENANTS, "/x", tagged, rows[i].write, rows[i].reply), rows[i].survives,
                     "row %zu", i);
}

Test(tags, what_all_tenants_share_any_of_them_may_purge_by_tag)
{
    static const char *const yaml =
        TENANTS "routes:\n  - {path: /all/**, cache: {ttl: 60s, scope: all_tenants, tags: [pub]}}\n";
    static const char plain[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    cr_expect_not(survives(yaml, "/all/x", plain, "POST /y HTTP/1.1\nHost: a\nX-Tenant: other",
                           WROTE("Weir-Purge: pub\r\n")));
    cr_expect(survives(yaml, "/all/x", plain, "POST /y HTTP/1.1\nHost: a\nX-Tenant: other",
                       WROTE("Weir-Purge: put\r\n")));
}
