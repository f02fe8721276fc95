/* Connecting to a server: names to addresses, non-blocking connect, TLS handshake with verification. */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/str.h"

struct loop;
struct stream;
struct stream_events;
struct tls_client;

/* One server's address. A name is looked up by a thread of the room's own, again every 30 s (after a
 * failure 5 s); the last good addresses stay when a look-up fails. Shared; any thread. */
struct endpoint;

struct endpoint *endpoint_new(const struct addr *addr); /* starts the first look-up if addr is a name */
/* Its name was looked up, and there is no address: none now, and none before. */
bool endpoint_is_lost(struct endpoint *endpoint);
struct endpoint *endpoint_ref(struct endpoint *endpoint);
struct endpoint *endpoint_unref(struct endpoint *endpoint); /* NULL is fine; returns NULL */

/* An attempt. Owner: whoever started it, until its callback ran. */
struct dial;

/* err 0 and a stream (the receiver's; set its owner at once), or ERR_CONNECT_REFUSED, _TIMEOUT, _FAILED,
 * ERR_UPSTREAM_TLS, with stream NULL. Never called from within dial_start(). */
typedef void dial_fn(void *arg, struct stream *stream, int err);

/* Tries the endpoint's addresses in turn within timeout_ms (-1: no deadline). tls NULL: plain. server_name is
 * for SNI and verification, NUL-terminated, and may be NULL without tls. NULL only when out of memory. */
struct dial *dial_start(struct loop *loop, struct endpoint *endpoint, struct tls_client *tls,
                        const char *server_name, int64_t timeout_ms, dial_fn *on_done, void *arg);
void dial_cancel(struct dial *dial); /* the callback will not run; NULL is fine */

#endif
