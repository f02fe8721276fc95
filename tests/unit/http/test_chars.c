#include "http/chars.h"
#include "read.h"

Test(chars, tokens_are_what_rfc_9110_5_6_2_lists)
{
    const char *marks = "!#$%&'*+-.^_`|~";
    for (unsigned c = 0; c < 256; c++) {
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool want = is_alnum || (c > 0 && c < 128 && strchr(marks, (int)c));
        cr_expect_eq(char_is((char)c, CHAR_TOKEN), want, "byte 0x%02x", c);
    }
}

Test(chars, marks_that_cgi_folds_are_all_tokens_but_letters_digits_and_dash)
{
    for (unsigned c = 0; c < 256; c++) {
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool want = char_is((char)c, CHAR_TOKEN) && !is_alnum && c != '-';
        cr_expect_eq(char_is((char)c, CHAR_FOLD), want, "byte 0x%02x", c);
    }
}

Test(chars, values_hold_everything_but_controls)
{
    for (unsigned c = 0; c < 256; c++) {
        bool want = c == '\t' || (c >= 0x20 && c != 0x7f);
        cr_expect_eq(char_is((char)c, CHAR_VALUE), want, "byte 0x%02x", c);
    }
}

Test(chars, targets_hold_visible_ascii_but_the_fragment_mark)
{
    for (unsigned c = 0; c < 256; c++) {
        bool want = c > 0x20 && c < 0x7f && c != '#';
        cr_expect_eq(char_is((char)c, CHAR_TARGET), want, "byte 0x%02x", c);
    }
}

Test(chars, scan_stops_at_the_first_control_wherever_it_stands)
{
    char bytes[64];
    for (unsigned c = 0; c < 256; c++) {
        for (size_t at = 0; at < sizeof bytes; at++) {
            memset(bytes, 'v', sizeof bytes);
            bytes[at] = (char)c;
            const char *stop = scan_value(bytes, bytes + sizeof bytes);
            const char *want = char_is((char)c, CHAR_VALUE) ? bytes + sizeof bytes : bytes + at;
            cr_assert_eq(stop, want, "byte 0x%02x at %zu", c, at);
        }
    }
}

Test(chars, scan_never_passes_the_end)
{
    const char bytes[] = "0123456789012345678\n";
    for (size_t len = 0; len < 19; len++)
        cr_assert_eq(scan_value(bytes, bytes + len), bytes + len);
}
