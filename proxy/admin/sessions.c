#include "admin/sessions.h"

#include "admin/guard.h"
#include "base/clock.h"
#include "base/hash.h"

bool sessions_open(struct sessions *sessions, int64_t now_ns, char out_word[SESSION_CHARS + 1])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char random[SESSION_CHARS / 2];
    struct session *oldest = &sessions->rows[0];
    if (!random_fill(random, sizeof random))
        return false;
    for (unsigned i = 1; i < SESSIONS_MAX; i++) {
        if (sessions->rows[i].until_ns < oldest->until_ns)
            oldest = &sessions->rows[i];
    }
    for (unsigned i = 0; i < SESSION_CHARS; i++)
        oldest->word[i] = hex[(random[i / 2] >> (i % 2 * 4)) & 15];
    oldest->until_ns = now_ns + SESSION_SECONDS * NS_PER_S;
    memcpy(out_word, oldest->word, SESSION_CHARS);
    out_word[SESSION_CHARS] = '\0';
    return true;
}

bool sessions_has(const struct sessions *sessions, struct str word, int64_t now_ns)
{
    bool is_known = false;
    for (unsigned i = 0; i < SESSIONS_MAX; i++) {
        const struct session *session = &sessions->rows[i];
        if (session->until_ns > now_ns && guard_is_same_secret(word, str_n(session->word, SESSION_CHARS)))
            is_known = true;
    }
    return is_known;
}

void sessions_forget(struct sessions *sessions)
{
    *sessions = (struct sessions){ 0 };
}
