#include "base/err.h"

#include "base/check.h"

static const struct {
    int status;
    const char *word;
    const char *text;
} rows[] = {
#define ERR(code, status_, word_, text_) { status_, word_, text_ },
#include "base/err.def"
#undef ERR
};

unsigned err_row(int err)
{
    CHECK(err < 0);
    CHECK(err >= -(int)ERR_COUNT);
    return (unsigned)(-1 - err);
}

int err_status(int err)
{
    return rows[err_row(err)].status;
}

const char *err_word(int err)
{
    return err == 0 ? "none" : rows[err_row(err)].word;
}

const char *err_text(int err)
{
    return err == 0 ? "" : rows[err_row(err)].text;
}
