#include "base/hash.h"

#include <criterion/criterion.h>

Test(hash, the_same_bytes_have_the_same_hash)
{
    cr_expect_eq(hash_bytes("abc", 3), hash_bytes("abc", 3));
    cr_expect_neq(hash_bytes("abc", 3), hash_bytes("abd", 3));
    cr_expect_neq(hash_bytes("abc", 3), hash_bytes("abc", 2));
    struct hash128 a = hash_bytes128("abc", 3);
    struct hash128 b = hash_bytes128("abc", 3);
    struct hash128 c = hash_bytes128("abd", 3);
    cr_expect(a.low == b.low && a.high == b.high);
    cr_expect(a.low != c.low && a.high != c.high);
}

Test(hash, a_secret_changes_every_hash)
{
    char bytes[600] = { 0 };
    static const size_t lengths[] = { 0, 1, 8, 16, 17, 128, 129, 240, 241, 600 };
    uint64_t before[10];
    struct hash128 before128[10];
    for (int i = 0; i < 10; i++) {
        before[i] = hash_bytes(bytes, lengths[i]);
        before128[i] = hash_bytes128(bytes, lengths[i]);
    }
    cr_assert(hash_init_secret());
    for (int i = 0; i < 10; i++) {
        cr_expect_neq(hash_bytes(bytes, lengths[i]), before[i], "%zu bytes", lengths[i]);
        cr_expect_neq(hash_bytes128(bytes, lengths[i]).low, before128[i].low, "%zu bytes", lengths[i]);
        cr_expect_eq(hash_bytes(bytes, lengths[i]), hash_bytes(bytes, lengths[i]));
    }
}

Test(hash, randomness_fills_every_byte)
{
    unsigned char seen[64] = { 0 };
    for (int turn = 0; turn < 20; turn++) {
        unsigned char out[64];
        cr_assert(random_fill(out, sizeof out));
        for (int i = 0; i < 64; i++)
            seen[i] |= out[i];
    }
    for (int i = 0; i < 64; i++)
        cr_expect_neq(seen[i], 0, "byte %d", i);
    cr_expect(random_fill(NULL, 0));
}
