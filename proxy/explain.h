/* `weir explain`: what would this request get, and why? Asks the rules that the corridor asks (policy/,
 * http/), in its order, and the plugins of the upstream it comes to; opens no socket. */
#ifndef EXPLAIN_H
#define EXPLAIN_H

#include <stdio.h>

#include "base/str.h"
#include "config/config.h"

/* plugin_dir: the build's own, searched last; may be NULL. url: absolute, or a path. headers: "Name: value".
 * peer: the address that asks, as text; NULL: some stranger. Returns the exit code: 0 it would be served, 1
 * it would be refused, 2 this is no request. */
int explain_request(struct config *config, const char *plugin_dir, const char *method, const char *url,
                    const struct str *headers, unsigned header_count, const char *peer, FILE *out);

#endif
