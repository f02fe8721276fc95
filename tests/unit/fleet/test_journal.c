#include <criterion/criterion.h>

#include <pthread.h>
#include <stdio.h>

#include "fleet/bus.h"
#include "fleet/journal.h"

#define EPOCH    3567123456789012u
#define PRIMARY  STR("acme\0https\0a.example\0/items/1")
#define OTHER    STR("acme\0https\0a.example\0/items/2")
#define STRANGER STR("tiny\0https\0a.example\0/items/1")
#define SHARED   STR("\0https\0a.example\0/items/1")
#define NO_TAGS  ((struct str){ NULL, 0 })

static struct journal *journal;

static void setup(void)
{
    journal = journal_new();
    journal_begin(journal, EPOCH);
    journal_reach(journal, 1);
    journal_ready(journal);
}

static void teardown(void)
{
    journal_free(journal);
}

TestSuite(journal, .init = setup, .fini = teardown, .timeout = 60);

static uint64_t at(uint64_t seq)
{
    return (journal_stamp(journal) & ~JOURNAL_SEQ_MAX) | seq;
}

static void purge(uint64_t seq, enum bus_kind kind, const char *tenant, struct str what)
{
    struct bus_purge entry = { .kind = kind, .tenant = str_of(tenant), .what = what };
    journal_note(journal, seq, &entry);
    journal_reach(journal, seq);
}

Test(journal, a_url_purged_after_the_stamp_is_not_covered)
{
    purge(5, BUS_URL, NULL, PRIMARY);
    cr_assert_not(journal_covers(journal, at(4), PRIMARY, NO_TAGS));
    cr_assert(journal_covers(journal, at(5), PRIMARY, NO_TAGS), "the fetch began after it");
    cr_assert(journal_covers(journal, at(9), PRIMARY, NO_TAGS), "that weir is ahead of us");
    cr_assert(journal_covers(journal, at(4), OTHER, NO_TAGS));
    cr_assert(journal_covers(journal, at(4), STRANGER, NO_TAGS));
}

Test(journal, a_late_note_does_not_take_back_a_newer_one)
{
    purge(9, BUS_URL, NULL, PRIMARY);
    purge(5, BUS_URL, NULL, PRIMARY);
    cr_assert_not(journal_covers(journal, at(8), PRIMARY, NO_TAGS));
}

Test(journal, a_tag_belongs_to_its_tenant_or_to_all)
{
    struct str tags = STR("red\0blue\0");
    purge(5, BUS_TAG, "acme", STR("blue"));
    cr_assert_not(journal_covers(journal, at(4), PRIMARY, tags));
    cr_assert(journal_covers(journal, at(5), PRIMARY, tags));
    cr_assert(journal_covers(journal, at(4), PRIMARY, STR("red\0")));
    cr_assert(journal_covers(journal, at(4), PRIMARY, NO_TAGS));
    cr_assert(journal_covers(journal, at(4), STRANGER, tags), "another tenant's tag");
    purge(6, BUS_TAG, NULL, STR("red"));
    cr_assert_not(journal_covers(journal, at(5), STRANGER, tags), "that one was of all tenants");
    cr_assert_not(journal_covers(journal, at(5), SHARED, tags));
    cr_assert(journal_covers(journal, at(5), STRANGER, STR("blue\0")));
}

Test(journal, the_empty_tenant_is_a_tenant)
{
    purge(5, BUS_TAG, "", STR("red"));
    cr_assert_not(journal_covers(journal, at(4), SHARED, STR("red\0")));
    cr_assert(journal_covers(journal, at(4), PRIMARY, STR("red\0")));
    purge(6, BUS_TENANT, "", STR(""));
    cr_assert_not(journal_covers(journal, at(5), SHARED, NO_TAGS));
    cr_assert(journal_covers(journal, at(5), PRIMARY, NO_TAGS));
}

Test(journal, whole_tenants_prefixes_and_everything)
{
    static const struct {
        enum bus_kind kind;
        const char *tenant;
        bool keeps_own;
        bool keeps_other;
    } rows[] = {
        { BUS_TENANT, "acme", false, true }, { BUS_PREFIX, "acme", false, true },
        { BUS_ALL, "acme", false, true },    { BUS_ALL, NULL, false, false },
        { BUS_PREFIX, NULL, false, false },  { BUS_TENANT, "nobody", true, true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t seq = 10 * (i + 1);
        purge(seq, rows[i].kind, rows[i].tenant, rows[i].kind == BUS_PREFIX ? STR("/x") : STR(""));
        cr_assert_eq(journal_covers(journal, at(seq - 1), PRIMARY, NO_TAGS), rows[i].keeps_own, "row %zu", i);
        cr_assert_eq(journal_covers(journal, at(seq - 1), STRANGER, NO_TAGS), rows[i].keeps_other, "row %zu",
                     i);
        cr_assert(journal_covers(journal, at(seq), PRIMARY, NO_TAGS), "row %zu", i);
    }
}

Test(journal, nothing_is_covered_before_all_was_read)
{
    struct journal *fresh = journal_new();
    uint64_t stamp = at(7);
    cr_assert_eq(journal_stamp(fresh), 0);
    cr_assert_not(journal_covers(fresh, stamp, PRIMARY, NO_TAGS));
    journal_begin(fresh, EPOCH);
    journal_reach(fresh, 7);
    cr_assert_eq(journal_stamp(fresh), 0);
    cr_assert_not(journal_covers(fresh, stamp, PRIMARY, NO_TAGS));
    journal_ready(fresh);
    cr_assert_eq(journal_stamp(fresh), stamp, "all weirs write the same stamp");
    cr_assert(journal_covers(fresh, stamp, PRIMARY, NO_TAGS));
    journal_free(fresh);
}

Test(journal, another_epoch_and_no_stamp_are_never_covered)
{
    uint64_t old = at(1000);
    cr_assert(journal_covers(journal, old, PRIMARY, NO_TAGS));
    cr_assert_not(journal_covers(journal, 0, PRIMARY, NO_TAGS));
    cr_assert_not(journal_covers(journal, at(0), PRIMARY, NO_TAGS));
    journal_begin(journal, EPOCH + 1);
    journal_reach(journal, 1);
    journal_ready(journal);
    cr_assert_not(journal_covers(journal, old, PRIMARY, NO_TAGS), "neighbouring epochs differ");
}

Test(journal, what_was_lost_takes_values_from_before_it)
{
    journal_lose(journal, 50);
    cr_assert_not(journal_covers(journal, at(49), PRIMARY, NO_TAGS));
    cr_assert(journal_covers(journal, at(50), PRIMARY, NO_TAGS));
    journal_begin(journal, EPOCH + 1);
    journal_reach(journal, 1);
    journal_ready(journal);
    cr_assert(journal_covers(journal, at(1), PRIMARY, NO_TAGS), "that was another epoch's");
}

/* A hundred thousand purges of as many keys: each is known, and strangers pay for collisions only. */
Test(journal, holds_every_purge_however_many)
{
    unsigned lost = 0;
    char text[32];
    for (uint64_t i = 1; i <= 100000; i++) {
        int len = snprintf(text, sizeof text, "acme%c%llu", 0, (unsigned long long)i);
        purge(i, BUS_URL, NULL, str_n(text, (size_t)len));
        cr_assert_not(journal_covers(journal, at(i - 1), str_n(text, (size_t)len), NO_TAGS));
    }
    for (uint64_t i = 1; i <= 1000; i++) {
        int len = snprintf(text, sizeof text, "acme%cother%llu", 0, (unsigned long long)i);
        lost += !journal_covers(journal, at(99000), str_n(text, (size_t)len), NO_TAGS);
    }
    cr_assert_lt(lost, 50, "%u of 1000 lost to the newest 1000", lost);
}

/* Readers of an epoch that ends never take an old value for a good one. */
static _Atomic bool is_over;

static void *read_all_the_time(void *arg)
{
    const uint64_t *old = arg;
    uint64_t wrong = 0;
    while (!is_over)
        wrong += journal_covers(journal, *old, PRIMARY, STR("red\0"));
    return (void *)(uintptr_t)wrong;
}

Test(journal, readers_never_meet_an_emptied_table)
{
    pthread_t readers[2];
    uint64_t old = at(4);
    purge(5, BUS_URL, NULL, PRIMARY);
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&readers[i], NULL, read_all_the_time, &old);
    for (uint64_t i = 0; i < 200; i++) {
        journal_begin(journal, EPOCH + (i & 1));
        purge(5, BUS_URL, NULL, PRIMARY);
        journal_ready(journal);
    }
    is_over = true;
    for (unsigned i = 0; i < 2; i++) {
        void *wrong;
        pthread_join(readers[i], &wrong);
        cr_assert_null(wrong);
    }
}
