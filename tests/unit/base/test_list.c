#include "base/list.h"

#include <criterion/criterion.h>

struct item {
    int value;
    struct list link;
};

static struct item item(int value)
{
    return (struct item){ .value = value };
}

static int digits(const struct list *list)
{
    int out = 0;
    list_for_each (at, list)
        out = out * 10 + LIST_ENTRY(at, struct item, link)->value;
    return out;
}

Test(list, members_stand_in_the_order_they_were_put)
{
    struct list list;
    struct item a = item(1), b = item(2), c = item(3);
    list_init(&list);
    cr_expect(list_is_empty(&list));
    list_push_back(&list, &a.link);
    list_push_back(&list, &b.link);
    list_push_front(&list, &c.link);
    cr_expect_eq(digits(&list), 312);
    list_remove(&a.link);
    cr_expect_eq(digits(&list), 32);
    list_remove(&a.link);
    cr_expect_eq(digits(&list), 32, "twice is as good as once");
    list_insert_after(&c.link, &a.link);
    cr_expect_eq(digits(&list), 312);
}

Test(list, the_current_member_may_go_while_walking)
{
    struct list list;
    struct item items[5];
    list_init(&list);
    for (int i = 0; i < 5; i++) {
        items[i] = item(i + 1);
        list_push_back(&list, &items[i].link);
    }
    list_for_each_safe (at, &list) {
        if (LIST_ENTRY(at, struct item, link)->value % 2 == 0)
            list_remove(at);
    }
    cr_expect_eq(digits(&list), 135);
}

Test(list, all_can_move_to_the_end_of_another)
{
    struct list to, from;
    struct item a = item(1), b = item(2), c = item(3);
    list_init(&to);
    list_init(&from);
    list_push_back(&to, &a.link);
    list_take_all(&to, &from);
    cr_expect_eq(digits(&to), 1);
    list_push_back(&from, &b.link);
    list_push_back(&from, &c.link);
    list_take_all(&to, &from);
    cr_expect_eq(digits(&to), 123);
    cr_expect(list_is_empty(&from));
    list_remove(&b.link);
    cr_expect_eq(digits(&to), 13);
}
