#include "config/guess.h"

#include <stdio.h>

#include "base/check.h"

#define LEN_MAX 63

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Insertions, deletions, changes and swaps of neighbours, without case; both at most LEN_MAX long. */
static size_t distance_between(struct str a, struct str b)
{
    size_t table[3][LEN_MAX + 1];
    size_t *before = table[0];
    size_t *above = table[1];
    size_t *row = table[2];
    for (size_t j = 0; j <= b.len; j++)
        above[j] = before[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            char c = ascii_lower(a.data[i - 1]);
            char d = ascii_lower(b.data[j - 1]);
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (c != d));
            bool is_swap =
                i > 1 && j > 1 && c == ascii_lower(b.data[j - 2]) && d == ascii_lower(a.data[i - 2]);
            if (is_swap && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        size_t *free_row = before;
        before = above;
        above = row;
        row = free_row;
    }
    return above[b.len];
}

void guess_init(struct guess *guess, struct str typed)
{
    *guess = (struct guess){ .typed = typed };
}

void guess_offer(struct guess *guess, struct str word)
{
    struct str typed = guess->typed;
    if (typed.len == 0 || typed.len > LEN_MAX || word.len == 0 || word.len > LEN_MAX)
        return;
    size_t distance = distance_between(typed, word);
    size_t longer = typed.len > word.len ? typed.len : word.len;
    size_t most = longer <= 2 ? 0 : longer <= 5 ? 1 : longer / 3;
    if (distance > most || (guess->best.data && distance >= guess->distance))
        return;
    guess->best = word;
    guess->distance = distance;
}

void guess_offer_words(struct guess *guess, const char *words)
{
    struct str rest = str_of(words);
    struct str word;
    while (str_split(&rest, '|', &word))
        guess_offer(guess, word);
}

const char *guess_text(const struct guess *guess, char *out, size_t size)
{
    CHECK(size > 0);
    out[0] = '\0';
    if (guess->best.data)
        snprintf(out, size, "; did you mean \"%.*s\"?", STR_FMT(guess->best));
    return out;
}
