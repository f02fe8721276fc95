#include <criterion/criterion.h>

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

TestSuite(tenants, .init = setup, .fini = teardown);

Test(tenants, a_named_one_shows_its_limits_and_what_it_uses)
{
    struct tenant *tenant = tenants_get(room.city.tenants, STR("acme"), 0);
    atomic_store(&tenant->concurrency, 3);
    unsigned label = labels_tenant(room.city.labels, STR("acme"), true, 0);
    for (unsigned i = 0; i < 5; i++)
        series_request(tally_series(room.tally, label, i % 2, 0), OUTCOME_HIT, 200, 1000, 100);

    int status, listed, concurrency, in_use, requests;
    double rate, burst;
    const char *name;
    json_t *json = room_json(&room, GET("/api/tenants/ACME"), "", &status);
    cr_assert_eq(json_unpack(json, "{s:s, s:b, s:i, s:{s:f, s:f, s:i}, s:{s:i}}", "name", &name, "listed",
                             &listed, "requests", &requests, "limits", "rate", &rate, "burst", &burst,
                             "concurrency", &concurrency, "in_use", "concurrency", &in_use),
                 0);
    cr_expect_str_eq(name, "acme");
    cr_expect(listed);
    cr_expect_eq(rate, 500);
    cr_expect_eq(burst, 1000);
    cr_expect_eq(concurrency, 100);
    cr_expect_eq(in_use, 3);
    cr_expect_eq(requests, 5);
    json_decref(json);
    tenant_unref(tenant);
}

Test(tenants, one_nobody_saw_has_the_limits_of_default_and_is_not_made_by_asking)
{
    int status;
    json_t *json = room_json(&room, GET("/api/tenants/stranger"), "", &status);
    cr_expect_eq(status, 200);
    cr_expect(json_is_false(json_object_get(json, "seen")));
    cr_expect(json_is_null(json_object_get(json_object_get(json, "limits"), "rate")), "unlimited");
    cr_expect(json_is_null(json_object_get(json, "requests")), "counted, if at all, as _other's");
    json_decref(json);
    cr_expect_eq(tenants_count(room.city.tenants), 0);
}

Test(tenants, what_is_no_name_is_not_found)
{
    cr_expect_eq(room_status(&room, GET("/api/tenants/a.b"), ""), 404);
    cr_expect_eq(room_status(&room, GET("/api/tenants/a%00b"), ""), 404);
}
