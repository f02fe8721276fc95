/* weir's own cookies, which carry read-your-writes tokens: taken off a request before its key and before the
 * app. A browser may send several: a write's and a read's, another path's, a neighbouring domain's. Each
 * counts, as far as there is room: what nobody can have written takes none. Pure; any thread. */
#ifndef PIPELINE_OWN_COOKIE_H
#define PIPELINE_OWN_COOKIE_H

#include "base/arena.h"

#define OWN_COOKIE        STR("weir_position") /* of the newest reply that said a token */
#define OWN_WRITE_COOKIE  STR("weir_wrote")    /* of the newest reply to a write */
#define OWN_COOKIE_BYTES  4096                 /* a longer one is none of ours */
#define OWN_COOKIES_BYTES 16384                /* what several of them may have together */

/* Zeroed before the first. */
struct own_cookies {
    struct str joined; /* by "~"; data NULL: none so far */
    char *room;        /* OWN_COOKIES_BYTES, once there are two */
};

static inline bool own_cookie_is(struct str name)
{
    return str_eq(name, OWN_COOKIE) || str_eq(name, OWN_WRITE_COOKIE);
}

/* pair: "name=value". False: it is the client's or the app's. */
static inline bool own_cookie_value(struct str pair, struct str *out)
{
    ptrdiff_t equals = str_find(pair, '=');
    if (equals < 0 || !own_cookie_is(str_n(pair.data, (size_t)equals)))
        return false;
    *out = str_from(pair, (size_t)equals + 1);
    return true;
}

static inline void own_cookies_add(struct own_cookies *cookies, struct arena *arena, struct str value)
{
    struct str *joined = &cookies->joined;
    if (value.len > OWN_COOKIE_BYTES)
        return;
    if (!joined->data) {
        *joined = value;
        return;
    }
    if (!cookies->room) {
        cookies->room = arena_alloc(arena, OWN_COOKIES_BYTES);
        if (!cookies->room)
            return;
        memcpy(cookies->room, joined->data, joined->len);
        joined->data = cookies->room;
    }
    if (joined->len + 1 + value.len > OWN_COOKIES_BYTES)
        return;
    cookies->room[joined->len] = '~';
    memcpy(cookies->room + joined->len + 1, value.data, value.len);
    joined->len += 1 + value.len;
}

#endif
