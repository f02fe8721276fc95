/* What an operator wants to read in the log of a server: that it is out, why, and that it is back.
 *
 * The room does not log: whoever looks after the servers asks for each of them, a few times a second, and
 * writes the line. That way all reasons come together (checks, traffic, names), and a server that flaps
 * cannot flood the log: after each line it is left alone for twice as long as before, up to a minute, and the
 * next line counts what was not told. What the admin address does to a server is told by the admin address.
 *
 * The control thread's; what was told lives in struct server, and so over reloads. */
#ifndef UPSTREAM_NEWS_H
#define UPSTREAM_NEWS_H

#include "upstream/upstream.h"

#define NEWS_SIZE 512

enum news {
    NEWS_NONE,
    NEWS_BAD,
    NEWS_GOOD
};

/* Ask again until there are none. line: NEWS_SIZE bytes. */
enum news server_news(const struct upstream *upstream, struct server *server, int64_t now_ns, char *line);

#endif
