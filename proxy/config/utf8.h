/* Is this text? UTF-8 without control characters but tab, line feed and carriage return. Pure. */
#ifndef CONFIG_UTF8_H
#define CONFIG_UTF8_H

#include "base/str.h"
#include "config/config.h"

/* NULL if it is; else the problem as a sentence, and where it is. */
const char *utf8_check(struct str text, struct config_mark *out_mark);

#endif
