#include "observe/labels.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "base/check.h"

static struct labels *labels;

static void start(void)
{
    labels = labels_new(4);
}

static void stop(void)
{
    labels_free(labels);
    labels_free(NULL);
}

TestSuite(labels, .init = start, .fini = stop);

static unsigned tenant(const char *name, uint64_t requests)
{
    return labels_tenant(labels, str_of(name), false, requests);
}

static void expect_name(unsigned index, const char *want)
{
    struct label_names names;
    cr_assert(label_names_read(&names, labels));
    struct str name = names.tenants[index];
    cr_expect(want ? str_eq(name, str_of(want)) : name.data == NULL, "%.*s", STR_FMT(name));
    label_names_fini(&names);
}

Test(labels, a_name_keeps_its_index)
{
    unsigned a = tenant("a", 1), b = tenant("b", 1);
    cr_expect_neq(a, 0);
    cr_expect_neq(a, b);
    cr_expect_eq(tenant("a", 9), a);
    expect_name(a, "a");
    expect_name(0, "_other");
    cr_expect_eq(tenant("_other", 9), 0);
}

Test(labels, listed_tenants_always_have_one)
{
    for (unsigned i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%u", i);
        cr_expect_neq(labels_tenant(labels, str_of(name), true, 0), 0);
    }
    cr_expect_neq(tenant("unlisted", 1), 0, "and take no room from others");
}

Test(labels, names_that_cost_one_request_take_half_of_the_room_at_most)
{
    cr_expect_neq(tenant("a", 1), 0);
    cr_expect_neq(tenant("b", 1), 0);
    cr_expect_eq(tenant("c", 1), 0);
    cr_expect_neq(tenant("c", 64), 0);
    cr_expect_neq(tenant("d", 64), 0);
    tenant("a", 60);
    tenant("b", 60);
    cr_expect_eq(tenant("e", 64), 0, "full");
}

Test(labels, the_busiest_take_the_place_of_the_least_busy)
{
    unsigned a = tenant("a", 100);
    tenant("b", 200);
    tenant("c", 300);
    tenant("d", 400);
    cr_expect_eq(tenant("e", 150), 0, "not twice as busy");
    unsigned e = tenant("e", 250);
    cr_expect_neq(e, 0);
    cr_expect_neq(e, a, "indexes are not used again");
    expect_name(a, NULL);
    expect_name(e, "e");
    cr_expect_eq(tenant("a", 110), 0);
    unsigned again = tenant("a", 1000);
    cr_expect_neq(again, 0);
    cr_expect_neq(again, a);
}

Test(labels, who_is_listed_by_a_reload_keeps_its_label_for_good)
{
    unsigned a = tenant("a", 1);
    cr_expect_eq(labels_tenant(labels, STR("a"), true, 1), a);
    for (unsigned i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%u", i);
        tenant(name, 1000u << (i / 2));
    }
    expect_name(a, "a");
}

Test(labels, tenants_with_names_of_their_own_stay_bounded)
{
    uint64_t requests = 64;
    unsigned most = 0;
    for (unsigned i = 0; i < 500; i++, requests += requests / 8) {
        char name[16];
        snprintf(name, sizeof name, "t%u", i);
        unsigned index = tenant(name, requests);
        most = index > most ? index : most;
    }
    cr_expect_leq(most, 16, "the room and three times that: %u", most);
}

Test(labels, versions_and_routes_are_words_and_bounded)
{
    unsigned none = labels_version(labels, str_n(NULL, 0));
    cr_expect_neq(none, 0);
    cr_expect_eq(labels_version(labels, STR("")), none);
    cr_expect_eq(labels_version(labels, STR("none")), none);
    for (unsigned i = 0; i < 4096; i++) {
        char name[16];
        snprintf(name, sizeof name, "/r%u", i);
        cr_assert_eq(labels_route(labels, str_of(name)), i + 1);
    }
    cr_expect_eq(labels_route(labels, STR("/one-more")), 0);
    cr_expect_eq(labels_route(labels, STR("/r5")), 6);
}
