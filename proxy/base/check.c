#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *cond, const char *file, int line, const char *func)
{
    fprintf(stderr, "weir: CHECK(%s) failed in %s at %s:%d\n", cond, func, file, line);
    abort();
}
