#include <criterion/criterion.h>

#include <stdlib.h>

#include "fleet/bus_inside.h"

#define LONGEST (BUS_WHAT_MAX + 1)

static char bytes[BUS_ENTRY_MAX];
static char what[LONGEST];

static struct str written(const struct bus_purge *purge)
{
    size_t len = bus_entry_size(purge);
    cr_assert_gt(len, 0);
    cr_assert_leq(len, sizeof bytes);
    bus_entry_write(purge, bytes);
    return str_n(bytes, len);
}

static const struct bus_purge samples[] = {
    { .kind = BUS_URL,
      .tenant = STR_INIT("acme"),
      .what = STR_INIT("acme\0https\0a\0/x"),
      .node = 1,
      .wall_ms = -1 },
    { .kind = BUS_PREFIX,
      .what = STR_INIT("/items/"),
      .is_soft = true,
      .node = UINT64_MAX,
      .wall_ms = INT64_MAX },
    { .kind = BUS_TAG, .tenant = STR_INIT(""), .what = STR_INIT("red") },
    { .kind = BUS_TENANT, .tenant = STR_INIT("acme"), .is_soft = true, .wall_ms = 1 },
    { .kind = BUS_ALL },
};

Test(bus_entry, what_is_written_is_read_again)
{
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        struct bus_purge got;
        bool is_opening;
        cr_assert(bus_entry_read(written(&samples[i]), &got, &is_opening), "sample %zu", i);
        cr_assert_not(is_opening);
        cr_assert_eq(got.kind, samples[i].kind);
        cr_assert_eq(got.is_soft, samples[i].is_soft);
        cr_assert_eq(got.node, samples[i].node);
        cr_assert_eq(got.wall_ms, samples[i].wall_ms);
        cr_assert_eq(got.tenant.data == NULL, samples[i].tenant.data == NULL, "none is not the empty one");
        cr_assert(str_eq(got.tenant, samples[i].tenant));
        cr_assert(str_eq(got.what, samples[i].what));
    }
}

Test(bus_entry, what_is_no_purge_is_not_written)
{
    memset(what, 'x', sizeof what);
    const struct bus_purge bad[] = {
        { .kind = BUS_URL },
        { .kind = BUS_PREFIX, .what = STR_INIT("") },
        { .kind = BUS_TAG },
        { .kind = BUS_TAG, .what = { what, 257 } },
        { .kind = BUS_TENANT },
        { .kind = BUS_TENANT, .tenant = STR_INIT("a"), .what = STR_INIT("b") },
        { .kind = BUS_ALL, .what = STR_INIT("b") },
        { .kind = BUS_ALL, .tenant = { what, BUS_TENANT_MAX + 1 } },
        { .kind = BUS_URL, .what = { what, BUS_WHAT_MAX + 1 } },
        { .kind = (enum bus_kind)99 },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_assert_eq(bus_entry_size(&bad[i]), 0, "row %zu", i);
    struct bus_purge longest = { .kind = BUS_URL, .what = { what, BUS_WHAT_MAX } };
    struct bus_purge got;
    bool is_opening;
    cr_assert(bus_entry_read(written(&longest), &got, &is_opening));
}

Test(bus_entry, the_opening_of_an_epoch_purges_nothing)
{
    struct bus_purge got;
    bool is_opening;
    cr_assert(bus_entry_read(STR(BUS_OPENING), &got, &is_opening));
    cr_assert(is_opening);
}

/* On memory of exactly that length, so that the sanitizer sees a byte too far. */
static bool reads(const char *data, size_t len)
{
    struct bus_purge got;
    bool is_opening;
    char *copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    bool is_read = bus_entry_read(str_n(copy, len), &got, &is_opening);
    if (is_read && !is_opening) {
        /* What is read could have been written. */
        cr_assert_eq(bus_entry_size(&got), len);
    }
    free(copy);
    return is_read;
}

Test(bus_entry, cut_and_lengthened_ones_are_refused)
{
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        struct str entry = written(&samples[i]);
        for (size_t len = 0; len < entry.len; len++)
            cr_assert_not(reads(entry.data, len), "sample %zu, %zu bytes", i, len);
        bytes[entry.len] = 'x';
        cr_assert_not(reads(entry.data, entry.len + 1));
    }
}

Test(bus_entry, flipped_bits_and_noise_never_read_too_far)
{
    srand(1);
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        struct str entry = written(&samples[i]);
        for (size_t bit = 0; bit < entry.len * 8; bit++) {
            bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
            reads(bytes, entry.len);
            bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        }
    }
    for (unsigned i = 0; i < 100000; i++) {
        char noise[64];
        size_t len = (size_t)rand() % sizeof noise;
        for (size_t k = 0; k < len; k++)
            noise[k] = (char)rand();
        if (len > 3 && i % 2)
            memcpy(noise, "W1\0\0", 4);
        reads(noise, len);
    }
}

Test(bus_entry, ids)
{
    static const struct {
        const char *text;
        bool is_fine;
    } rows[] = {
        { "1-1", true },
        { "3567123456789012-1099511627775", true },
        { "1-1099511627776", false },
        { "0-1", false },
        { "1-0", false },
        { "1", false },
        { "", false },
        { "-", false },
        { "1-", false },
        { "-1", false },
        { "a-1", false },
        { "1-1x", false },
        { "1-1-1", false },
        { "99999999999999999999999-1", false },
    };
    uint64_t epoch, seq;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_assert_eq(bus_id_read(str_of(rows[i].text), &epoch, &seq), rows[i].is_fine, "%s", rows[i].text);
}

Test(bus_entry, news)
{
    static const char *const bad[] = { "",        "N",     "N ", "N 1",      "N 1 ", "N 1 x", "A 1 2",
                                       "A x 1 2", "B 1 2", "I",  "I1234567", "N  1", "NN 1 2" };
    struct bus_news news;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_assert_not(bus_news_read(str_of(bad[i]), &news), "%s", bad[i]);
    cr_assert(bus_news_read(STR("N 12 34"), &news));
    cr_assert_eq(news.kind, NEWS_ENTRIES);
    cr_assert_eq(news.epoch, 12);
    cr_assert_eq(news.seq, 34);
    cr_assert(bus_news_read(STR("A 18446744073709551615 12 34"), &news));
    cr_assert_eq(news.kind, NEWS_ACK);
    cr_assert_eq(news.node, UINT64_MAX);
    cr_assert_eq(news.seq, 34);
}

Test(bus_entry, hints)
{
    struct buf message;
    struct bus_news news;
    struct str primary;
    bool is_garbage;
    buf_init(&message);
    cr_assert(bus_hints_begin(&message, 0x1122334455667788));
    cr_assert(bus_hints_add(&message, STR("a\0b")));
    cr_assert(bus_hints_add(&message, STR("c")));
    cr_assert(bus_news_read(buf_str(&message), &news));
    cr_assert_eq(news.kind, NEWS_HINTS);
    cr_assert_eq(news.node, 0x1122334455667788);
    struct str rest = news.hints;
    cr_assert(bus_hint_next(&rest, &primary, &is_garbage));
    cr_assert(str_eq(primary, STR("a\0b")));
    cr_assert(bus_hint_next(&rest, &primary, &is_garbage));
    cr_assert(str_eq(primary, STR("c")));
    cr_assert_not(bus_hint_next(&rest, &primary, &is_garbage));
    cr_assert_not(is_garbage);
    rest = str_n(news.hints.data, news.hints.len - 1);
    cr_assert(bus_hint_next(&rest, &primary, &is_garbage));
    cr_assert_not(bus_hint_next(&rest, &primary, &is_garbage));
    cr_assert(is_garbage, "cut");
    rest = STR("\xff\xff\xff\xffzz");
    cr_assert_not(bus_hint_next(&rest, &primary, &is_garbage));
    cr_assert(is_garbage);
    buf_fini(&message);
}

/* --- the script's answer --- */

static struct redis_reply number(int64_t value)
{
    return (struct redis_reply){ .kind = REDIS_INTEGER, .integer = value };
}

static struct redis_reply text(const char *value)
{
    return (struct redis_reply){ .kind = REDIS_STRING, .str = str_of(value) };
}

Test(bus_entry, readings)
{
    static struct bus_reading got;
    struct redis_reply parts[] = { number(5), number(9),  number(7), number(-3),
                                   number(8), text("11"), number(5), number(9) };
    struct redis_reply reply = { .kind = REDIS_ARRAY, .count = COUNT_OF(parts), .elements = parts };
    cr_assert(bus_reading_read(&reply, &got));
    cr_assert_eq(got.epoch, 5);
    cr_assert_eq(got.last, 9);
    cr_assert_eq(got.age_ms, 0, "Redis' clock was set back");
    cr_assert_eq(got.node_count, 1);
    cr_assert_eq(got.nodes[0].id, 11);

    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        struct redis_reply was = parts[i];
        parts[i] = text("x");
        cr_assert_not(bus_reading_read(&reply, &got), "part %zu", i);
        parts[i] = number(INT64_MIN);
        cr_assert_eq(bus_reading_read(&reply, &got), i == 3, "part %zu", i);
        parts[i] = was;
    }
    for (reply.count = 0; reply.count < COUNT_OF(parts); reply.count++)
        cr_assert_eq(bus_reading_read(&reply, &got), reply.count == 5);
    reply.kind = REDIS_STRING;
    cr_assert_not(bus_reading_read(&reply, &got));
}

Test(bus_entry, a_fleet_that_is_too_large_is_noticed)
{
    static struct bus_reading got;
    static struct redis_reply parts[5 + 3 * (BUS_NODES_MAX + 1)];
    struct redis_reply reply = { .kind = REDIS_ARRAY, .count = COUNT_OF(parts), .elements = parts };
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        parts[i] = i >= 5 && (i - 5) % 3 == 0 ? text("1") : number(1);
    cr_assert(bus_reading_read(&reply, &got));
    cr_assert(got.is_cut);
    cr_assert_eq(got.node_count, BUS_NODES_MAX);
}
