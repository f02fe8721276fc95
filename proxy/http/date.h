/* HTTP dates (RFC 9110 5.6.7). Pure; any thread. */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define HTTP_DATE_LEN 29

/* Writes "Sun, 06 Nov 1994 08:49:37 GMT" (29 bytes, no terminator). */
void http_date_format(int64_t unix_s, char out[HTTP_DATE_LEN]);

/* All three forms; a two-digit year more than 50 years ahead of now_s is in the past century. */
bool http_date_parse(struct str text, int64_t now_s, int64_t *out_unix_s);

#endif
