#include "observe/prometheus.h"

#include <math.h>
#include <stdio.h>

static const char *const kind_words[] = { "counter", "gauge", "histogram" };

/* Backslash, line feed and, in label values, the double quote (text format 0.0.4). */
static bool put_escaped(struct buf *out, struct str text, bool is_label)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        bool ok = c == '\\'              ? buf_append(out, "\\\\", 2)
                  : c == '\n'            ? buf_append(out, "\\n", 2)
                  : c == '"' && is_label ? buf_append(out, "\\\"", 2)
                                         : buf_append(out, &c, 1);
        if (!ok)
            return false;
    }
    return true;
}

bool prom_head(struct buf *out, const char *name, enum prom_kind kind, const char *help)
{
    return buf_printf(out, "# HELP %s ", name) && put_escaped(out, str_of(help), false) &&
           buf_printf(out, "\n# TYPE %s %s\n", name, kind_words[kind]);
}

static bool put_number(struct buf *out, double value)
{
    if (isnan(value))
        return buf_append(out, " NaN\n", 5);
    if (isinf(value))
        return value > 0 ? buf_append(out, " +Inf\n", 6) : buf_append(out, " -Inf\n", 6);
    if (value == floor(value) && fabs(value) < 1e15)
        return buf_printf(out, " %.0f\n", value + 0.0); /* no "-0" */
    return buf_printf(out, " %.12g\n", value);
}

bool prom_value(struct buf *out, const char *name, const struct prom_label *labels, unsigned count,
                double value)
{
    if (!buf_append_str(out, str_of(name)))
        return false;
    for (unsigned i = 0; i < count; i++) {
        if (!buf_append(out, i == 0 ? "{" : ",", 1) || !buf_append_str(out, str_of(labels[i].name)) ||
            !buf_append(out, "=\"", 2) || !put_escaped(out, labels[i].value, true) ||
            !buf_append(out, "\"", 1))
            return false;
    }
    if (count > 0 && !buf_append(out, "}", 1))
        return false;
    return put_number(out, value);
}
