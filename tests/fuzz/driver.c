/* A plain main() for the targets: mutates their seeds in a fixed order.
 *
 *   fuzz_X [ITERATIONS [START]]   START picks another order
 *   fuzz_X - FILE...              runs the files as they are
 *
 * Before an input ends the program it is written to "fuzz-input.bin" in the working directory. */
#include "fuzz.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <fcntl.h>

#define INPUT_MAX 6000

static const struct str words[] = {
    STR_INIT("\r\n"),
    STR_INIT("\n"),
    STR_INIT("\r"),
    STR_INIT("\0"),
    STR_INIT(" "),
    STR_INIT("\t"),
    STR_INIT(":"),
    STR_INIT(","),
    STR_INIT(";"),
    STR_INIT("\""),
    STR_INIT("\x7f"),
    STR_INIT("\xa0"),
    STR_INIT("\x0b"),
    STR_INIT("_"),
    STR_INIT("\r\n "),
    STR_INIT("\r\n\r\n"),
    STR_INIT("Content-Length: 5\r\n"),
    STR_INIT("Transfer-Encoding: chunked\r\n"),
    STR_INIT("chunked"),
    STR_INIT("identity"),
    STR_INIT("gzip, "),
    STR_INIT("Host: b\r\n"),
    STR_INIT("Connection: "),
    STR_INIT("close"),
    STR_INIT("keep-alive"),
    STR_INIT("upgrade"),
    STR_INIT("Upgrade: websocket\r\n"),
    STR_INIT("Proxy-Connection: close\r\n"),
    STR_INIT("HTTP/1.0"),
    STR_INIT("HTTP/1.1"),
    STR_INIT("http://a"),
    STR_INIT("*"),
    STR_INIT("#"),
    STR_INIT("?"),
    STR_INIT("@"),
    STR_INIT("[::1]"),
    STR_INIT("0\r\n\r\n"),
    STR_INIT("ffffffffffffffff"),
    STR_INIT("18446744073709551616"),
    STR_INIT("+5"),
    STR_INIT("0x5"),
    STR_INIT("100-continue"),
    STR_INIT("X: y\r\n"),
    STR_INIT("Vary: *\r\n"),
    STR_INIT("Cache-Control: "),
    STR_INIT("Authorization: x\r\n"),
    STR_INIT("Cookie: sid=1; t\r\n"),
    STR_INIT("sid="),
    STR_INIT("&a=1"),
    STR_INIT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
};

static uint64_t state;
static uint8_t input[INPUT_MAX];
static size_t input_len;

static size_t below(size_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (size_t)(state >> 11) % (n ? n : 1);
}

static void insert(size_t at, const void *bytes, size_t len)
{
    if (len > INPUT_MAX - input_len)
        len = INPUT_MAX - input_len;
    memmove(input + at + len, input + at, input_len - at);
    memmove(input + at, bytes, len);
    input_len += len;
}

static void cut(size_t at, size_t len)
{
    if (len > input_len - at)
        len = input_len - at;
    memmove(input + at, input + at + len, input_len - at - len);
    input_len -= len;
}

static void mutate(void)
{
    size_t at = below(input_len + 1);
    struct str word = words[below(COUNT_OF(words))];
    uint8_t copy[64];
    size_t len;
    switch (below(9)) {
    case 0:
        if (at < input_len)
            input[at] ^= (uint8_t)(1 << below(8));
        break;
    case 1:
        if (at < input_len)
            input[at] = (uint8_t)below(256);
        break;
    case 2:
    case 3:
        insert(at, word.data, word.len);
        break;
    case 4:
        cut(at, 1 + below(8));
        break;
    case 5: /* over what is there */
        cut(at, word.len);
        insert(at < input_len ? at : input_len, word.data, word.len);
        break;
    case 6: /* a piece once more, somewhere else */
        len = below(sizeof copy) < input_len - at ? below(sizeof copy) : 0;
        len = len < input_len - at ? len : input_len - at;
        memcpy(copy, input + at, len);
        insert(below(input_len + 1), copy, len);
        break;
    case 7: /* the rest of another seed */
        word = fuzz_seeds[below(fuzz_seed_count)];
        len = below(word.len);
        input_len = at;
        insert(at, word.data + len, word.len - len);
        break;
    default:
        if (below(8) == 0)
            input_len = at;
        break;
    }
}

static void keep_input(void)
{
    int fd = open("fuzz-input.bin", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd >= 0 && write(fd, input, input_len) == (ssize_t)input_len)
        (void)!write(STDERR_FILENO, "the input is in fuzz-input.bin\n", 31);
}

static void on_abort(int signal_number)
{
    keep_input();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* In memory of just its size, so that a sanitizer sees the first byte read beyond it. */
static void run_one(void)
{
    uint8_t *copy = malloc(input_len ? input_len : 1);
    CHECK(copy != NULL);
    memcpy(copy, input, input_len);
    LLVMFuzzerTestOneInput(copy, input_len);
    free(copy);
}

static int run_files(char **paths)
{
    for (; *paths; paths++) {
        FILE *file = fopen(*paths, "rb");
        if (!file) {
            perror(*paths);
            return 1;
        }
        input_len = fread(input, 1, sizeof input, file);
        fclose(file);
        run_one();
    }
    return 0;
}

int main(int argc, char **argv)
{
    signal(SIGABRT, on_abort);
    if (argc > 1 && strcmp(argv[1], "-") == 0)
        return run_files(argv + 2);
    unsigned long iterations = argc > 1 ? strtoul(argv[1], NULL, 10) : 50000;
    state = 0x9e3779b97f4a7c15u ^ (argc > 2 ? strtoull(argv[2], NULL, 10) : 0);
    for (size_t i = 0; i < fuzz_seed_count; i++) {
        input_len = 0;
        insert(0, fuzz_seeds[i].data, fuzz_seeds[i].len);
        run_one();
    }
    for (unsigned long i = 0; i < iterations; i++) {
        struct str seed = fuzz_seeds[below(fuzz_seed_count)];
        input_len = 0;
        insert(0, seed.data, seed.len);
        for (size_t n = 1 + below(5); n > 0; n--)
            mutate();
        run_one();
    }
    printf("%lu inputs\n", iterations + (unsigned long)fuzz_seed_count);
    return 0;
}
