/* The dashboard's sessions: who showed the token once gets a cookie instead, since a browser cannot send
 * Bearer by itself. The cookie holds a random word, never the token. Bounded: the oldest goes. Only for this
 * room; control thread. */
#ifndef ADMIN_SESSIONS_H
#define ADMIN_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define SESSIONS_MAX    16
#define SESSION_CHARS   64
#define SESSION_SECONDS (12 * 3600)

struct session {
    char word[SESSION_CHARS]; /* hex */
    int64_t until_ns;         /* 0: free */
};

struct sessions {
    struct session rows[SESSIONS_MAX];
};

/* Writes the new session's word, NUL-terminated. False when the system has no randomness. */
bool sessions_open(struct sessions *sessions, int64_t now_ns, char out_word[SESSION_CHARS + 1]);
bool sessions_has(const struct sessions *sessions, struct str word, int64_t now_ns);
/* The token changed: who knew the old one must show the new one. */
void sessions_forget(struct sessions *sessions);

#endif
