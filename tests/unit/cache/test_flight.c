#include <criterion/criterion.h>

#include "fixture.h"
#include "http/caching.h"

static struct test_key room;

struct client {
    struct flight_waiter waiter;
    unsigned calls;
    unsigned order;
};

static unsigned calls_so_far;

static void on_news(struct flight_waiter *waiter)
{
    struct client *client = CONTAINER_OF(waiter, struct client, waiter);
    client->calls++;
    client->order = ++calls_so_far;
}

static enum flight_role join(struct cache *cache, const struct key *key, const struct object *seen,
                             struct client *client, struct flight **out_flight)
{
    *client = (struct client){ .waiter.on_news = on_news };
    return flight_join(cache, key, NULL, seen, &client->waiter, out_flight);
}

Test(flight, has_exactly_one_leader)
{
    struct cache *cache = test_cache(MIB, 4);
    const struct key *key = test_key(&room, "acme", "/");
    static struct client clients[100];
    struct flight *flight = NULL, *none;
    cr_assert(join(cache, key, NULL, &clients[0], &flight) == FLIGHT_LEAD);
    for (unsigned i = 1; i < 100; i++)
        cr_assert(join(cache, key, NULL, &clients[i], &none) == FLIGHT_WAIT);
    cr_expect_eq(flight_waiting(flight), 99);
    flight_land(flight);
    for (unsigned i = 1; i < 100; i++) {
        cr_expect_eq(clients[i].calls, 1);
        cr_expect(clients[i].waiter.news == FLIGHT_LANDED);
        cr_expect_eq(clients[i].order, i, "oldest first");
        cr_expect_not(flight_quit(&clients[i].waiter), "too late");
    }
    cr_expect_eq(clients[0].calls, 0);
    cr_expect(join(cache, key, NULL, &clients[0], &flight) == FLIGHT_LEAD, "the next one");
    flight_abandon(flight);
    cache_free(cache);
}

Test(flight, different_keys_do_not_wait_for_each_other)
{
    struct cache *cache = test_cache(MIB, 1);
    static struct test_key rooms[2];
    struct key_parts parts = test_parts("acme", "/");
    struct client clients[4];
    struct flight *flights[3];
    test_key_of(&rooms[0], &parts);
    parts.cookie = STR("session=1");
    test_key_of(&rooms[1], &parts);
    cr_expect(join(cache, &rooms[0].key, NULL, &clients[0], &flights[0]) == FLIGHT_LEAD);
    cr_expect(join(cache, &rooms[1].key, NULL, &clients[1], &flights[1]) == FLIGHT_LEAD);
    cr_expect(join(cache, test_key(&room, "tiny", "/"), NULL, &clients[2], &flights[2]) == FLIGHT_LEAD);
    for (unsigned i = 0; i < 3; i++)
        flight_land(flights[i]);
    cache_free(cache);
}

Test(flight, scatter_and_fail_tell_each_one_once)
{
    for (unsigned is_failed = 0; is_failed < 2; is_failed++) {
        struct cache *cache = test_cache(MIB, 1);
        const struct key *key = test_key(&room, "acme", "/");
        struct client leader, clients[3];
        struct flight *flight, *none;
        cr_assert(join(cache, key, NULL, &leader, &flight) == FLIGHT_LEAD);
        for (unsigned i = 0; i < 3; i++)
            join(cache, key, NULL, &clients[i], &none);
        if (is_failed)
            flight_fail(flight, -5);
        else
            flight_scatter(flight, 1000, 0);
        for (unsigned i = 0; i < 3; i++) {
            cr_expect_eq(clients[i].calls, 1);
            cr_expect(clients[i].waiter.news == (is_failed ? FLIGHT_FAILED : FLIGHT_SCATTERED));
            cr_expect_eq(clients[i].waiter.err, is_failed ? -5 : 0);
        }
        cache_free(cache);
    }
}

Test(flight, scattered_key_is_remembered_for_a_time)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    struct client client;
    struct flight *flight;
    struct cache_found found;
    cr_assert(join(cache, key, NULL, &client, &flight) == FLIGHT_LEAD);
    flight_scatter(flight, 1000, 500);
    cache_find(cache, key, NULL, 1499, &found);
    cr_expect(found.is_uncacheable);
    cr_expect_not(found.has_variants);
    cr_expect_null(found.object);
    cr_expect(join(cache, key, NULL, &client, &flight) == FLIGHT_AGAIN, "who looked before finds it now");
    cr_expect_eq(test_objects(cache), 0, "it is no object");
    cache_find(cache, key, NULL, 1500, &found);
    cr_expect_not(found.is_uncacheable);
    cr_expect(join(cache, key, NULL, &client, &flight) == FLIGHT_LEAD);
    flight_scatter(flight, 2000, 500);
    test_store(cache, key, 10, 1);
    cache_find(cache, key, NULL, 2001, &found);
    cr_expect_not(found.is_uncacheable, "a stored answer takes its place");
    cr_expect_not_null(found.object);
    object_unref(found.object);
    cache_free(cache);
}

Test(flight, oldest_waiter_is_promoted_when_the_leader_leaves)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    struct client leader, clients[3];
    struct flight *flight, *none;
    cr_assert(join(cache, key, NULL, &leader, &flight) == FLIGHT_LEAD);
    for (unsigned i = 0; i < 3; i++)
        join(cache, key, NULL, &clients[i], &none);
    cr_assert(flight_quit(&clients[0].waiter));
    flight_abandon(flight);
    cr_expect_eq(clients[0].calls, 0, "it quit");
    cr_expect_eq(clients[1].calls, 1);
    cr_expect(clients[1].waiter.news == FLIGHT_YOURS);
    cr_expect_eq(clients[1].waiter.flight, flight);
    cr_expect_eq(clients[2].calls, 0);
    cr_expect_eq(flight_waiting(flight), 1);
    cr_expect(join(cache, key, NULL, &clients[0], &none) == FLIGHT_WAIT);
    flight_land(flight);
    cr_expect(clients[2].waiter.news == FLIGHT_LANDED);
    cr_expect(clients[0].waiter.news == FLIGHT_LANDED);
    cr_expect_eq(clients[1].calls, 1);
    cache_free(cache);
}

Test(flight, who_was_promoted_too_late_to_quit_abandons)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    struct client leader, client;
    struct flight *flight, *none;
    cr_assert(join(cache, key, NULL, &leader, &flight) == FLIGHT_LEAD);
    cr_assert(join(cache, key, NULL, &client, &none) == FLIGHT_WAIT);
    flight_abandon(flight);
    cr_assert_not(flight_quit(&client.waiter));
    cr_assert(client.waiter.news == FLIGHT_YOURS);
    flight_abandon(client.waiter.flight);
    cr_expect(join(cache, key, NULL, &leader, &flight) == FLIGHT_LEAD, "the flight is over");
    flight_abandon(flight);
    cache_free(cache);
}

Test(flight, quit_means_no_call_and_may_join_again)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    struct client leader, client = { 0 };
    struct flight *flight, *none;
    cr_expect(flight_quit(&client.waiter), "it never waited");
    cr_assert(join(cache, key, NULL, &leader, &flight) == FLIGHT_LEAD);
    cr_assert(join(cache, key, NULL, &client, &none) == FLIGHT_WAIT);
    cr_expect(flight_quit(&client.waiter));
    cr_expect(flight_quit(&client.waiter), "twice is fine");
    cr_expect_eq(flight_waiting(flight), 0);
    cr_expect(join(cache, key, NULL, &client, &none) == FLIGHT_WAIT);
    flight_land(flight);
    cr_expect_eq(client.calls, 1);
    cache_free(cache);
}

/* The first to be told lets the next one quit: it is too late, and it gets its news all the same. */
struct quitter {
    struct client first;
    struct client second;
    bool was_in_time;
};

static void on_news_quit_other(struct flight_waiter *waiter)
{
    struct quitter *quitter = CONTAINER_OF(waiter, struct quitter, first.waiter);
    quitter->first.calls++;
    quitter->was_in_time = flight_quit(&quitter->second.waiter);
}

Test(flight, quit_while_others_are_told_comes_too_late)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    struct client leader;
    struct quitter quitter;
    struct flight *flight, *none;
    cr_assert(join(cache, key, NULL, &leader, &flight) == FLIGHT_LEAD);
    join(cache, key, NULL, &quitter.first, &none);
    join(cache, key, NULL, &quitter.second, &none);
    quitter.first.waiter.on_news = on_news_quit_other;
    flight_land(flight);
    cr_expect_not(quitter.was_in_time);
    cr_expect_eq(quitter.second.calls, 1);
    cache_free(cache);
}

Test(flight, who_would_not_wait_leads_or_leaves_it)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    struct client client;
    struct flight *flight, *other;
    const struct object *stale = test_store(cache, key, 10, 1);
    cr_expect(flight_lead(cache, key, NULL, NULL, &flight) == FLIGHT_AGAIN, "something new is there");
    cr_expect_null(flight);
    cr_assert(flight_lead(cache, key, NULL, stale, &flight) == FLIGHT_LEAD);
    cr_expect(flight_lead(cache, key, NULL, stale, &other) == FLIGHT_NONE, "one is enough");
    cr_expect_null(other);
    cr_expect_eq(flight_waiting(flight), 0);
    cr_expect(join(cache, key, stale, &client, &other) == FLIGHT_WAIT, "others may wait for it");
    flight_land(flight);
    cr_expect_eq(client.calls, 1);
    cache_free(cache);
}

Test(flight, markers_of_a_key_are_bounded)
{
    struct cache *cache = test_cache(10 * MIB, 1);
    static struct test_key rooms[3 * VARIANTS_MAX];
    struct cache_found found;
    unsigned remembered = 0;
    for (unsigned i = 0; i < COUNT_OF(rooms); i++) {
        char cookie[16];
        snprintf(cookie, sizeof cookie, "s=%u", i);
        struct key_parts parts = test_parts("acme", "/");
        parts.cookie = str_of(cookie);
        struct flight *flight;
        cr_assert(flight_lead(cache, test_key_of(&rooms[i], &parts), NULL, NULL, &flight) == FLIGHT_LEAD);
        flight_scatter(flight, 1000 + i, 5000);
    }
    for (unsigned i = 0; i < COUNT_OF(rooms); i++) {
        cache_find(cache, &rooms[i].key, NULL, 1100, &found);
        cr_expect_eq(found.is_uncacheable, i >= 2 * VARIANTS_MAX, "row %u", i);
        remembered += found.is_uncacheable;
    }
    cr_expect_eq(remembered, VARIANTS_MAX);
    cache_free(cache);
}

Test(flight, stored_since_the_look_means_look_again)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    struct client leader, client;
    struct flight *flight, *none;
    cr_assert(join(cache, key, NULL, &leader, &flight) == FLIGHT_LEAD);
    const struct object *stored = test_store(cache, key, 10, 1);
    cr_expect(join(cache, key, NULL, &client, &none) == FLIGHT_AGAIN, "between insert and land");
    flight_land(flight);
    cr_expect(join(cache, key, NULL, &client, &none) == FLIGHT_AGAIN, "after both");
    cr_expect_eq(client.calls, 0);
    cr_expect(join(cache, key, stored, &client, &flight) == FLIGHT_LEAD, "it saw that one, and it is stale");
    flight_abandon(flight);
    cache_free(cache);
}

Test(flight, is_not_joined_after_an_invalidation_or_purge)
{
    static const struct cache_purge soft = { .kind = PURGE_TENANT,
                                             .tenant = STR_INIT("acme"),
                                             .is_soft = true };
    static const struct cache_purge prefix = { .kind = PURGE_PREFIX, .what = STR_INIT("/") };
    for (unsigned how = 0; how < 5; how++) {
        struct cache *cache = test_cache(MIB, 1);
        const struct key *key = test_key(&room, "acme", "/");
        struct client before, waiting, after;
        struct flight *old, *fresh, *none;
        cr_assert(join(cache, key, NULL, &before, &old) == FLIGHT_LEAD);
        cr_assert(join(cache, key, NULL, &waiting, &none) == FLIGHT_WAIT);
        if (how == 0)
            cache_invalidate(cache, key, 100);
        else if (how == 1)
            cache_purge_tenant(cache, STR("acme"), 100);
        else if (how == 3)
            cache_purge(cache, &prefix, 100, 100);
        else if (how == 4)
            cache_purge(cache, &soft, 100, 100);
        else
            cache_purge_all(cache, 100);
        cr_expect(join(cache, key, NULL, &after, &fresh) == FLIGHT_LEAD, "row %u", how);
        flight_land(old);
        cr_expect_eq(waiting.calls, 1, "who waited hears of it");
        flight_land(fresh);
        cache_free(cache);
    }
}

static struct message *asking(struct message *request, const char *language)
{
    *request = (struct message){ .method = METHOD_GET };
    CHECK(message_add(request, STR("Accept-Language"), str_of(language)));
    return request;
}

Test(flight, known_to_vary_flies_apart)
{
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    static struct message german, english;
    struct client clients[3];
    struct flight *flights[3];
    asking(&german, "de");
    asking(&english, "en");
    char vary[100];
    int len = vary_key(STR("accept-language"), asking(&german, "fr"), vary, sizeof vary);
    struct object_meta meta = test_meta(0);
    meta.vary = STR("accept-language");
    meta.vary_key = str_n(vary, (size_t)len);
    struct object *object = test_object_with(cache, key, &meta, 0);
    cr_assert(cache_insert(cache, key, object, 1));
    object_unref(object);
    asking(&german, "de");
    for (unsigned i = 0; i < 3; i++) {
        clients[i] = (struct client){ .waiter.on_news = on_news };
        const struct message *request = i == 1 ? &english : &german;
        enum flight_role want = i == 2 ? FLIGHT_WAIT : FLIGHT_LEAD;
        cr_expect(flight_join(cache, key, request, NULL, &clients[i].waiter, &flights[i]) == want, "row %u",
                  i);
    }
    flight_land(flights[0]);
    flight_land(flights[1]);
    cr_expect_eq(clients[2].calls, 1);
    cache_free(cache);
}

Test(flight, ten_thousand_are_told)
{
    enum {
        MANY = 10000
    };
    struct cache *cache = test_cache(MIB, 1);
    const struct key *key = test_key(&room, "acme", "/");
    struct client *clients = calloc(MANY, sizeof *clients);
    struct client leader;
    struct flight *flight, *none;
    cr_assert(join(cache, key, NULL, &leader, &flight) == FLIGHT_LEAD);
    for (unsigned i = 0; i < MANY; i++)
        join(cache, key, NULL, &clients[i], &none);
    flight_land(flight);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(clients[i].calls, 1);
    free(clients);
    cache_free(cache);
}
