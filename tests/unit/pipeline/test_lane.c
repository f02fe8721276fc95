#include "pipeline/lane.h"

#include "walk.h"

#define APP     "upstreams: {app: {primary: [\"@0\"]}}\n"
#define TENANTS "tenants: {from: [{header: X-Tenant, believe: any}], unknown: default}\n"

static struct place place;

Test(lane, a_world_stays_until_its_last_request_ends)
{
    place_open(&place, APP);
    struct lane *lane = place.lane;
    struct lane_world *first = lane_world_take(lane);
    struct lane_world *again = lane_world_take(lane);
    cr_assert_eq(first, again);
    cr_assert_eq(first->world, place.world);

    cr_assert(place_reload(&place, APP));
    struct lane_world *second = lane_world_take(lane);
    cr_assert_neq(second, first);
    cr_assert_eq(second->world, place.world);
    cr_assert_eq(lane->earlier, first);

    cr_assert(place_reload(&place, APP));
    cr_assert_eq(lane->earlier, second, "both are still lived in");
    lane_world_give(lane, first);
    cr_assert_eq(second->next, first, "one request is left in the first");
    lane_world_give(lane, again);
    cr_assert_eq(lane->earlier, second);
    cr_assert_null(second->next, "the first went with its last request");
    lane_world_give(lane, second);
    cr_assert_null(lane->earlier);
    place_close(&place);
}

Test(lane, an_empty_world_goes_at_once)
{
    place_open(&place, APP);
    struct lane_world *here = lane_world_take(place.lane);
    lane_world_give(place.lane, here);
    cr_assert_eq(place.lane->now, here, "the present one stays, empty or not");
    cr_assert(place_reload(&place, APP));
    cr_assert_null(place.lane->earlier);
    cr_assert_eq(place.world->references, 2, "the test's and the lane's");
    place_close(&place);
}

Test(lane, a_tenant_is_met_once_and_keeps_its_rules)
{
    int err = 0;
    place_open(&place, APP "tenants: {from: [{header: X-Tenant, believe: any}], unknown: default,\n"
                           "          named: {acme: {concurrency: 7}}}\n");
    struct lane_world *here = lane_world_take(place.lane);
    struct lane_tenant *acme = lane_tenant_take(place.lane, here, STR("acme"), &err);
    cr_assert_not_null(acme);
    cr_expect_eq(acme->rules->concurrency, 7);
    cr_expect_neq(acme->label, 0, "a listed tenant has a name in the metrics");
    cr_expect_eq(lane_tenant_take(place.lane, here, STR("acme"), &err), acme);
    cr_expect_eq(acme->requests, 2);
    struct lane_tenant *other = lane_tenant_take(place.lane, here, STR("other"), &err);
    cr_assert_not_null(other);
    cr_expect_eq(other->rules->concurrency, NEVER);

    lane_tenant_give(acme);
    lane_tenant_give(acme);
    lane_tenant_give(other);
    lane_world_give(place.lane, here);
    place_close(&place);
}

Test(lane, a_tenants_rules_are_those_of_the_world_it_was_met_in)
{
    int err = 0;
    place_open(&place, APP TENANTS);
    struct lane_world *old = lane_world_take(place.lane);
    struct lane_tenant *before = lane_tenant_take(place.lane, old, STR("acme"), &err);
    cr_assert(place_reload(
        &place,
        APP "tenants: {from: [{header: X-Tenant, believe: any}], named: {acme: {concurrency: 1}}}\n"));
    struct lane_world *fresh = lane_world_take(place.lane);
    struct lane_tenant *after = lane_tenant_take(place.lane, fresh, STR("acme"), &err);
    cr_expect_eq(before->rules->concurrency, NEVER);
    cr_expect_eq(after->rules->concurrency, 1);
    cr_expect_eq(before->tenant, after->tenant, "what it has spent is shared over reloads");
    lane_tenant_give(before);
    lane_tenant_give(after);
    lane_world_give(place.lane, old);
    lane_world_give(place.lane, fresh);
    place_close(&place);
}

Test(lane, unlisted_tenants_may_be_refused)
{
    int err = 0;
    place_open(&place, APP
               "tenants: {from: [{header: X-Tenant, believe: any}], unlisted: refuse, named: {acme: {}}}\n");
    struct lane_world *here = lane_world_take(place.lane);
    cr_expect_null(lane_tenant_take(place.lane, here, STR("nobody"), &err));
    cr_expect_eq(err, ERR_NO_TENANT);
    cr_expect_eq(map_count(here->tenants), 0, "a refused name takes no room");
    cr_expect_eq(tenants_count(place.city.tenants), 0);
    struct lane_tenant *acme = lane_tenant_take(place.lane, here, STR("acme"), &err);
    cr_assert_not_null(acme);
    lane_tenant_give(acme);
    lane_world_give(place.lane, here);
    place_close(&place);
}

/* Takes and gives tenants "t0", "t1", ...; how many were refused. */
static unsigned meet_many(struct lane_world *here, unsigned from, unsigned count)
{
    unsigned refused = 0;
    for (unsigned i = from; i < from + count; i++) {
        char name[16];
        int err = 0;
        int len = snprintf(name, sizeof name, "t%u", i);
        struct lane_tenant *tenant = lane_tenant_take(place.lane, here, str_n(name, (size_t)len), &err);
        if (tenant)
            lane_tenant_give(tenant);
        else
            refused++;
    }
    return refused;
}

Test(lane, the_table_of_tenants_stays_bounded)
{
    int err = 0;
    place_open(&place, APP TENANTS);
    struct lane_world *here = lane_world_take(place.lane);
    struct lane_tenant *busy = lane_tenant_take(place.lane, here, STR("busy"), &err);
    cr_assert_eq(meet_many(here, 0, 9000), 0);
    cr_expect_leq(map_count(here->tenants), 4096);
    cr_expect_eq(lane_tenant_take(place.lane, here, STR("busy"), &err), busy,
                 "who has a request in progress is not forgotten");
    lane_tenant_give(busy);
    lane_tenant_give(busy);
    lane_world_give(place.lane, here);
    place_close(&place);
}

Test(lane, idle_tenants_of_a_lane_make_room_for_new_ones_of_the_city)
{
    place_open(&place, APP TENANTS);
    tenants_free(place.city.tenants);
    place.city.tenants = tenants_new(16);
    struct lane_world *here = lane_world_take(place.lane);
    cr_expect_eq(meet_many(here, 0, 100), 0, "those that this lane only remembers are in nobody's use");
    lane_world_give(place.lane, here);
    place_close(&place);
}

Test(lane, counters_are_its_own)
{
    place_open(&place, APP);
    lane_count(place.lane, LANE_CACHE_HITS, 2);
    lane_count(place.lane, LANE_CACHE_HITS, 1);
    cr_expect_eq(place.lane->stats[LANE_CACHE_HITS], 3);
    cr_expect_eq(place.lane->stats[LANE_CACHE_MISSES], 0);
    place_close(&place);
}

Test(lane, random_numbers_do_not_repeat)
{
    place_open(&place, APP);
    uint64_t seen[64];
    for (unsigned i = 0; i < COUNT_OF(seen); i++) {
        seen[i] = lane_random(place.lane);
        for (unsigned k = 0; k < i; k++)
            cr_expect_neq(seen[i], seen[k]);
    }
    place_close(&place);
}

Test(lane, travellers_are_used_again)
{
    struct guest guest;
    place.keeps_travellers = true;
    place_open(&place, APP);
    guest_init(&guest, &place);
    for (unsigned i = 0; i < 3; i++) {
        guest_meets(&guest, "POST / HTTP/1.1\nHost: a", &place.apps[0],
                    "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        app_close(&place.apps[0]);
        cr_expect_eq(place.lane->free_request_count, KEPT(1u), "one at a time");
        cr_expect_eq(place.lane->free_fetch_count, KEPT(1u));
    }
    guest_fini(&guest);
    place_close(&place);
}
