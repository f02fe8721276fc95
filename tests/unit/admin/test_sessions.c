#include <criterion/criterion.h>

#include "admin/sessions.h"
#include "base/clock.h"

Test(sessions, a_session_ends_by_itself)
{
    struct sessions sessions = { 0 };
    char word[SESSION_CHARS + 1];
    cr_assert(sessions_open(&sessions, 0, word));
    cr_expect_eq(strlen(word), SESSION_CHARS);
    cr_expect(sessions_has(&sessions, str_of(word), 0));
    cr_expect(sessions_has(&sessions, str_of(word), SESSION_SECONDS * NS_PER_S - 1));
    cr_expect_not(sessions_has(&sessions, str_of(word), SESSION_SECONDS * NS_PER_S));
}

Test(sessions, nothing_else_is_one)
{
    struct sessions sessions = { 0 };
    char word[SESSION_CHARS + 1];
    cr_expect_not(sessions_has(&sessions, STR(""), 0));
    cr_assert(sessions_open(&sessions, 0, word));
    cr_expect_not(sessions_has(&sessions, str_n(word, SESSION_CHARS - 1), 0));
    word[0] = word[0] == 'a' ? 'b' : 'a';
    cr_expect_not(sessions_has(&sessions, str_of(word), 0));
}

Test(sessions, the_oldest_makes_room)
{
    struct sessions sessions = { 0 };
    char first[SESSION_CHARS + 1], word[SESSION_CHARS + 1];
    cr_assert(sessions_open(&sessions, 1, first));
    for (int i = 0; i < SESSIONS_MAX - 1; i++)
        cr_assert(sessions_open(&sessions, 2 + i, word));
    cr_expect(sessions_has(&sessions, str_of(first), 100));
    cr_assert(sessions_open(&sessions, 100, word));
    cr_expect_not(sessions_has(&sessions, str_of(first), 100));
    cr_expect(sessions_has(&sessions, str_of(word), 100));
}

Test(sessions, all_end_when_the_token_changes)
{
    struct sessions sessions = { 0 };
    char word[SESSION_CHARS + 1];
    cr_assert(sessions_open(&sessions, 0, word));
    sessions_forget(&sessions);
    cr_expect_not(sessions_has(&sessions, str_of(word), 0));
}
