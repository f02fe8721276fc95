#include <criterion/criterion.h>

#include "cache/index.h"
#include "cache/object_inside.h"
#include "fixture.h"

enum {
    KEYS = 400,
    PER_KEY = 3
};

static struct test_key keys[KEYS];
static struct object *objects[KEYS][PER_KEY];

static void make_all(void)
{
    for (unsigned i = 0; i < KEYS; i++) {
        char target[32];
        snprintf(target, sizeof target, "/%u", i);
        test_key(&keys[i], "acme", target);
        for (unsigned k = 0; k < PER_KEY; k++)
            objects[i][k] = test_object(NULL, &keys[i].key, 0);
    }
}

static void free_all(void)
{
    for (unsigned i = 0; i < KEYS; i++) {
        for (unsigned k = 0; k < PER_KEY; k++)
            object_unref(objects[i][k]);
    }
}

static unsigned count_of(const struct index *index, const struct key *key)
{
    unsigned count = 0;
    for (uint32_t at = INDEX_START; index_next(index, key, &at);)
        count++;
    return count;
}

Test(index, finds_all_of_a_key_and_nothing_else)
{
    struct index index;
    bool is_in[KEYS][PER_KEY] = { { false } };
    uint64_t random = 5;
    make_all();
    cr_assert(index_init(&index));
    for (unsigned round = 0; round < 20000; round++) {
        unsigned i = test_random(&random) % KEYS;
        unsigned k = test_random(&random) % PER_KEY;
        /* Mostly adding at first, mostly dropping in the end. */
        bool wants_in = test_random(&random) % 20000 > round;
        if (wants_in && !is_in[i][k])
            cr_assert(index_add(&index, objects[i][k]));
        else if (!wants_in && is_in[i][k])
            index_drop(&index, objects[i][k]);
        is_in[i][k] = wants_in;
        unsigned want = is_in[i][0] + is_in[i][1] + is_in[i][2];
        cr_assert_eq(count_of(&index, &keys[i].key), want, "round %u", round);
    }
    unsigned total = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        unsigned want = is_in[i][0] + is_in[i][1] + is_in[i][2];
        cr_assert_eq(count_of(&index, &keys[i].key), want);
        total += want;
    }
    cr_expect_eq(index.count, total);
    index_fini(&index);
    free_all();
}

Test(index, swaps_in_place)
{
    struct index index;
    make_all();
    cr_assert(index_init(&index));
    cr_assert(index_add(&index, objects[0][0]));
    index_swap(&index, objects[0][0], objects[0][1]);
    uint32_t at = INDEX_START;
    cr_expect_eq(index_next(&index, &keys[0].key, &at), objects[0][1]);
    cr_expect_eq(index.count, 1);
    index_fini(&index);
    free_all();
}

struct walked {
    struct index *index;
    unsigned seen[KEYS][PER_KEY];
    unsigned drops; /* each so many-th that is seen; 0: none */
    unsigned count;
};

static void visit(struct object *object, void *arg)
{
    struct walked *walked = arg;
    for (unsigned i = 0; i < KEYS; i++) {
        for (unsigned k = 0; k < PER_KEY; k++)
            walked->seen[i][k] += objects[i][k] == object;
    }
    if (walked->drops > 0 && ++walked->count % walked->drops == 0)
        index_drop(walked->index, object);
}

Test(index, a_walk_in_bites_sees_each_once)
{
    static const unsigned homes[] = { 1, 3, 64, 100000 };
    make_all();
    for (unsigned drops = 0; drops < 4; drops++) {
        for (size_t row = 0; row < COUNT_OF(homes); row++) {
            struct index index;
            struct index_walk walk = { 0 };
            struct walked walked = { .index = &index, .drops = drops };
            cr_assert(index_init(&index));
            for (unsigned i = 0; i < KEYS; i++) {
                for (unsigned k = 0; k < PER_KEY; k++)
                    cr_assert(index_add(&index, objects[i][k]));
            }
            while (index_bite(&index, &walk, homes[row], visit, &walked)) {
            }
            for (unsigned i = 0; i < KEYS; i++) {
                for (unsigned k = 0; k < PER_KEY; k++)
                    cr_assert_eq(walked.seen[i][k], 1, "row %zu, every %u dropped", row, drops);
            }
            cr_expect_eq(index.count, drops ? KEYS * PER_KEY - KEYS * PER_KEY / drops : KEYS * PER_KEY);
            index_fini(&index);
        }
    }
    free_all();
}

Test(index, a_walk_sees_all_who_stay_while_others_come_and_go)
{
    make_all();
    uint64_t random = 77;
    for (unsigned round = 0; round < 30; round++) {
        struct index index;
        struct index_walk walk = { 0 };
        struct walked walked = { .index = &index };
        bool is_in[KEYS] = { false };
        cr_assert(index_init(&index));
        for (unsigned i = 0; i < KEYS; i++)
            cr_assert(index_add(&index, objects[i][0])); /* they stay */
        while (index_bite(&index, &walk, 5, visit, &walked)) {
            for (unsigned n = 0; n < 8; n++) { /* the table grows in between, and entries move */
                unsigned i = test_random(&random) % KEYS;
                if (is_in[i])
                    index_drop(&index, objects[i][1]);
                else
                    cr_assert(index_add(&index, objects[i][1]));
                is_in[i] = !is_in[i];
            }
        }
        for (unsigned i = 0; i < KEYS; i++)
            cr_assert_geq(walked.seen[i][0], 1, "round %u", round);
        index_fini(&index);
    }
    free_all();
}
