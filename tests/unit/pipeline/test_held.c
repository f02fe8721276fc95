/* Fetches that a plugin told to wait: woken, over their time, or left by their clients, never two of these.
 */
#include <pthread.h>

#include "pipeline/plugin.h"
#include "walk.h"

#define YAML(keys) "upstreams: {app: {primary: [\"@0\"], plugins: [{name: scripted, " keys "}]}}\n"
#define OK         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct place place;
static struct guest guests[3];

static void set_up(const char *yaml, bool keeps_travellers)
{
    place.plugin_dir = PLUGINS;
    place.keeps_travellers = keeps_travellers;
    place_open(&place, yaml);
    for (unsigned i = 0; i < COUNT_OF(guests); i++)
        guest_init(&guests[i], &place);
}

static void tear_down(void)
{
    for (unsigned i = 0; i < COUNT_OF(guests); i++)
        guest_fini(&guests[i]);
    place_close(&place);
}

static struct held *held(void)
{
    return place.world->supplies[0].held;
}

Test(held, a_woken_fetch_is_asked_again)
{
    set_up(YAML("choose: hold"), false);
    struct guest *guest = &guests[0];
    struct plugin_stats before;
    struct plugin_stats after;
    guest_ask(guest, "POST / HTTP/1.1\nHost: a");
    cr_assert_str_eq(guest->req->fetch->wait_why, "position");
    for (unsigned i = 0; i < 3; i++) {
        plugin_stats_read(place.world->supplies[0].plugins[0], &before);
        held_wake(held(), false);
        held_wake(held(), false); /* once more is no more */
        place_turn(&place, 2);
        plugin_stats_read(place.world->supplies[0].plugins[0], &after);
        cr_expect_eq(after.calls, before.calls + 1);
        cr_assert_str_eq(guest->req->fetch->wait_why, "position");
    }
    guest_leave(guest);
    cr_expect_eq(guest->dones, 1);
    tear_down();
}

Test(held, its_time_is_up_and_the_plugin_says_its_last_word)
{
    set_up(YAML("choose: last, hold: 20ms, reason: position-behind"), false);
    guest_ask(&guests[0], "POST / HTTP/1.1\nHost: a");
    guest_until_done(&guests[0]);
    cr_expect_str_eq(guest_reason(&guests[0]), "position-behind");
    tear_down();
}

/* Not passed over: it may hold because no server is right for that request. */
Test(held, a_plugin_that_holds_for_ever_refuses_at_last)
{
    set_up(YAML("choose: hold, hold: 20ms"), false);
    guest_ask(&guests[0], "POST / HTTP/1.1\nHost: a");
    guest_until_done(&guests[0]);
    cr_expect_eq(guest_status(&guests[0]), 503);
    cr_expect_str_eq(guest_reason(&guests[0]), "plugin-refused");
    tear_down();
}

Test(held, a_client_that_leaves_takes_its_fetch_out)
{
    set_up(YAML("choose: hold"), true);
    for (unsigned i = 0; i < 3; i++)
        guest_ask(&guests[i], "POST / HTTP/1.1\nHost: a");
    guest_leave(&guests[1]);
    cr_expect_eq(place.lane->free_fetch_count, KEPT(1u));
    cr_expect_eq(place.lane->free_request_count, KEPT(1u));
    held_wake(held(), false);
    guest_leave(&guests[0]); /* its post is on the way: it must find its fetch */
    cr_expect_eq(place.lane->free_fetch_count, KEPT(1u), "it stays until the post came");
    place_turn(&place, 2);
    cr_expect_eq(place.lane->free_fetch_count, KEPT(2u));
    guest_leave(&guests[2]);
    cr_expect_eq(place.lane->free_fetch_count, KEPT(3u));
    cr_expect_eq(place.lane->free_request_count, KEPT(3u));
    tear_down();
}

Test(held, a_post_that_finds_its_fetch_ended_is_all_right)
{
    set_up(YAML("choose: hold"), false); /* travellers are freed at once: a late look would show */
    guest_ask(&guests[0], "POST / HTTP/1.1\nHost: a");
    held_wake(held(), false);
    guest_leave(&guests[0]);
    place_turn(&place, 2);
    tear_down();
}

Test(held, all_are_woken_at_once)
{
    set_up(YAML("choose: hold, hold: 10s"), false);
    struct plugin_stats before;
    struct plugin_stats after;
    for (unsigned i = 0; i < 3; i++)
        guest_ask(&guests[i], "POST / HTTP/1.1\nHost: a");
    plugin_stats_read(place.world->supplies[0].plugins[0], &before);
    held_wake(held(), false);
    place_turn(&place, 2);
    plugin_stats_read(place.world->supplies[0].plugins[0], &after);
    cr_expect_eq(after.calls, before.calls + 3);
    for (unsigned i = 0; i < 3; i++)
        guest_leave(&guests[i]);
    tear_down();
}

static void *wake_often(void *arg)
{
    for (unsigned i = 0; i < 2000; i++)
        held_wake(arg, false);
    return NULL;
}

Test(held, any_thread_may_wake)
{
    set_up(YAML("choose: hold"), false);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, wake_often, held()), 0);
    for (unsigned i = 0; i < 300; i++) {
        guest_ask(&guests[i % 3], "POST / HTTP/1.1\nHost: a");
        if (i % 2)
            place_turn(&place, 1);
        guest_leave(&guests[i % 3]);
    }
    pthread_join(thread, NULL);
    place_turn(&place, 2);
    tear_down();
}

Test(held, a_held_fetch_lives_through_a_reload)
{
    set_up(YAML("choose: hold"), false);
    guest_ask(&guests[0], "POST / HTTP/1.1\nHost: a");
    cr_assert(place_reload(&place, YAML("choose: pass")));
    cr_expect_not_null(place.lane->earlier);
    held_wake(held(), false);
    place_turn(&place, 2);
    cr_assert_str_eq(guests[0].req->fetch->wait_why, "position", "the old world's plugin was asked");
    guest_leave(&guests[0]);
    cr_expect_null(place.lane->earlier);
    tear_down();
}
