/* Between the files of net/ only: what a loop shows to streams and listeners. */
#ifndef NET_LOOP_INT_H
#define NET_LOOP_INT_H

/* Both libevent and base/list.h have a LIST_ENTRY. */
#pragma push_macro("LIST_ENTRY")
#undef LIST_ENTRY
#include <event2/event.h>
#include <event2/event_struct.h>
#pragma pop_macro("LIST_ENTRY")

#include "net/loop.h"

/* libevent's priorities: events of the first run before the others of a turn. The usual one is libevent's
 * default for three. */
enum {
    LOOP_URGENT,
    LOOP_USUAL,
    LOOP_PRIORITIES = 3
};

struct event_base *loop_base(struct loop *loop);

#endif
