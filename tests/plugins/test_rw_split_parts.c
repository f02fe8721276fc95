/* The pure parts of rw_split: positions and their order, tokens, the budget, patterns. */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "budget.h"
#include "fake_host.h"
#include "fly.h"
#include "patterns.h"
#include "token.h"

#define CLOCK 7u

static struct weir_str str(const char *text)
{
    return (struct weir_str){ text, text ? strlen(text) : 0 };
}

static struct position at(uint32_t epoch, uint64_t value)
{
    return (struct position){ .is_known = true, .epoch = epoch, .value = value };
}

/* --- positions --- */

Test(rw_split_parts, positions_are_understood_in_two_forms)
{
    static const struct {
        const char *text;
        uint32_t epoch;
        uint64_t value;
        bool has_epoch;
    } rows[] = {
        { "16/B374D848", 0, UINT64_C(0x16B374D848), false },
        { "0/0", 0, 0, false },
        { "FFFFFFFF/ffffffff", 0, UINT64_MAX, false },
        { "3:16/B374D848", 3, UINT64_C(0x16B374D848), true },
        { "12345", 0, 12345, false },
        { "18446744073709551615", 0, UINT64_MAX, false },
        { "4294967295:7", UINT32_MAX, 7, true },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct position read = { 0 };
        bool has_epoch = !rows[i].has_epoch;

        cr_assert(position_parse(str(rows[i].text), &read, &has_epoch), "row %zu", i);
        cr_assert(read.is_known);
        cr_assert_eq(read.epoch, rows[i].epoch, "row %zu", i);
        cr_assert_eq(read.value, rows[i].value, "row %zu", i);
        cr_assert_eq(has_epoch, rows[i].has_epoch, "row %zu", i);
    }
}

Test(rw_split_parts, all_else_is_no_position)
{
    static const char *const rows[] = { NULL,    "",
                                        " ",     "x",
                                        "1/",    "/1",
                                        "1/2/3", "100000000/0",
                                        "-1",    "1 ",
                                        "1:",    ":1",
                                        "1:2:3", "4294967296:1",
                                        "1:x",   "0x10",
                                        "1.5",   "18446744073709551616",
                                        "abc",   "1/100000000",
                                        "a:1",   "16/B37G",
                                        "1-2",   "3E11FA47-71CA-11E1-9E33:1-5" };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct position read = at(9, 9);
        bool has_epoch = true;

        cr_assert_not(position_parse(str(rows[i]), &read, &has_epoch), "row %zu", i);
        cr_assert_eq(read.value, 9, "untouched");
    }
}

Test(rw_split_parts, the_epoch_comes_before_the_value)
{
    static const struct position unknown = { 0 };

    cr_assert_lt(position_order(at(1, 100), at(2, 1)), 0);
    cr_assert_gt(position_order(at(2, 1), at(1, UINT64_MAX)), 0);
    cr_assert_lt(position_order(at(2, 1), at(2, 2)), 0);
    cr_assert_eq(position_order(at(2, 2), at(2, 2)), 0);
    cr_assert_lt(position_order(unknown, at(0, 0)), 0);
    cr_assert_eq(position_order(unknown, unknown), 0);
    cr_assert_lt(position_order(at(3, 5), at(0, 6)), 0, "where nobody says one, the value alone counts");
    cr_assert_gt(position_order(at(0, 6), at(3, 5)), 0);
    cr_assert_eq(position_later(at(0, 6), at(3, 5)).epoch, 3);
    cr_assert_eq(position_later(at(0, 6), at(3, 5)).value, 6);
}

static uint64_t dice_state = 88172645463325252u;

static uint64_t dice(void)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return dice_state;
}

static struct position random_position(void)
{
    if (dice() % 5 == 0)
        return (struct position){ 0 };
    return at((uint32_t)(1 + dice() % 3), dice() % 4);
}

Test(rw_split_parts, the_order_is_one_and_the_later_is_behind_neither)
{
    for (unsigned i = 0; i < 100000; i++) {
        struct position a = random_position(), b = random_position(), c = random_position();

        cr_assert_eq(position_order(a, b), -position_order(b, a));
        if (position_order(a, b) <= 0 && position_order(b, c) <= 0)
            cr_assert_leq(position_order(a, c), 0);
        cr_assert_geq(position_order(position_later(a, b), a), 0);
        cr_assert_geq(position_order(position_later(a, b), b), 0);
    }
}

/* Of open ones, and of those without an epoch: each of all small ones against each, for each server's. */
#define SMALL 4 /* epochs and values */

static struct position small(unsigned number)
{
    struct position small = at(number / SMALL / 2 % SMALL, number % SMALL);

    small.is_open = number / SMALL % 2;
    return small;
}

static void check_promise(struct position a, struct position b)
{
    struct position later = position_later(a, b);

    cr_assert(position_promises(later, a) && position_promises(later, b));
    for (unsigned i = 0; i < SMALL * SMALL; i++) {
        struct position server = at(1 + i / SMALL, i % SMALL);

        if (position_order(server, a) >= 0 && position_promises(a, b))
            cr_assert_geq(position_order(server, b), 0, "%u_%d-%u %u_%d-%u", a.epoch, a.is_open,
                          (unsigned)a.value, b.epoch, b.is_open, (unsigned)b.value);
        if (position_order(server, later) >= 0)
            cr_assert(position_order(server, a) >= 0 && position_order(server, b) >= 0);
    }
}

Test(rw_split_parts, an_open_epoch_is_no_less_than_it_says)
{
    struct position open = { .is_known = true, .epoch = 2, .is_open = true, .value = 5 };

    cr_assert_lt(position_order(at(1, 9), open), 0, "an earlier one is none of them");
    cr_assert_lt(position_order(at(3, 4), open), 0, "it may be of that one");
    cr_assert_geq(position_order(at(3, 5), open), 0);
    cr_assert_geq(position_order(at(2, 5), open), 0);
    cr_assert_not(position_promises(at(2, 5), open), "3-1 would do for that");
    for (unsigned i = 0; i < 2 * SMALL * SMALL; i++)
        for (unsigned j = 0; j < 2 * SMALL * SMALL; j++)
            check_promise(small(i), small(j));
}

Test(rw_split_parts, every_text_reads_back_as_what_was_written)
{
    for (unsigned i = 0; i < 20000; i++) {
        struct seen seen = { .at = random_position(),
                             .clock = dice() % 2 ? (uint32_t)dice() : 0,
                             .at_ms = (int64_t)(dice() % 2000000000000),
                             .until_ms = (int64_t)(dice() % 2000000000000) };
        struct seen seen_back;
        struct origin origin = { .lower = random_position(),
                                 .upper = random_position(),
                                 .is_primary = dice() % 2,
                                 .server = (uint32_t)dice(),
                                 .clock = (uint32_t)dice(),
                                 .sent_ms = (int64_t)(dice() % 2000000000000),
                                 .answered_ms = (int64_t)(dice() % 2000000000000) };
        struct origin origin_back;
        char text[ORIGIN_TEXT_SIZE], again[ORIGIN_TEXT_SIZE];

        if (origin.lower.is_known)
            origin.lower.value = dice();
        seen.at.is_open = seen.at.is_known && dice() % 2;
        origin.upper.is_open = origin.upper.is_known && dice() % 2;
        seen.has_source = dice() % 2;
        if (seen.has_source) {
            seen.source = dice() % 2 ? (uint32_t)dice() : SOURCE_PRIMARY;
            seen.clock = dice() % 2 ? (uint32_t)dice() : 0;
        }
        asked_put(&seen, text);
        cr_assert(asked_parse(str(text), &seen_back), "%s", text);
        asked_put(&seen_back, again);
        cr_assert_str_eq(text, again);
        cr_assert_eq(seen_back.at.is_open, seen.at.is_open);
        origin_put(&origin, text);
        cr_assert(origin_parse(str(text), &origin_back), "%s", text);
        origin_put(&origin_back, again);
        cr_assert_str_eq(text, again);
        text[dice() % strlen(text)] = (char)(dice() % 256);
        origin_parse(str(text), &origin_back);
        asked_parse(str(text), &seen_back);
        cr_assert_gt(seen_put(&seen, text), 0);
        cr_assert(seen_parse(str(text), seen.at_ms, &seen_back));
    }
}

Test(rw_split_parts, what_two_saw_is_ahead_of_both)
{
    struct seen a = { .at = at(1, 5), .has_source = true, .source = 10, .clock = CLOCK, .at_ms = 100 };
    struct seen same = { .at = at(1, 7), .has_source = true, .source = 10, .clock = CLOCK, .at_ms = 50 };
    struct seen other = { .has_source = true, .source = 11, .clock = 8, .at_ms = 120 };

    seen_merge(&a, &same);
    cr_assert_eq(a.at.value, 7);
    cr_assert_eq(a.source, 10);
    cr_assert_eq(a.at_ms, 100);
    seen_merge(&a, &other);
    cr_assert_eq(a.source, SOURCE_PRIMARY, "only the primary is ahead of both");
    cr_assert_eq(a.clock, 0, "and nobody knows by whose clock");
    cr_assert_eq(a.at_ms, 120);
}

Test(rw_split_parts, a_stored_reply_covers_by_position_or_by_its_server)
{
    struct origin origin = {
        .lower = at(1, 50), .server = 10, .clock = CLOCK, .sent_ms = 1000, .answered_ms = 1010
    };
    struct seen seen = { .at = at(1, 50) };

    cr_assert(origin_covers(&origin, &seen));
    seen.at.value = 51;
    cr_assert_not(origin_covers(&origin, &seen));
    seen = (struct seen){ .has_source = true, .source = 10, .clock = CLOCK, .at_ms = 999 };
    cr_assert(origin_covers(&origin, &seen));
    seen.at_ms = 1000;
    cr_assert_not(origin_covers(&origin, &seen), "a millisecond has two halves");
    seen.at_ms = 999;
    seen.clock = 8;
    cr_assert_not(origin_covers(&origin, &seen), "another weir's clock may be behind");
    seen.clock = CLOCK;
    seen.source = SOURCE_PRIMARY;
    cr_assert_not(origin_covers(&origin, &seen));
    origin.is_primary = true;
    cr_assert(origin_covers(&origin, &seen));
}

Test(rw_split_parts, a_stored_reply_of_the_primary_covers_by_its_time)
{
    struct origin origin = { .lower = at(1, 50), .clock = CLOCK, .is_primary = true, .sent_ms = 1000 };
    struct seen seen = { .at = at(1, 40), .clock = CLOCK, .until_ms = 1000 };

    cr_assert_not(origin_covers(&origin, &seen), "what was written was not visible yet");
    seen.until_ms = 999;
    cr_assert(origin_covers(&origin, &seen));
    seen.at.value = 60;
    cr_assert(origin_covers(&origin, &seen), "nobody had looked how far it was");
    seen.at.epoch = 2;
    cr_assert_not(origin_covers(&origin, &seen), "it was the primary no more, and did not know");
    origin.lower = at(0, 0);
    cr_assert(origin_covers(&origin, &seen));
    seen.clock = 8;
    cr_assert_not(origin_covers(&origin, &seen));
    seen.clock = 0;
    cr_assert_not(origin_covers(&origin, &seen));
    seen.until_ms = 999 - CLOCK_SKEW_MS;
    cr_assert(origin_covers(&origin, &seen));
    seen = (struct seen){ .has_source = true, .clock = CLOCK, .at_ms = 100, .until_ms = 1000 };
    cr_assert_not(origin_covers(&origin, &seen));
}

Test(rw_split_parts, times_merge_with_their_clocks)
{
    struct seen into = { 0 };
    struct seen one = { .at = at(1, 5), .clock = CLOCK, .until_ms = 100 };
    struct seen source = { .has_source = true, .source = 10, .clock = CLOCK, .at_ms = 50, .until_ms = 50 };
    struct seen other = { .at = at(1, 3), .clock = 8, .until_ms = 120 };

    seen_merge(&into, &one);
    cr_assert_eq(into.clock, CLOCK);
    cr_assert_eq(into.until_ms, 100);
    seen_merge(&into, &source);
    cr_assert_eq(into.at_ms, 50, "the source's own time stays");
    cr_assert_eq(into.until_ms, 100);
    seen_merge(&into, &(struct seen){ 0 });
    cr_assert_eq(into.clock, CLOCK);
    seen_merge(&into, &other);
    cr_assert_eq(into.clock, 0);
    cr_assert_eq(into.until_ms, 120);
}

/* --- tokens --- */

static struct keyring ring_of(const char *first, const char *second)
{
    struct keyring ring = { .host = &fake_host };

    keyring_add(&ring, str(first));
    if (second)
        keyring_add(&ring, str(second));
    return ring;
}

static const struct token_scope acme_main = { { "acme", 4 }, { "main", 4 } };
static const struct token_scope acme_billing = { { "acme", 4 }, { "billing", 7 } };

static void write_own(const struct keyring *ring, const struct token_scope *scope, struct seen seen,
                      int64_t issued_ms, char out[TOKENS_SIZE])
{
    struct tokens tokens = { .own = { .seen = seen, .issued_ms = issued_ms, .wrote_ms = issued_ms } };

    cr_assert_gt(tokens_write(&tokens, ring, scope, out), 0);
}

static struct tokens read_all(const struct keyring *ring, const struct token_scope *scope, const char *text)
{
    struct tokens tokens = { 0 };

    tokens_read(&tokens, ring, scope, str(text), fake_wall_ms);
    return tokens;
}

Test(rw_split_parts, a_token_says_what_was_seen)
{
    struct keyring ring = ring_of("one", NULL);
    struct seen seen = { .at = at(3, 0xb374d848), .has_source = true, .source = 0xabcdef01, .clock = CLOCK };
    struct tokens read;
    char text[TOKENS_SIZE];

    write_own(&ring, &acme_main, seen, fake_wall_ms, text);
    cr_assert_eq(strncmp(text, "v1.main.3-b374d848*abcdef01_00000007@", 37), 0, "%s", text);
    read = read_all(&ring, &acme_main, text);
    cr_assert_eq(read.states[TOKEN_VALID], 1);
    cr_assert_eq(position_order(read.own.seen.at, seen.at), 0);
    cr_assert_eq(read.own.seen.source, seen.source);
    cr_assert_eq(read.own.seen.clock, seen.clock);
    cr_assert_eq(read.own.seen.at_ms, fake_wall_ms);
}

Test(rw_split_parts, a_token_of_the_first_form_is_the_primary_of_that_time)
{
    struct keyring ring = ring_of("one", NULL);
    struct seen seen = { .has_source = true, .source = SOURCE_PRIMARY };
    struct tokens read;
    char text[TOKENS_SIZE];

    write_own(&ring, &acme_main, (struct seen){ .at = at(3, 100), .clock = CLOCK }, fake_wall_ms, text);
    cr_assert_eq(strncmp(text, "v1.main.3-64*_00000007@", 23), 0, "%s", text);
    cr_assert_eq(read_all(&ring, &acme_main, text).own.seen.clock, CLOCK);
    write_own(&ring, &acme_main, seen, fake_wall_ms - 5, text);
    cr_assert_eq(strncmp(text, "v1.main.-@", 10), 0, "%s", text);
    read = read_all(&ring, &acme_main, text);
    cr_assert(read.own.seen.has_source);
    cr_assert_eq(read.own.seen.source, SOURCE_PRIMARY);
    cr_assert_eq(read.own.seen.at_ms, fake_wall_ms - 5);
}

Test(rw_split_parts, a_reads_token_says_how_long_ago_its_client_wrote)
{
    static const struct {
        int64_t age_ms; /* -1: never */
        const char *text;
        bool is_known;
    } rows[] = {
        { 0, "v1.main.3-64@", true },
        { 1, "v1.main.3-64!1@", true },
        { TOKEN_LIFE_MS - 1, "v1.main.3-64!3599999@", true },
        { TOKEN_LIFE_MS, "v1.main.3-64!@", false },
        { -1, "v1.main.3-64!@", false },
    };
    struct keyring ring = ring_of("one", NULL);

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tokens tokens = { .own = { .seen = { .at = at(3, 100) }, .issued_ms = fake_wall_ms } };
        struct tokens read;
        char text[TOKENS_SIZE];

        if (rows[i].age_ms >= 0)
            tokens.own.wrote_ms = fake_wall_ms - rows[i].age_ms;
        cr_assert_gt(tokens_write(&tokens, &ring, &acme_main, text), 0);
        cr_assert_eq(strncmp(text, rows[i].text, strlen(rows[i].text)), 0, "%s", text);
        read = read_all(&ring, &acme_main, text);
        cr_assert_eq(read.states[TOKEN_VALID], 1, "%s", text);
        cr_assert_eq(read.own.seen.at.value, 100);
        cr_assert_eq(read.own.wrote_ms, rows[i].is_known ? tokens.own.wrote_ms : 0, "row %u", i);
    }
}

Test(rw_split_parts, the_longest_token_has_room_for_all_of_it)
{
    struct keyring ring = ring_of("one", NULL);
    char domain[129] = { 0 }, text[TOKENS_SIZE];
    struct token_scope scope = { str("acme"), { domain, 128 } };
    struct tokens tokens = { .own = { .seen = { .at = at(UINT32_MAX, UINT64_MAX),
                                                .has_source = true,
                                                .source = UINT32_MAX,
                                                .clock = UINT32_MAX },
                                      .issued_ms = INT64_C(999999999999999) } };
    struct tokens read = { 0 };

    memset(domain, '!', 128);
    tokens.own.wrote_ms = tokens.own.issued_ms - TOKEN_LIFE_MS + 1;
    cr_assert_gt(tokens_write(&tokens, &ring, &scope, text), 0);
    cr_assert_lt(strlen(text), TOKEN_SIZE);
    tokens_read(&read, &ring, &scope, str(text), tokens.own.issued_ms);
    cr_assert_eq(read.states[TOKEN_VALID], 1);
    cr_assert_eq(read.own.wrote_ms, tokens.own.wrote_ms);
}

Test(rw_split_parts, the_last_write_of_them_all_counts)
{
    struct keyring ring = ring_of("one", NULL);
    struct tokens wrote = { .own = { .issued_ms = fake_wall_ms - 500, .wrote_ms = fake_wall_ms - 500 } };
    struct tokens asked = { .own = { .seen = { .at = at(1, 9) }, .issued_ms = fake_wall_ms } };
    char text[2 * TOKENS_SIZE];
    struct tokens read;

    cr_assert_gt(tokens_write(&asked, &ring, &acme_main, text), 0);
    strcat(text, "~");
    cr_assert_gt(tokens_write(&wrote, &ring, &acme_main, text + strlen(text)), 0);
    read = read_all(&ring, &acme_main, text);
    cr_assert_eq(read.own.wrote_ms, fake_wall_ms - 500);
    cr_assert_eq(read.own.issued_ms, fake_wall_ms);
    read = read_all(&ring, &acme_billing, text);
    cr_assert_eq(read.others[0].wrote_ms, fake_wall_ms - 500, "another domain's too");
}

Test(rw_split_parts, what_follows_the_mark_is_a_number_or_nothing)
{
    static const char *const rows[] = {
        "!x", "!-1",  "!1!",    "!!",  "!1x",    "!9999999999999999", "!999999999999999",
        "@",  "@123", "@12345", "!1@", "@abcd!1"
    };
    struct keyring ring = ring_of("one", NULL);

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned before = fake_hmacs;
        char text[200];
        struct tokens read;

        snprintf(text, sizeof text, "v1.main.3-64%s.%" PRId64 ".%043d", rows[i], fake_wall_ms, 0);
        read = read_all(&ring, &acme_main, text);
        cr_assert_eq(read.states[TOKEN_FORGED], 1, "%s", rows[i]);
        cr_assert_eq(fake_hmacs, before, "its form tells: nobody signed that");
    }
}

/* As it was written before there were ages and tags. */
static void write_old(const struct keyring *ring, const char *tenant, const char *seen, char out[TOKEN_SIZE])
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char mac[33] = { 0 };
    char bytes[TOKEN_SIZE + 20];
    int len = snprintf(out, TOKEN_SIZE, "v1.main.%s.%" PRId64, seen, fake_wall_ms);
    int tenant_len = snprintf(bytes, 20, "%s", tenant) + 1;

    memcpy(bytes + tenant_len, out, (size_t)len);
    fake_host.hmac((struct weir_str){ (const char *)ring->keys[0], KEY_SIZE },
                   (struct weir_str){ bytes, (size_t)(tenant_len + len) }, mac);
    out[len++] = '.';
    for (unsigned bit = 0; bit < 256; bit += 6)
        out[len++] = letters[(mac[bit / 8] << 8 | mac[bit / 8 + 1]) >> (10 - bit % 8) & 63];
    out[len] = '\0';
}

Test(rw_split_parts, an_old_token_is_a_writes)
{
    struct keyring ring = ring_of("one", NULL);
    char text[TOKEN_SIZE];
    struct tokens read;

    write_old(&ring, "acme", "3-64", text);
    read = read_all(&ring, &acme_main, text);
    cr_assert_eq(read.states[TOKEN_VALID], 1, "%s", text);
    cr_assert_eq(read.own.seen.at.value, 100);
    cr_assert_eq(read.own.wrote_ms, fake_wall_ms);
    write_old(&ring, "acme", "-", text);
    cr_assert_eq(read_all(&ring, &acme_main, text).own.seen.source, SOURCE_PRIMARY);
    write_old(&ring, "tiny", "3-64", text);
    cr_assert_eq(read_all(&ring, &acme_main, text).states[TOKEN_FORGED], 1, "another tenant's, as ever");
}

/* --- several tenants of one host --- */

Test(rw_split_parts, another_tenants_tokens_cost_nothing_and_are_carried_along)
{
    static const struct token_scope tiny = { { "tiny", 4 }, { "main", 4 } };
    struct keyring ring = ring_of("one", NULL);
    char theirs[TOKENS_SIZE], both[2 * TOKENS_SIZE], strays[STRAYS_BYTES];
    struct tokens read;

    write_own(&ring, &tiny, (struct seen){ .at = at(1, 7) }, fake_wall_ms, theirs);
    snprintf(both, sizeof both, "%s~%s", theirs, theirs);
    fake_hmacs = 0;
    read = read_all(&ring, &acme_main, both);
    cr_assert_eq(fake_hmacs, 0);
    cr_assert_eq(read.states[TOKEN_FORGED], 2);
    cr_assert_not(read.own.seen.at.is_known);
    read.strays = (struct weir_str){ strays, tokens_strays(&read, strays) };
    read.own = (struct token){ .seen = { .at = at(1, 90) }, .issued_ms = fake_wall_ms };
    cr_assert_gt(tokens_write(&read, &ring, &acme_main, both), 0);
    cr_assert_str_eq(strchr(both, '~') + 1, theirs, "once");
    cr_assert_eq(read_all(&ring, &tiny, both).own.seen.at.value, 7);
    cr_assert_eq(read_all(&ring, &acme_main, both).own.seen.at.value, 90);
}

Test(rw_split_parts, not_all_that_looks_like_one_is_carried_along)
{
    struct keyring ring = ring_of("one", NULL);
    char text[TOKENS_SIZE], strays[STRAYS_BYTES];
    struct tokens read;
    size_t len = 0;

    for (unsigned i = 0; i < 9; i++)
        len +=
            (size_t)sprintf(text + len, "v1.d%u.-@0000.%" PRId64 ".%043d~", i, fake_wall_ms - 10 + i % 5, 0);
    read = read_all(&ring, &acme_main, text);
    len = tokens_strays(&read, strays);
    cr_assert_eq(read.met_count, STRAYS_MAX);
    cr_assert_eq(strncmp(strays, "v1.d4.", 6), 0, "the newest first");
    cr_assert_eq(len, STRAYS_MAX * strlen("v1.d0.-@0000.1790000000000.") + STRAYS_MAX * 43 + STRAYS_MAX - 1);

    snprintf(text, sizeof text, "v1.a;b.-@0000.%" PRId64 ".%043d", fake_wall_ms, 0);
    cr_assert_eq(read_all(&ring, &acme_main, text).met_count, 0, "that would end the cookie");
    snprintf(text, sizeof text, "v1.a.-@0000.%" PRId64 ".%043d", fake_wall_ms - TOKEN_LIFE_MS, 0);
    cr_assert_eq(read_all(&ring, &acme_main, text).met_count, 0, "its time is over");
    len = 0;
    for (unsigned i = 0; i < 4; i++)
        len += (size_t)sprintf(text + len, "v1.%0380u.-@0000.%" PRId64 ".%043d~", i, fake_wall_ms, 0);
    read = read_all(&ring, &acme_main, text);
    cr_assert_eq(read.met_count, 4);
    cr_assert_lt(tokens_strays(&read, strays), STRAYS_BYTES, "as many as there is room for");
}

/* --- what strangers may make of it --- */

static size_t put_forged(char *at, unsigned count)
{
    size_t len = 0;

    for (unsigned i = 0; i < count; i++)
        len += (size_t)sprintf(at + len, "v1.main.1-ffffffff.%" PRId64 ".%043u~", fake_wall_ms, i);
    return len;
}

Test(rw_split_parts, forged_tokens_cost_no_more_than_two_with_all_keys)
{
    struct keyring ring = { .host = &fake_host };
    char text[TOKENS_SIZE + 200 * 90];
    struct tokens read = { 0 };
    unsigned before;

    for (unsigned i = 0; i < KEYS_MAX; i++)
        cr_assert(keyring_add(&ring, (struct weir_str){ &"01234567"[i], 1 }));
    put_forged(text, 200);
    before = fake_hmacs;
    for (unsigned line = 0; line < 8; line++)
        tokens_read(&read, &ring, &acme_main, str(text), fake_wall_ms);
    cr_assert_eq(fake_hmacs - before, 2 * KEYS_MAX);
    cr_assert_eq(read.states[TOKEN_FORGED], 2);
}

Test(rw_split_parts, another_tenants_tokens_hide_nobodys_own)
{
    struct keyring ring = ring_of("one", "two");
    char text[8 * TOKENS_SIZE];
    size_t len = put_forged(text, 7);

    write_own(&ring, &acme_main, (struct seen){ .at = at(1, 90) }, fake_wall_ms, text + len);
    cr_assert_eq(read_all(&ring, &acme_main, text).own.seen.at.value, 90);
}

Test(rw_split_parts, what_has_not_the_form_takes_nobodys_place)
{
    struct keyring ring = ring_of("one", NULL);
    char text[20000] = "";
    struct tokens read;
    size_t len = 0;

    while (len < 8000)
        len += (size_t)sprintf(text + len, "%s~",
                               len % 3 ? "junk" : "v1.main.-.0123456789012345678901234567890123456789.x");
    write_own(&ring, &acme_main, (struct seen){ .at = at(1, 90) }, fake_wall_ms, text + len);
    fake_hmacs = 0;
    read = read_all(&ring, &acme_main, text);
    cr_assert_eq(read.own.seen.at.value, 90);
    cr_assert_eq(fake_hmacs, 1);
    cr_assert_eq(read.states[TOKEN_FORGED], TOKENS_COUNTED, "so many are counted, and no more");
}

Test(rw_split_parts, valid_tokens_in_masses_are_not_all_read)
{
    struct keyring ring = ring_of("one", NULL);
    char text[100 * 100];
    size_t len = 0;

    for (unsigned i = 0; i < 50; i++) {
        write_own(&ring, &acme_main, (struct seen){ .at = at(1, i) }, fake_wall_ms, text + len);
        len += strlen(text + len);
        text[len++] = '~';
    }
    text[len] = '\0';
    fake_hmacs = 0;
    read_all(&ring, &acme_main, text);
    cr_assert_eq(fake_hmacs, TOKENS_COUNTED);
}

Test(rw_split_parts, tokens_merge_forward_only)
{
    struct keyring ring = ring_of("one", NULL);
    char far[TOKENS_SIZE], late[TOKENS_SIZE], both[2 * TOKENS_SIZE + 8];

    write_own(&ring, &acme_main, (struct seen){ .at = at(1, 90) }, fake_wall_ms - 1000, far);
    write_own(&ring, &acme_main, (struct seen){ .at = at(1, 20) }, fake_wall_ms, late);
    for (unsigned i = 0; i < 2; i++) {
        struct tokens read;

        snprintf(both, sizeof both, "%s%s%s", i ? far : late, i ? "~" : " , ", i ? late : far);
        read = read_all(&ring, &acme_main, both);
        cr_assert_eq(read.states[TOKEN_VALID], 2, "%s", both);
        cr_assert_eq(read.own.seen.at.value, 90);
        cr_assert_eq(read.own.issued_ms, fake_wall_ms);
    }
}

Test(rw_split_parts, other_domains_are_kept_the_newest_first)
{
    static const char *const names[] = { "a", "b", "c", "d", "e" };
    struct keyring ring = ring_of("one", NULL);
    struct tokens read = { 0 };
    char text[TOKENS_SIZE];

    for (unsigned i = 0; i < 5; i++) {
        struct token_scope scope = { str("acme"), str(names[i]) };

        write_own(&ring, &scope, (struct seen){ .at = at(1, i) }, fake_wall_ms - (int64_t)(i * 3 % 5), text);
        tokens_read(&read, &ring, &acme_main, str(text), fake_wall_ms);
    }
    cr_assert_eq(read.states[TOKEN_FOREIGN], 5);
    cr_assert_eq(read.other_count, 3);
    cr_assert_str_eq(read.others[0].domain, "a");
    cr_assert_str_eq(read.others[1].domain, "c");
    cr_assert_str_eq(read.others[2].domain, "e");
    read.own = (struct token){ .seen = { .at = at(1, 77) }, .issued_ms = fake_wall_ms };
    cr_assert_gt(tokens_write(&read, &ring, &acme_main, text), 0);
    read = read_all(&ring, &(struct token_scope){ str("acme"), str("e") }, text);
    cr_assert_eq(read.own.seen.at.value, 4, "each weir finds its own among them");
    cr_assert_eq(read.other_count, 3);
}

Test(rw_split_parts, two_tokens_of_another_domain_merge_too)
{
    struct keyring ring = ring_of("one", NULL);
    struct tokens read = { 0 };
    char text[TOKENS_SIZE];

    write_own(&ring, &acme_billing, (struct seen){ .at = at(1, 90) }, fake_wall_ms - 1000, text);
    tokens_read(&read, &ring, &acme_main, str(text), fake_wall_ms);
    write_own(&ring, &acme_billing, (struct seen){ .at = at(1, 20) }, fake_wall_ms, text);
    tokens_read(&read, &ring, &acme_main, str(text), fake_wall_ms);
    cr_assert_eq(read.other_count, 1);
    cr_assert_eq(read.others[0].seen.at.value, 90);
    cr_assert_eq(read.others[0].issued_ms, fake_wall_ms);
}

Test(rw_split_parts, forged_foreign_and_expired_tokens_say_nothing)
{
    struct keyring ring = ring_of("one", NULL), other = ring_of("two", NULL), both = ring_of("two", "one");
    struct token_scope tiny = { str("tiny"), str("main") };
    struct seen seen = { .at = at(1, 9) };
    char text[TOKENS_SIZE];

    write_own(&ring, &acme_main, seen, fake_wall_ms, text);
    cr_assert_eq(read_all(&other, &acme_main, text).states[TOKEN_FORGED], 1);
    cr_assert_eq(read_all(&ring, &tiny, text).states[TOKEN_FORGED], 1);
    cr_assert_eq(read_all(&ring, &acme_billing, text).states[TOKEN_FOREIGN], 1);
    cr_assert_eq(read_all(&ring, &acme_billing, text).own.issued_ms, 0);
    cr_assert_eq(read_all(&both, &acme_main, text).states[TOKEN_VALID], 1, "the old key still verifies");
    write_own(&both, &acme_main, seen, fake_wall_ms, text);
    cr_assert_eq(read_all(&other, &acme_main, text).states[TOKEN_VALID], 1, "the new one signs");
    write_own(&ring, &acme_main, seen, fake_wall_ms - TOKEN_LIFE_MS, text);
    cr_assert_eq(read_all(&ring, &acme_main, text).states[TOKEN_EXPIRED], 1);
    cr_assert_eq(read_all(&ring, &acme_billing, text).other_count, 0, "nor are they kept");
}

Test(rw_split_parts, every_changed_byte_of_a_list_voids_its_token)
{
    struct keyring ring = ring_of("one", NULL);
    struct tokens tokens = { .own = { .seen = { .at = at(2, 0xabc) }, .issued_ms = fake_wall_ms } };
    struct seen seen = { .at = at(1, 0x1234), .has_source = true, .source = 5, .clock = CLOCK };
    char text[TOKENS_SIZE];
    size_t len;

    tokens.others[0] = (struct token){ .domain = "billing", .seen = seen, .issued_ms = fake_wall_ms };
    tokens.other_count = 1;
    len = tokens_write(&tokens, &ring, &acme_main, text);
    for (size_t i = 0; i < len; i++) {
        char kept = text[i];
        struct tokens read;

        text[i] = kept == '1' ? '2' : '1';
        read = read_all(&ring, &acme_main, text);
        cr_assert_leq(read.states[TOKEN_VALID] + read.states[TOKEN_FOREIGN], 1, "byte %zu", i);
        text[i] = kept;
    }
}

Test(rw_split_parts, names_that_are_too_long_get_no_token)
{
    struct keyring ring = ring_of("one", NULL);
    struct tokens tokens = { .own = { .issued_ms = fake_wall_ms } };
    char name[200], text[TOKENS_SIZE];

    memset(name, '%', sizeof name);
    cr_assert_eq(tokens_write(&tokens, &ring, &(struct token_scope){ str("acme"), { name, 129 } }, text), 0);
    cr_assert_eq(tokens_write(&tokens, &ring, &(struct token_scope){ { name, 129 }, str("main") }, text), 0);
    cr_assert_gt(tokens_write(&tokens, &ring, &(struct token_scope){ { name, 128 }, { name, 128 } }, text),
                 0);
    cr_assert_lt(strlen(text), TOKEN_SIZE);
}

/* --- the budget --- */

Test(rw_split_parts, a_quiet_service_is_never_refused)
{
    struct budget budget;

    budget_init(&budget, 0);
    for (int64_t now_ms = 0; now_ms < 60000; now_ms += 125)
        cr_assert(budget_take(&budget, now_ms), "8 a second, at %" PRId64, now_ms);
    budget_fini(&budget);
}

Test(rw_split_parts, fallbacks_are_a_share_of_what_the_primary_does)
{
    static const double shares[] = { 0, 0.1, 0.5, 0.9 };

    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        struct budget budget;
        unsigned writes = 0, taken = 0;

        budget_init(&budget, shares[i]);
        for (int64_t now_ms = 0; now_ms < 20000; now_ms++) {
            budget_count(&budget, now_ms);
            writes++;
            for (unsigned read = 0; read < 20; read++)
                taken += budget_take(&budget, now_ms);
        }
        cr_assert_leq(taken, shares[i] * (writes + taken) * 1.02 + 20 * 12, "share %g: %u", shares[i], taken);
        cr_assert_geq(taken, shares[i] * (writes + taken) * 0.95, "share %g: %u", shares[i], taken);
        budget_fini(&budget);
    }
}

/* --- patterns --- */

Test(rw_split_parts, patterns_fit_as_routes_do)
{
    static const struct {
        const char *pattern, *method, *path;
        bool fits;
    } rows[] = {
        { "POST /search", "POST", "/search", true },
        { "POST /search", "GET", "/search", false },
        { "POST /search", "POST", "/search/", false },
        { "POST /search", "POST", "/searching", false },
        { "POST /a/*/c", "POST", "/a/b/c", true },
        { "POST /a/*/c", "POST", "/a//c", false },
        { "POST /a/*/c", "POST", "/a/b/d/c", false },
        { "* /a/**", "PUT", "/a/b/c", true },
        { "* /a/**", "PUT", "/a/", true },
        { "* /a/**", "PUT", "/a", false },
        { "GET /**", "GET", "/", true },
        { "GET /", "GET", "/", true },
        { "GET /", "GET", "/x", false },
        { "GET /a/*", "GET", "/a/", false },
        { "GET /a*", "GET", "/a*", true },
        { "GET /a*", "GET", "/ab", false },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct patterns patterns = { 0 };

        cr_assert_null(patterns_add(&patterns, str(rows[i].pattern), NULL), "row %zu", i);
        cr_assert_eq(patterns_have(&patterns, str(rows[i].method), str(rows[i].path)), rows[i].fits,
                     "row %zu", i);
        patterns_fini(&patterns);
    }
}

/* --- fly-replay --- */

Test(rw_split_parts, fly_replay_names_the_primary_by_its_place)
{
    static const char *const primarys[] = { "region=iad",           "instance=00bb33ff",
                                            "Region=iad;state=a b", "state=\"app=x;y\"; instance=00bb33ff",
                                            "region=\"iad,ord\"",   "region=iad;elsewhere=true" };
    static const char *const others[] = { "",        "app=billing",       "region=iad;app=billing",
                                          ";;;",     "app=x; region=iad", "elsewhere=true",
                                          "state=x", "regions=iad",       "state=\"a;region=iad\"",
                                          "=",       "state=\"",          "region iad" };

    for (unsigned i = 0; i < sizeof primarys / sizeof primarys[0]; i++)
        cr_assert(fly_names_primary(str(primarys[i])), "%s", primarys[i]);
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_assert_not(fly_names_primary(str(others[i])), "%s", others[i]);
    cr_assert_not(fly_names_primary(str(NULL)));
}
