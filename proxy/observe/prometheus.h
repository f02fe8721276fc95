/* Prometheus text exposition (version 0.0.4), into a buffer. Pure; one thread. */
#ifndef OBSERVE_PROMETHEUS_H
#define OBSERVE_PROMETHEUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct prom_label {
    const char *name;
    struct str value; /* escaped on writing */
};

enum prom_kind {
    PROM_COUNTER,
    PROM_GAUGE,
    PROM_HISTOGRAM
};

bool prom_head(struct buf *out, const char *name, enum prom_kind kind, const char *help);
bool prom_value(struct buf *out, const char *name, const struct prom_label *labels, unsigned count,
                double value);

#endif
