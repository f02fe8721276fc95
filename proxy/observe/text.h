/* Text of a client's choice inside of our own formats. Only for this room. Pure. */
#ifndef OBSERVE_TEXT_H
#define OBSERVE_TEXT_H

#include <stddef.h>

#include "base/str.h"

/* The inside of a JSON string. Bytes that are no UTF-8 become U+FFFD, so that one client cannot make a line
 * that no reader takes. Returns the end, or NULL if it does not fit before end. */
char *text_put_json(char *at, const char *end, struct str value);

/* At most this many bytes for len of them. */
#define TEXT_JSON_MAX(len) (6 * (len))

#endif
