/* Between the files of net/ only: the addresses behind an endpoint (dial.h). Shared; any thread. */
#ifndef NET_ENDPOINT_H
#define NET_ENDPOINT_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/list.h"
#include "net/dial.h"

#define ENDPOINT_ADDRESSES_MAX 8

struct endpoint_addresses {
    unsigned count;
    unsigned first; /* the one that answered last: where to begin */
    struct {
        struct sockaddr_storage sa;
        socklen_t len;
    } items[ENDPOINT_ADDRESSES_MAX];
};

/* Embedded in who waits for the first look-up. fn runs on the resolver's thread under the endpoint's lock: it
 * may only pass the word on. */
struct endpoint_waiter {
    struct list link;
    void (*fn)(struct endpoint_waiter *waiter);
};

/* A copy of the addresses known now; count 0 when there are none. False while the first look-up is still on
 * its way: then waiter->fn will be called once, unless endpoint_leave() comes first. */
bool endpoint_addresses(struct endpoint *endpoint, struct endpoint_addresses *out,
                        struct endpoint_waiter *waiter);

/* False when fn was called already. */
bool endpoint_leave(struct endpoint *endpoint, struct endpoint_waiter *waiter);

/* Address number index answered. */
void endpoint_set_first(struct endpoint *endpoint, unsigned index);

#endif
