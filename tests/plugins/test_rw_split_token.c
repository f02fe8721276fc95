/* Tokens: what one looks like, who believes it, and that nobody else's is believed. */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "rw_split_kit.h"

TestSuite(rw_split_token, .init = kit_load);

Test(rw_split_token, a_token_has_five_parts_and_fits_a_cookie)
{
    char token[512], begin[64];
    void *self = make_default();

    token_of(self, "acme", token);
    snprintf(begin, sizeof begin, "v1.main.-@3452.%" PRId64 ".", fake_wall_ms);
    cr_assert_eq(strncmp(token, begin, strlen(begin)), 0, "%s", token);
    cr_assert_eq(strlen(token), strlen(begin) + 43);
    cr_assert_eq(strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.%@"),
                 strlen(token));
    cr_assert_not(strstr(token, "acme"), "the tenant is signed, not told");
    plugin->destroy(self);
}

Test(rw_split_token, a_token_from_a_clock_that_is_ahead_counts)
{
    char token[512];
    void *self = make_default();

    token_of(self, "acme", token);
    fake_wall_ms -= 30000;
    cr_assert(reads_from_primary(self, "acme", token, NULL));
    fake_wall_ms -= HOUR;
    cr_assert_not(reads_from_primary(self, "acme", token, NULL), "but not by any distance");
    plugin->destroy(self);
}

Test(rw_split_token, every_changed_byte_voids_a_token)
{
    char token[512];
    void *self = make_default();
    size_t len;

    token_of(self, "acme", token);
    len = strlen(token);
    for (size_t i = 0; i < len; i++) {
        char kept = token[i];

        token[i] = kept == '1' ? '2' : '1';
        cr_assert_not(reads_from_primary(self, "acme", token, NULL), "byte %zu", i);
        token[i] = kept;
    }
    for (size_t i = 0; i < len; i++) {
        char kept = token[i];

        token[i] = '\0';
        cr_assert_not(reads_from_primary(self, "acme", token, NULL), "cut to %zu", i);
        token[i] = kept;
    }
    strcat(token, "A");
    cr_assert_not(reads_from_primary(self, "acme", token, NULL));
    plugin->destroy(self);
}

Test(rw_split_token, nonsense_is_ignored)
{
    static const char *const rows[] = {
        "",
        ".",
        "....",
        ".....",
        "v1....",
        "v1.main.-.1.",
        "v1.main.-..AAAA",
        "v2.main.-.1790000000000.AAAA",
        "v1.main.-.-1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "v1.main.-.99999999999999999999999.AAAA",
        "v1.main.-.1790000000000.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.",
        "\xff\xfe",
        "%00"
    };
    char huge[5000];
    void *self = make_default();

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_not(reads_from_primary(self, "acme", rows[i], rows[i]), "row %zu", i);
    memset(huge, '.', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    cr_assert_not(reads_from_primary(self, "acme", huge, NULL));
    cr_assert_leq(fake_hmacs, 12, "what cannot be a token costs no HMAC");
    plugin->destroy(self);
}

Test(rw_split_token, tenants_and_domains_are_kept_apart)
{
    char token[512];
    void *self = make_default();
    struct weir_request request = request_of("GET", "acme");

    token_of(self, "acme", token);
    cr_assert_not(reads_from_primary(self, "tiny", token, NULL));
    cr_assert_not(reads_from_primary(self, "acm", token, NULL));
    cr_assert_not(reads_from_primary(self, "", token, NULL));
    request.header = token;
    request.domain = "billing";
    cr_assert_neq(choose(self, request).roles, WEIR_ROLES_PRIMARY);
    request.domain = "main";
    cr_assert_eq(choose(self, request).roles, WEIR_ROLES_PRIMARY);
    plugin->destroy(self);
}

Test(rw_split_token, a_domain_may_have_any_bytes)
{
    static const char *const domains[] = { "eu.main", "a b;c,\"", "\xc3\xa4", ".", "" };
    void *self = make_default();

    for (size_t i = 0; i < sizeof domains / sizeof domains[0]; i++) {
        struct weir_request post = request_of("POST", "acme");
        struct weir_request get = request_of("GET", "acme");
        char token[512];

        post.domain = get.domain = domains[i];
        write_token(self, post, answer_of(200, WEIR_PRIMARY), token);
        cr_assert_not(strpbrk(token, " ;,\"\\"), "row %zu: %s", i, token);
        get.cookie = token;
        cr_assert_eq(choose(self, get).roles, WEIR_ROLES_PRIMARY, "row %zu", i);
    }
    plugin->destroy(self);
}

Test(rw_split_token, keys_can_be_rotated)
{
    char token_a[512], token_b[512];
    void *only_a = make_with_keys(KEY_A, NULL);
    void *a_then_b = make_with_keys(KEY_A, KEY_B);
    void *b_then_a = make_with_keys(KEY_B, KEY_A);
    void *only_b = make_with_keys(KEY_B, NULL);

    token_of(only_a, "acme", token_a);
    token_of(b_then_a, "acme", token_b);
    cr_assert(reads_from_primary(a_then_b, "acme", token_a, NULL));
    cr_assert(reads_from_primary(b_then_a, "acme", token_a, NULL), "the old key still verifies");
    cr_assert_not(reads_from_primary(only_b, "acme", token_a, NULL), "until it is gone");
    cr_assert(reads_from_primary(only_b, "acme", token_b, NULL), "the first key signs");
    cr_assert_not(reads_from_primary(only_a, "acme", token_b, NULL));
    plugin->destroy(only_a);
    plugin->destroy(a_then_b);
    plugin->destroy(b_then_a);
    plugin->destroy(only_b);
}

Test(rw_split_token, a_drawn_key_is_shared_by_instances_and_outlives_a_reload)
{
    char token[512];
    void *before = make_default();
    void *after;

    token_of(before, "acme", token);
    after = make_default();
    plugin->destroy(before);
    cr_assert(reads_from_primary(after, "acme", token, NULL));
    plugin->destroy(after);
}

Test(rw_split_token, a_token_is_verified_once_a_request)
{
    char token[512];
    void *self = make_default();
    struct weir_request request = request_of("GET", "acme");
    struct weir_inspection inspection = { .size = sizeof inspection };
    struct weir_candidate server = candidate(WEIR_PRIMARY, true, false);
    struct weir_choice choice = { .size = sizeof choice };

    token_of(self, "acme", token);
    request.cookie = token;
    fake_hmacs = 0;
    plugin->inspect(self, &request, &inspection);
    plugin->choose(self, &request, &server, 1, false, &choice);
    cr_assert_eq(fake_hmacs, 1);
    plugin->destroy(self);
}
