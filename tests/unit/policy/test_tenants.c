#include "ask.h"

#include "policy/tenant.h"

static struct tenant *get(struct tenants *tenants, const char *name, int64_t now_ns)
{
    return tenants_get(tenants, str_of(name), now_ns);
}

static struct tenant *seen[16];
static unsigned seen_count;

static void see(struct tenant *tenant, void *arg)
{
    seen[seen_count++] = tenant;
}

/* Lets go of whatever a test still holds. */
static void close_all(struct tenants *tenants)
{
    seen_count = 0;
    tenants_each(tenants, see, NULL);
    for (unsigned i = 0; i < seen_count; i++) {
        while (atomic_load(&seen[i]->references) > 0)
            tenant_unref(seen[i]);
    }
    tenants_free(tenants);
}

Test(tenants, the_same_name_is_the_same_tenant)
{
    struct tenants *tenants = tenants_new(10);
    struct tenant *a = get(tenants, "acme", 5);
    cr_assert_not_null(a);
    cr_expect_str_eq(a->name, "acme");
    cr_expect_eq(get(tenants, "acme", 9), a);
    cr_expect_eq(atomic_load(&a->seen_ns), 9);
    cr_expect_neq(get(tenants, "acm", 5), a);
    cr_expect_eq(tenants_count(tenants), 2);
    cr_expect_eq(atomic_load(&a->references), 2);
    close_all(tenants);
}

Test(tenants, state_outlives_its_holders_while_there_is_room)
{
    struct tenants *tenants = tenants_new(2);
    struct tenant *a = get(tenants, "a", 0);
    bucket_take(&a->bucket, 1, 1, 0);
    cr_expect_null(tenant_unref(a));
    cr_expect_not(bucket_take(&get(tenants, "a", 0)->bucket, 1, 1, 0).is_taken);
    close_all(tenants);
}

Test(tenants, the_longest_idle_makes_room_and_the_held_never)
{
    struct tenants *tenants = tenants_new(3);
    struct tenant *held = get(tenants, "held", 0);
    struct tenant *b = get(tenants, "b", 0), *c = get(tenants, "c", 0);
    cr_expect_null(get(tenants, "d", 0), "all are held");
    tenant_unref(c);
    tenant_unref(b);
    cr_assert_not_null(get(tenants, "d", 0));
    cr_expect_eq(get(tenants, "b", 0), b, "c was let go before b");
    cr_expect_null(get(tenants, "c", 0));
    cr_expect_eq(get(tenants, "held", 0), held);
    cr_expect_eq(tenants_count(tenants), 3);
    close_all(tenants);
}

Test(tenants, a_holder_may_outlive_the_registry)
{
    struct tenants *tenants = tenants_new(3);
    struct tenant *a = get(tenants, "a", 0), *b = get(tenants, "b", 0);
    tenant_unref(get(tenants, "c", 0));
    tenants_free(tenants);
    cr_expect_str_eq(a->name, "a");
    tenant_unref(a);
    cr_expect_str_eq(b->name, "b");
    tenant_unref(b);
    cr_expect_null(tenant_unref(NULL));
    tenants_free(NULL);
}

static void count_one(struct tenant *tenant, void *arg)
{
    *(unsigned *)arg += tenant->name_len;
}

Test(tenants, each_sees_every_one)
{
    struct tenants *tenants = tenants_new(100);
    unsigned bytes = 0;
    get(tenants, "a", 0);
    get(tenants, "bcd", 0);
    tenant_unref(get(tenants, "ef", 0));
    tenants_each(tenants, count_one, &bytes);
    cr_expect_eq(bytes, 6);
    close_all(tenants);
}
