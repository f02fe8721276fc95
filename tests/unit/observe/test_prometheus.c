#include "observe/prometheus.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/check.h"

static struct buf out;

static void expect_out(const char *want)
{
    cr_expect(str_eq(buf_str(&out), str_of(want)), "%.*s, want %s", STR_FMT(buf_str(&out)), want);
    buf_fini(&out);
}

Test(prometheus, a_head_is_help_and_type)
{
    cr_assert(prom_head(&out, "weir_connections", PROM_GAUGE, "Open \\ connections\nnow."));
    expect_out("# HELP weir_connections Open \\\\ connections\\nnow.\n# TYPE weir_connections gauge\n");
}

Test(prometheus, label_values_are_escaped)
{
    struct prom_label labels[] = { { "a", STR("x\"y\\z\n") }, { "b", STR("") } };
    cr_assert(prom_value(&out, "m", labels, 2, 1));
    expect_out("m{a=\"x\\\"y\\\\z\\n\",b=\"\"} 1\n");
}

Test(prometheus, numbers_are_plain_where_they_are_whole)
{
    static const struct {
        double value;
        const char *want;
    } rows[] = { { 0, "m 0\n" },
                 { -0.0, "m 0\n" },
                 { 3, "m 3\n" },
                 { 123456789012345, "m 123456789012345\n" },
                 { -7, "m -7\n" },
                 { 0.25, "m 0.25\n" },
                 { 0.000123456789, "m 0.000123456789\n" },
                 { INFINITY, "m +Inf\n" },
                 { -INFINITY, "m -Inf\n" },
                 { NAN, "m NaN\n" } };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cr_assert(prom_value(&out, "m", NULL, 0, rows[i].value));
        expect_out(rows[i].want);
    }
}
