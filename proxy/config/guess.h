/* "did you mean": the nearest of some words to what was typed. Embedded; pure. */
#ifndef CONFIG_GUESS_H
#define CONFIG_GUESS_H

#include "base/str.h"

struct guess {
    struct str typed;
    struct str best; /* data NULL: none is near */
    size_t distance;
};

void guess_init(struct guess *guess, struct str typed);

/* Offers a word; borrowed. */
void guess_offer(struct guess *guess, struct str word);

/* Offers every word of "a|b|c". */
void guess_offer_words(struct guess *guess, const char *words);

/* For "%s" behind a message: writes `; did you mean "X"?`, or "" if nothing is near. Returns out. */
const char *guess_text(const struct guess *guess, char *out, size_t size);

#endif
