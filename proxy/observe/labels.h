/* The names behind label indexes, for whoever writes them out. Only for this room. */
#ifndef OBSERVE_LABELS_H
#define OBSERVE_LABELS_H

#include "observe/series.h"

/* Names by index as they were at one moment; the strings live as long as the labels. */
struct label_names {
    struct str *tenants; /* data NULL: this one lost its label, its numbers are _other's */
    struct str *versions;
    struct str *routes;
    unsigned tenant_count;
    unsigned version_count;
    unsigned route_count;
};

/* False when out of memory. */
bool label_names_read(struct label_names *names, struct labels *labels);
void label_names_fini(struct label_names *names);

#endif
