/* Out of memory at each of its allocations in turn: a sentence, no instance, and nothing left behind. */
#include "shard_kit.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* The linker's --wrap sends the plugin's own calls here. 0: none fails. */
static unsigned fails_at;
static unsigned calls;
static int held;

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
char *__real_strndup(const char *text, size_t len);
char *__wrap_strndup(const char *text, size_t len);
void __real_free(void *memory);
void __wrap_free(void *memory);

void *__wrap_calloc(size_t count, size_t size)
{
    void *memory = ++calls == fails_at ? NULL : __real_calloc(count, size);

    held += memory != NULL;
    return memory;
}

char *__wrap_strndup(const char *text, size_t len)
{
    char *memory = ++calls == fails_at ? NULL : __real_strndup(text, len);

    held += memory != NULL;
    return memory;
}

void __wrap_free(void *memory)
{
    held -= memory != NULL;
    __real_free(memory);
}

static const struct weir_config config = { .keys = {
                                               { .name = "shards", .kind = KIT_LIST, .rows = { "s1", "s2" } },
                                               { .name = "pinned",
                                                 .kind = KIT_MAP,
                                                 .rows = { "acme: s1", "globex: s2" } },
                                           } };

Test(shard_memory, says_when_there_is_none)
{
    char error[256];
    void *self = NULL;

    for (fails_at = 1; !self; fails_at++) {
        cr_assert_lt(fails_at, 20u);
        calls = 0;
        error[0] = '\0';
        self = weir_plugin.configure(&kit_host, &config, error, sizeof error);
        if (self)
            break;
        cr_assert_str_eq(error, "out of memory", "allocation %u", fails_at);
        cr_assert_eq(held, 0, "allocation %u leaves something behind", fails_at);
    }
    cr_expect_eq(calls, 10, "itself, both lists, two shards, two pins with two names each, the ring: %u",
                 calls);
    weir_plugin.destroy(self);
    cr_expect_eq(held, 0);
}
