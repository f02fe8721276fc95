#include "graphql.h"

#include <string.h>

#include "utf8.h"

enum token {
    TOKEN_BROKEN,
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_NUMBER,
    TOKEN_STRING,
    TOKEN_PUNCTUATOR, /* punctuator says which; "..." is '.' */
};

struct lexer {
    const char *at;
    const char *end;
    enum token token;
    char punctuator;
    struct weir_str name;
};

/* --- the lexical grammar --- */

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* 0 at the end: no token has it in it. */
static char peek(const struct lexer *lexer)
{
    return lexer->at < lexer->end ? *lexer->at : '\0';
}

static bool starts_with(const struct lexer *lexer, const char *word)
{
    size_t len = strlen(word);

    return (size_t)(lexer->end - lexer->at) >= len && memcmp(lexer->at, word, len) == 0;
}

/* 2.1.1: over one source character. False: it is none. */
static bool skip_character(struct lexer *lexer)
{
    unsigned char c = (unsigned char)*lexer->at;
    size_t len = utf8_length(lexer->at, lexer->end);

    if (len == 0 || (c < 0x20 && c != '\t' && c != '\n' && c != '\r'))
        return false;
    lexer->at += len;
    return true;
}

/* Unicode's own line ends are none in GraphQL (2.1.3), but were in its first drafts: who reads them as such
 * would see a definition where a comment goes on. */
static bool is_doubtful_line_end(const struct lexer *lexer)
{
    return starts_with(lexer, "\xe2\x80\xa8") || starts_with(lexer, "\xe2\x80\xa9") ||
           starts_with(lexer, "\xc2\x85");
}

static bool skip_comment(struct lexer *lexer)
{
    while (lexer->at < lexer->end && *lexer->at != '\n' && *lexer->at != '\r')
        if (is_doubtful_line_end(lexer) || !skip_character(lexer))
            return false;
    return true;
}

/* 2.1.7: byte order mark, blanks, line ends, comments, commas. */
static bool skip_ignored(struct lexer *lexer)
{
    while (lexer->at < lexer->end) {
        if (strchr(" \t\n\r,", *lexer->at) && *lexer->at)
            lexer->at++;
        else if (starts_with(lexer, "\xef\xbb\xbf"))
            lexer->at += 3;
        else if (*lexer->at != '#')
            return true;
        else if (!skip_comment(lexer))
            return false;
    }
    return true;
}

static bool skip_digits(struct lexer *lexer)
{
    if (!is_digit(peek(lexer)))
        return false;
    while (is_digit(peek(lexer)))
        lexer->at++;
    return true;
}

static bool skip_one(struct lexer *lexer, char a, char b)
{
    if (peek(lexer) != a && peek(lexer) != b)
        return false;
    lexer->at++;
    return true;
}

/* 2.9.1 and 2.9.2: neither a digit nor a dot nor a name may stand right behind. */
static bool skip_number(struct lexer *lexer)
{
    skip_one(lexer, '-', '-');
    if (!skip_one(lexer, '0', '0') && !skip_digits(lexer))
        return false;
    if (skip_one(lexer, '.', '.') && !skip_digits(lexer))
        return false;
    if (skip_one(lexer, 'e', 'E')) {
        skip_one(lexer, '+', '-');
        if (!skip_digits(lexer))
            return false;
    }
    return !is_digit(peek(lexer)) && peek(lexer) != '.' && !is_name_start(peek(lexer));
}

static bool skip_escape(struct lexer *lexer)
{
    char c = peek(lexer);

    if (!c || !strchr("\"\\/bfnrtu", c))
        return false;
    lexer->at++;
    for (int i = 0; c == 'u' && i < 4; i++, lexer->at++)
        if (!peek(lexer) || !strchr("0123456789abcdefABCDEF", peek(lexer)))
            return false;
    return true;
}

/* 2.9.4; behind its first quote. */
static bool skip_string(struct lexer *lexer)
{
    while (lexer->at < lexer->end) {
        if (*lexer->at == '"') {
            lexer->at++;
            return true;
        }
        if (*lexer->at == '\n' || *lexer->at == '\r')
            return false;
        if (*lexer->at == '\\') {
            lexer->at++;
            if (!skip_escape(lexer))
                return false;
        } else if (!skip_character(lexer)) {
            return false;
        }
    }
    return false;
}

/* Behind its first three quotes. */
static bool skip_block_string(struct lexer *lexer)
{
    while (lexer->at < lexer->end) {
        if (starts_with(lexer, "\"\"\"")) {
            lexer->at += 3;
            return true;
        }
        if (starts_with(lexer, "\\\"\"\""))
            lexer->at += 4;
        else if (!skip_character(lexer))
            return false;
    }
    return false;
}

static enum token read_name(struct lexer *lexer)
{
    const char *begin = lexer->at;

    while (is_name_start(peek(lexer)) || is_digit(peek(lexer)))
        lexer->at++;
    lexer->name = (struct weir_str){ begin, (size_t)(lexer->at - begin) };
    return TOKEN_NAME;
}

static enum token read_token(struct lexer *lexer)
{
    char c = peek(lexer);

    if (lexer->at == lexer->end)
        return TOKEN_END;
    if (is_name_start(c))
        return read_name(lexer);
    if (is_digit(c) || c == '-')
        return skip_number(lexer) ? TOKEN_NUMBER : TOKEN_BROKEN;
    if (starts_with(lexer, "\"\"\"")) {
        lexer->at += 3;
        return skip_block_string(lexer) ? TOKEN_STRING : TOKEN_BROKEN;
    }
    if (c == '"') {
        lexer->at++;
        return skip_string(lexer) ? TOKEN_STRING : TOKEN_BROKEN;
    }
    if (!starts_with(lexer, "...") && (!c || !strchr("!$&():=@[]{|}", c)))
        return TOKEN_BROKEN;
    lexer->at += c == '.' ? 3 : 1;
    lexer->punctuator = c;
    return TOKEN_PUNCTUATOR;
}

static void next(struct lexer *lexer)
{
    lexer->token = skip_ignored(lexer) ? read_token(lexer) : TOKEN_BROKEN;
}

/* --- definitions --- */

struct tally {
    struct weir_str wanted; /* the operation's name that was asked for; data NULL: none was */
    struct weir_str operations[GRAPHQL_DEFINITIONS_MAX];
    struct weir_str fragments[GRAPHQL_DEFINITIONS_MAX];
    unsigned operation_count;
    unsigned fragment_count;
    bool has_nameless;
    bool has_write;  /* any operation that is no query */
    bool has_wanted; /* one has that name, and is a query */
};

static bool is_same(struct weir_str a, struct weir_str b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static bool is_word(struct weir_str name, const char *word)
{
    return is_same(name, (struct weir_str){ word, strlen(word) });
}

static bool is_at(const struct lexer *lexer, char punctuator)
{
    return lexer->token == TOKEN_PUNCTUATOR && lexer->punctuator == punctuator;
}

/* What may stand in a selection set (2.4) outside of arguments. Values may not, so that a JSON object, which
 * has brackets as well, is no document: some servers would take it for a request. */
static bool is_of_selections(const struct lexer *lexer)
{
    if (lexer->token == TOKEN_PUNCTUATOR)
        return strchr(".:@(){}", lexer->punctuator) != NULL;
    return lexer->token == TOKEN_NAME;
}

/* Over all between a bracket, which is the token now, and the one that closes it. False: they do not match,
 * there are too many, or nothing is between them. */
static bool skip_brackets(struct lexer *lexer)
{
    static const char openers[] = "{([", enders[] = "})]";
    char closers[GRAPHQL_DEPTH_MAX];
    unsigned depth = 0, argument_depth = 0; /* where the outermost ( is */
    size_t count = 0;

    for (;; count++) {
        char c = lexer->token == TOKEN_PUNCTUATOR ? lexer->punctuator : '\0';
        const char *opener = c ? strchr(openers, c) : NULL;

        if (lexer->token == TOKEN_BROKEN || lexer->token == TOKEN_END)
            return false;
        if (!argument_depth && !is_of_selections(lexer))
            return false;
        if (opener && depth == GRAPHQL_DEPTH_MAX)
            return false;
        if (opener)
            closers[depth++] = enders[opener - openers];
        else if (c && strchr(enders, c) && closers[--depth] != c)
            return false;
        if (c == '(' && !argument_depth)
            argument_depth = depth;
        else if (depth < argument_depth)
            argument_depth = 0;
        next(lexer);
        if (depth == 0)
            return count > 1;
    }
}

/* 2.12: @name, @name(argument: ...) */
static bool skip_directives(struct lexer *lexer)
{
    while (is_at(lexer, '@')) {
        next(lexer);
        if (lexer->token != TOKEN_NAME)
            return false;
        next(lexer);
        if (is_at(lexer, '(') && !skip_brackets(lexer))
            return false;
    }
    return true;
}

static bool skip_selections(struct lexer *lexer)
{
    return skip_directives(lexer) && is_at(lexer, '{') && skip_brackets(lexer);
}

/* False: it is there already (5.2.1.1, 5.5.1.1), or there are too many. */
static bool add_name(struct weir_str *names, unsigned *count, struct weir_str name)
{
    if (*count == GRAPHQL_DEFINITIONS_MAX)
        return false;
    for (unsigned i = 0; name.data && i < *count; i++)
        if (names[i].data && is_same(names[i], name))
            return false;
    names[(*count)++] = name;
    return true;
}

static bool add_operation(struct tally *tally, struct weir_str name, bool is_query)
{
    if (!add_name(tally->operations, &tally->operation_count, name))
        return false;
    if (!name.data)
        tally->has_nameless = true;
    if (!is_query)
        tally->has_write = true;
    if (is_query && name.data && tally->wanted.data && is_same(name, tally->wanted))
        tally->has_wanted = true;
    return true;
}

/* 2.3: query Name($variables) @directives { ... }; behind its first word. */
static bool read_operation(struct lexer *lexer, struct tally *tally, bool is_query)
{
    struct weir_str name = { 0 };

    if (lexer->token == TOKEN_NAME) {
        name = lexer->name;
        next(lexer);
    }
    if (is_at(lexer, '(') && !skip_brackets(lexer))
        return false;
    return skip_selections(lexer) && add_operation(tally, name, is_query);
}

/* 2.8: fragment Name on Type @directives { ... }; behind its first word. */
static bool read_fragment(struct lexer *lexer, struct tally *tally)
{
    struct weir_str name = lexer->name;

    if (lexer->token != TOKEN_NAME || is_word(name, "on"))
        return false;
    next(lexer);
    if (lexer->token != TOKEN_NAME || !is_word(lexer->name, "on"))
        return false;
    next(lexer);
    if (lexer->token != TOKEN_NAME)
        return false;
    next(lexer);
    return skip_selections(lexer) && add_name(tally->fragments, &tally->fragment_count, name);
}

static bool read_definition(struct lexer *lexer, struct tally *tally)
{
    struct weir_str word = lexer->name;

    if (is_at(lexer, '{'))
        return skip_brackets(lexer) && add_operation(tally, (struct weir_str){ 0 }, true);
    if (lexer->token != TOKEN_NAME)
        return false;
    next(lexer);
    if (is_word(word, "fragment"))
        return read_fragment(lexer, tally);
    if (is_word(word, "query") || is_word(word, "mutation") || is_word(word, "subscription"))
        return read_operation(lexer, tally, is_word(word, "query"));
    return false;
}

enum graphql_kind graphql_kind_of(struct weir_str document, struct weir_str operation_name)
{
    struct lexer lexer = { .at = document.data, .end = document.data + document.len };
    struct tally tally;

    if (!document.data || document.len > GRAPHQL_DOCUMENT_MAX)
        return GRAPHQL_WRITE;
    tally.wanted = operation_name.len > 0 ? operation_name : (struct weir_str){ 0 };
    tally.operation_count = tally.fragment_count = 0;
    tally.has_nameless = tally.has_write = tally.has_wanted = false;
    for (next(&lexer); lexer.token != TOKEN_END;)
        if (!read_definition(&lexer, &tally))
            return GRAPHQL_WRITE;
    /* 5.2.2.1: one without a name must be alone. */
    if (tally.operation_count == 0 || (tally.has_nameless && tally.operation_count > 1))
        return GRAPHQL_WRITE;
    if (tally.wanted.data)
        return tally.has_wanted ? GRAPHQL_READ : GRAPHQL_WRITE;
    return tally.has_write ? GRAPHQL_WRITE : GRAPHQL_READ;
}
