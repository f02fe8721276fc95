#include "http/caching_tags.h"
#include "read.h"

#define MANY 40

static struct str tags[MANY];

static int read_tags(const char *lines, int max)
{
    static struct message reply;
    reply_with(&reply, 200, lines);
    return tags_read(&reply, tags, max);
}

Test(caching_tags, both_spellings_are_read_trimmed_and_in_order)
{
    cr_assert_eq(
        read_tags(
            "Surrogate-Key: k1  k2\tk3\r\nCache-Tag: a b, c ,,\r\nCache-Tag: d\r\nSurrogate-Key: k4\r\n",
            MANY),
        7);
    static const char *const want[] = { "a b", "c", "d", "k1", "k2", "k3", "k4" };
    for (int i = 0; i < 7; i++)
        assert_str(tags[i], want[i]);
    cr_expect_eq(read_tags("", MANY), 0);
    cr_expect_eq(read_tags("Cache-Tag:\r\nSurrogate-Key:\r\nCache-Tag: , ,\r\n", MANY), 0,
                 "no empty tag, ever");
    cr_expect_eq(read_tags("Cache-Tag: \"a, b\r\n", MANY), 2, "a quote is a byte like others");
}

Test(caching_tags, more_or_longer_than_allowed_is_said)
{
    char line[600];
    cr_expect_eq(read_tags("Cache-Tag: a,b,c\r\n", 3), 3);
    cr_expect_eq(read_tags("Cache-Tag: a,b,c,d\r\n", 3), -1);
    cr_expect_eq(read_tags("Cache-Tag: a,b,\r\nSurrogate-Key: c d\r\n", 3), -1);
    cr_expect_eq(read_tags("Cache-Tag: a\r\n", 0), -1);
    cr_expect_eq(read_tags("Cache-Tag: ,\r\n", 0), 0);
    for (int len = 256; len <= 257; len++) {
        snprintf(line, sizeof line, "Cache-Tag: %0*d\r\n", len, 0);
        cr_expect_eq(read_tags(line, 3), len == 256 ? 1 : -1);
        snprintf(line, sizeof line, "Surrogate-Key: %0*d\r\n", len, 0);
        cr_expect_eq(read_tags(line, 3), len == 256 ? 1 : -1);
    }
}

Test(caching_tags, weir_purge_is_separated_by_blanks)
{
    static struct message reply;
    reply_with(&reply, 200, "Weir-Purge: a  b\r\nCache-Tag: x\r\nWeir-Purge: c\r\n");
    cr_assert_eq(purge_tags_read(&reply, tags, MANY), 3);
    assert_str(tags[0], "a");
    assert_str(tags[2], "c");
    cr_expect_eq(purge_tags_read(&reply, tags, 2), -1);
    reply_with(&reply, 200, "");
    cr_expect_eq(purge_tags_read(&reply, tags, MANY), 0);
}

static int read_groups(const char *lines, char *buffer, size_t size, int max)
{
    static struct message reply;
    reply_with(&reply, 200, lines);
    return groups_read(&reply, FIELD_CACHE_GROUPS, buffer, size, tags, max);
}

Test(caching_tags, rfc9875_2__groups_are_a_list_of_strings)
{
    char buffer[2048];
    cr_assert_eq(read_groups("Cache-Groups: \"scripts\";p=1, \"a\\\"b\"\r\nCache-Groups: \"\"\r\n", buffer,
                             sizeof buffer, MANY),
                 3);
    assert_str(tags[0], "scripts");
    assert_str(tags[1], "a\"b");
    assert_str(tags[2], "");
    static const char *const void_ones[] = {
        "",
        "Cache-Groups:\r\n",
        "Cache-Groups: scripts\r\n",
        "Cache-Groups: \"a\", b\r\n",
        "Cache-Groups: \"a\",\r\n",
        "Cache-Groups: \"a\"\r\nCache-Groups: \"b\r\n",
        "Cache-Groups: (\"a\")\r\n",
        "Cache-Groups: 1\r\n",
        "Cache-Group-Invalidation: \"a\"\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(void_ones); i++)
        cr_expect_eq(read_groups(void_ones[i], buffer, sizeof buffer, MANY), 0, "row %zu", i);
    cr_expect_eq(read_groups("Cache-Groups: \"a\", \"b\", c\r\n", buffer, sizeof buffer, 1), 0,
                 "void, not too many");
}

Test(caching_tags, rfc9875_2__32_groups_of_32_bytes_fit)
{
    char buffer[32 * 32];
    char lines[2048] = "Cache-Groups: ";
    size_t len = strlen(lines);
    for (int i = 0; i < 32; i++)
        len += (size_t)snprintf(lines + len, sizeof lines - len, "%s\"%032d\"", i > 0 ? ", " : "", i);
    snprintf(lines + len, sizeof lines - len, "\r\n");
    cr_expect_eq(read_groups(lines, buffer, sizeof buffer, 32), 32);
    assert_str(tags[31], "00000000000000000000000000000031");
    cr_expect_eq(read_groups(lines, buffer, sizeof buffer - 1, 32), -1);
    cr_expect_eq(read_groups(lines, buffer, sizeof buffer, 31), -1);
}

Test(caching_tags, rfc9875_3__groups_to_invalidate)
{
    static struct message reply;
    char buffer[64];
    reply_with(&reply, 200, "Cache-Group-Invalidation: \"a\", \"b\"\r\nCache-Groups: \"c\"\r\n");
    cr_expect_eq(groups_read(&reply, FIELD_CACHE_GROUP_INVALIDATION, buffer, sizeof buffer, tags, MANY), 2);
    char long_name[600];
    snprintf(long_name, sizeof long_name, "Cache-Group-Invalidation: \"%0257d\"\r\n", 0);
    reply_with(&reply, 200, long_name);
    char wide[512];
    cr_expect_eq(groups_read(&reply, FIELD_CACHE_GROUP_INVALIDATION, wide, sizeof wide, tags, MANY), -1);
}
