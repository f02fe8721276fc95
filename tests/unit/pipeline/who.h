/* Somebody who asks, with a head of his own and rules that a test may change. */
#ifndef TEST_WHO_H
#define TEST_WHO_H

#include <criterion/criterion.h>
#include <stdio.h>

#include "pipeline/share.h"

static const struct head_limits limits = { 65536, 65536, FIELDS_MAX };
static const struct str listed[] = { STR_INIT("sid"), STR_INIT("t") };

/* Somebody with a head of his own. */
struct who {
    struct asker asker;
    struct config_cache_rule rule;
    struct message msg;
    struct shared shared;
    struct arena arena;
    char head[1024];
};

static inline void who_asks(struct who *who, const char *target, const char *fields)
{
    int len = snprintf(who->head, sizeof who->head, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", target, fields);
    cr_assert(len < (int)sizeof who->head);
    cr_assert_eq(message_read_request(&who->msg, str_of(who->head), &limits), 0, "%s", who->head);
    who->rule = (struct config_cache_rule){ .ttl_ms = 1000, .share = SHARE_PUBLIC };
    who->asker = (struct asker){
        .tenant = STR("acme"),
        .authority = STR("a"),
        .target = who->msg.target,
        .path = who->msg.path,
        .version = STR("v1"),
        .upstream = STR("app"),
        .msg = &who->msg,
        .rule = &who->rule,
    };
    arena_init(&who->arena, NULL, 0, 1 << 20);
}

static inline void decide(struct who *who)
{
    cr_assert(share_decide(&who->asker, &who->arena, &who->shared));
}

static inline void list_cookies(struct who *who)
{
    who->rule.has_cookies = true;
    who->rule.cookies = (struct str *)(uintptr_t)listed;
    who->rule.cookie_count = COUNT_OF(listed);
}

static inline void share_by_credential(struct who *who)
{
    who->rule.share = SHARE_CREDENTIAL;
}

#endif
