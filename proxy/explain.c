#include "explain.h"

int explain_request(struct config *config, const char *method, const char *url, const struct str *headers,
                    unsigned header_count, const char *peer, FILE *out)
{
    (void)config, (void)method, (void)url, (void)headers, (void)header_count, (void)peer, (void)out;
    return 1;
}
