/* Where a Redis is, as people write it. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/check.h"
#include "fleet/redis.h"

struct good {
    const char *url;
    const char *shown;
    const char *user;
    const char *password;
    const char *master;
    unsigned addr_count;
    int db;
};

static const struct good goods[] = {
    { "redis://127.0.0.1", "redis://127.0.0.1:6379/0", "", "", "", 1, 0 },
    { "redis://127.0.0.1:7000/3", "redis://127.0.0.1:7000/3", "", "", "", 1, 3 },
    { "redis://cache.internal/", "redis://cache.internal:6379/0", "", "", "", 1, 0 },
    { "redis://[::1]:7000/0", "redis://[::1]:7000/0", "", "", "", 1, 0 },
    { "redis://[::1]", "redis://[::1]:6379/0", "", "", "", 1, 0 },
    { "redis://host?db=4", "redis://host:6379/4", "", "", "", 1, 4 },
    { "redis://:s3cret@host", "redis://host:6379/0", "", "s3cret", "", 1, 0 },
    { "redis://ann:p%40ss%2Fw%25rd@host/1", "redis://host:6379/1", "ann", "p@ss/w%rd", "", 1, 1 },
    { "redis://ann:with@at@host/1", "redis://host:6379/1", "ann", "with@at", "", 1, 1 },
    { "unix:///run/redis.sock", "unix:/run/redis.sock?db=0", "", "", "", 1, 0 },
    { "redis+unix:///run/a%20b.sock?db=2", "unix:/run/a b.sock?db=2", "", "", "", 1, 2 },
    { "unix://ann:pw@/run/redis.sock", "unix:/run/redis.sock?db=0", "ann", "pw", "", 1, 0 },
    { "redis+sentinel://a,b:7,[::1]/mymaster", "redis+sentinel://a:26379,b:7,[::1]:26379/mymaster/0", "", "",
      "mymaster", 3, 0 },
    { "redis+sentinel://u:p@a/m/5", "redis+sentinel://a:26379/m/5", "u", "p", "m", 1, 5 },
};

Test(redis_url, reads_every_form)
{
    for (size_t i = 0; i < COUNT_OF(goods); i++) {
        struct redis_url url;
        const char *why = NULL;
        char shown[256];
        cr_assert(redis_url_parse(str_of(goods[i].url), &url, &why), "row %zu: %s", i, why);
        redis_url_show(&url, shown, sizeof shown);
        cr_expect_str_eq(shown, goods[i].shown, "row %zu: %s", i, shown);
        cr_expect_str_eq(url.user, goods[i].user, "row %zu", i);
        cr_expect_str_eq(url.password, goods[i].password, "row %zu", i);
        cr_expect_str_eq(url.master, goods[i].master, "row %zu", i);
        cr_expect_eq(url.addr_count, goods[i].addr_count, "row %zu", i);
        cr_expect_eq(url.db, goods[i].db, "row %zu", i);
    }
}

static const char *const bads[] = {
    "",
    "host:6379",
    "redis:host",
    "http://host",
    "rediss://host",
    "redis://",
    "redis://host:0",
    "redis://host:65536",
    "redis://host:x",
    "redis://host/x",
    "redis://host/-1",
    "redis://host/70000",
    "redis://host?timeout=1",
    "redis://host?db=",
    "redis://a,b",
    "redis://pass@host",
    "redis://user:@host",
    "redis://user:p%4@host",
    "redis://user:p%zz@host",
    "redis://user:p%00@host",
    "redis://user:p%0d%0a@host",
    "redis://unix:/tmp/x",
    "redis://1.2.3",
    "unix://path",
    "unix://",
    "unix://host/path",
    "redis+sentinel://a",
    "redis+sentinel://a/",
    "redis+sentinel:///m",
    "redis+sentinel://a,,b/m",
    "redis+sentinel://1,2,3,4,5,6,7,8,9/m",
    "redis+sentinel://a,b,c,d,e,f,g,h,i/m",
};

Test(redis_url, says_why_and_never_what)
{
    for (size_t i = 0; i < COUNT_OF(bads); i++) {
        struct redis_url url;
        const char *why = NULL;
        cr_expect_not(redis_url_parse(str_of(bads[i]), &url, &why), "row %zu: %s", i, bads[i]);
        cr_assert_not_null(why, "row %zu", i);
        cr_expect_gt(strlen(why), 20, "row %zu", i);
    }
    struct redis_url url;
    const char *why;
    cr_assert_not(redis_url_parse(STR("rediss://:hunter2@host"), &url, &why));
    cr_assert_not_null(strstr(why, "TLS"));
    cr_assert_null(strstr(why, "hunter2"));
}

Test(redis_url, refuses_what_is_too_long)
{
    char text[2048];
    static const char *const forms[] = {
        "redis://u:%.*s@h", "redis://%.*s:p@h",        "redis://%.*s",
        "unix:///%.*s",     "redis+sentinel://h/%.*s", "redis+sentinel://%.*s/m"
    };
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        char longish[601];
        memset(longish, 'a', 600);
        longish[600] = '\0';
        struct redis_url url;
        const char *why;
        snprintf(text, sizeof text, forms[i], 600, longish);
        cr_expect_not(redis_url_parse(str_of(text), &url, &why), "form %zu", i);
    }
}
