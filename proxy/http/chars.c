#include "http/chars.h"

#define T CHAR_TOKEN
#define F CHAR_FOLD
#define V CHAR_VALUE
#define G CHAR_TARGET
#define N CHAR_NAME
#define X CHAR_HEX
#define D CHAR_DIGIT

/* clang-format off */
const uint8_t char_class[256] = {
    ['\t'] = V, [' '] = V,
    ['!'] = T | F | V | G, ['"'] = V | G, ['#'] = T | F | V, ['$' ... '\''] = T | F | V | G,
    ['(' ... ')'] = V | G, ['*' ... '+'] = T | F | V | G, [','] = V | G,
    ['-'] = T | V | G | N, ['.'] = T | F | V | G | N, ['/'] = V | G,
    ['0' ... '9'] = T | V | G | N | X | D,
    [':' ... '@'] = V | G,
    ['A' ... 'F'] = T | V | G | N | X, ['G' ... 'Z'] = T | V | G | N,
    ['[' ... ']'] = V | G, ['^'] = T | F | V | G, ['_'] = T | F | V | G | N, ['`'] = T | F | V | G,
    ['a' ... 'f'] = T | V | G | N | X, ['g' ... 'z'] = T | V | G | N,
    ['{'] = V | G, ['|'] = T | F | V | G, ['}'] = V | G, ['~'] = T | F | V | G | N,
    [0x80 ... 0xff] = V,
};
/* clang-format on */
