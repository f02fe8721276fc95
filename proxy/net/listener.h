/* Listening sockets, and what comes out of them. Sockets are made once by main, one per worker with
 * SO_REUSEPORT, and kept over reloads: closing one of a group resets what waits in it. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/addr.h"

struct loop;
struct listener;

/* Opens count listening sockets on one address into fds; a port 0 is chosen by the kernel for the first and
 * shared by the others; *out_bound says what it became. Unix sockets: a stale file is replaced if nothing
 * listens on it, and all fds are duplicates of one. 0, or an errno; then none is left open. */
int listener_open(const struct addr *addr, unsigned count, int *fds, struct addr *out_bound);

/* fd is connected and non-blocking, and the callback's to close. */
typedef void accept_fn(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len);

/* Starts accepting from fd (stays the caller's). When descriptors are out (EMFILE, ENFILE) accepting pauses
 * for 100 ms, with one log line a second. */
struct listener *listener_new(struct loop *loop, int fd, accept_fn *on_accept, void *arg);
/* Newcomers are not heard any more: the kernel drops their SYN, who tries again is refused once the socket is
 * closed. What shook hands before can still be accepted, so that nothing is lost. Unix sockets: nothing
 * happens. */
void listener_deafen(int fd);
/* Stops accepting; the socket stays open. */
void listener_pause(struct listener *listener);
void listener_free(struct listener *listener); /* NULL is fine */

#endif
