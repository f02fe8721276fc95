#include "config/tree.h"

#include <yaml.h>

#include "base/check.h"
#include "base/map.h"
#include "config/environment.h"
#include "config/utf8.h"
#include "config/value.h"

struct builder {
    yaml_parser_t parser;
    struct str text;
    struct arena *arena;
    struct config_mistakes *mistakes;
    unsigned nodes;
};

static struct config_mark mark_of(yaml_mark_t mark)
{
    return (struct config_mark){ (int)mark.line + 1, (int)mark.column + 1 };
}

/* The line of text with that 0-based number. */
static struct str line_at(struct str text, size_t number)
{
    struct str line = { NULL, 0 };
    for (size_t i = 0; i <= number; i++) {
        if (!str_split(&text, '\n', &line))
            return STR("");
    }
    return line;
}

static const char *hint_for(struct str line)
{
    size_t indent = 0;
    while (indent < line.len && (line.data[indent] == ' ' || line.data[indent] == '\t'))
        indent++;
    if (memchr(line.data, '\t', indent))
        return "; there is a tab: YAML is indented with spaces";
    if (memmem(line.data, line.len, "${", 2))
        return "; inside { } and [ ], put \"${NAME}\" in quotes";
    if (memchr(line.data, '{', line.len) || memchr(line.data, ':', line.len))
        return "; a text with : { } [ ] , # in it needs quotes";
    return "";
}

static void syntax_mistake(struct builder *b)
{
    const yaml_parser_t *parser = &b->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return;
    /* What libyaml knows of the reader's errors is an offset; utf8_check() went before. */
    yaml_mark_t mark = parser->error == YAML_READER_ERROR ? parser->mark : parser->problem_mark;
    struct config_mark at = mark_of(mark);
    const char *problem = parser->problem ? parser->problem : "unreadable";
    const char *hint = hint_for(line_at(b->text, mark.line));
    if (parser->context && parser->context_mark.line != mark.line)
        config_mistake(b->mistakes, at, "not YAML: %s (%s that began on line %zu)%s", problem,
                       parser->context, parser->context_mark.line + 1, hint);
    else
        config_mistake(b->mistakes, at, "not YAML: %s%s", problem, hint);
}

static bool next_event(struct builder *b, yaml_event_t *out)
{
    if (yaml_parser_parse(&b->parser, out))
        return true;
    syntax_mistake(b);
    return false;
}

static struct node *node_new(struct builder *b, enum node_kind kind, yaml_mark_t mark)
{
    if (++b->nodes > TREE_NODES_MAX) {
        config_mistake(b->mistakes, mark_of(mark), "too many values: at most %d", TREE_NODES_MAX);
        return NULL;
    }
    struct node *node = arena_zalloc(b->arena, sizeof *node);
    if (node) {
        node->kind = kind;
        node->mark = mark_of(mark);
    }
    return node;
}

/* Anchors would need aliases, and aliases can multiply; tags would say a type that the table knows. */
static void refuse_decorations(struct builder *b, const yaml_event_t *event)
{
    struct config_mark mark = mark_of(event->start_mark);
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    } else if (event->type == YAML_ALIAS_EVENT) {
        config_mistake(b->mistakes, mark,
                       "aliases (*%s) are not allowed; a text that begins with * needs quotes",
                       (const char *)event->data.alias.anchor);
    }
    if (anchor)
        config_mistake(b->mistakes, mark,
                       "anchors (&%s) are not allowed; a text that begins with & needs quotes",
                       (const char *)anchor);
    if (tag)
        config_mistake(b->mistakes, mark, "tags (%s) are not allowed; a text that begins with ! needs quotes",
                       (const char *)tag);
}

static struct node *build(struct builder *b, yaml_event_t *event, int depth);

static struct node *build_next(struct builder *b, int depth)
{
    yaml_event_t event;
    if (!next_event(b, &event))
        return NULL;
    struct node *node = build(b, &event, depth);
    yaml_event_delete(&event);
    return node;
}

static struct node *build_scalar(struct builder *b, const yaml_event_t *event)
{
    struct node *node = node_new(b, NODE_SCALAR, event->start_mark);
    if (!node)
        return NULL;
    struct str text = str_n((const char *)event->data.scalar.value, event->data.scalar.length);
    node->is_quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    enum environment_result result = environment_expand(text, b->arena, &node->text, b->mistakes, node->mark);
    node->is_bad = result == ENVIRONMENT_MISTAKE;
    return result == ENVIRONMENT_NO_MEMORY ? NULL : node;
}

/* A mistake already, and nothing more to say about it. */
static struct node *build_alias(struct builder *b, const yaml_event_t *event)
{
    struct node *node = node_new(b, NODE_SCALAR, event->start_mark);
    if (node) {
        node->is_bad = true;
        node->text = STR("");
    }
    return node;
}

static struct node *build_list(struct builder *b, const yaml_event_t *start, int depth)
{
    struct node *list = node_new(b, NODE_LIST, start->start_mark);
    struct node **end = list ? &list->child : NULL;
    while (list) {
        yaml_event_t event;
        if (!next_event(b, &event))
            return NULL;
        bool is_end = event.type == YAML_SEQUENCE_END_EVENT;
        struct node *item = is_end ? NULL : build(b, &event, depth + 1);
        yaml_event_delete(&event);
        if (is_end)
            return list;
        if (!item)
            return NULL;
        *end = item;
        end = &item->next;
        list->count++;
    }
    return NULL;
}

/* What stands where a key should, for messages; NULL if it is one. */
static const char *no_key(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        if (event->data.scalar.length == 0)
            return "nothing";
        if (value_has_control(str_n((const char *)event->data.scalar.value, event->data.scalar.length)))
            return "text with control characters";
        return NULL;
    case YAML_MAPPING_START_EVENT:
        return "a mapping";
    case YAML_SEQUENCE_START_EVENT:
        return "a list";
    default:
        return "an alias";
    }
}

/* One key and its value. *out_child is NULL for what is no key, and for one that was here before: the
 * first counts. False: the parse ends here. */
static bool build_entry(struct builder *b, yaml_event_t *key, struct map *seen, int depth,
                        struct node **out_child)
{
    struct config_mark mark = mark_of(key->start_mark);
    *out_child = NULL;
    const char *instead = no_key(key);
    struct node *key_node = build(b, key, depth + 1);
    struct node *value = key_node ? build_next(b, depth + 1) : NULL;
    if (!value)
        return false;
    if (instead) {
        config_mistake(b->mistakes, mark, "a key must be a word, not %s", instead);
        return true;
    }
    value->name = arena_str(b->arena, str_n((const char *)key->data.scalar.value, key->data.scalar.length));
    value->name_mark = mark;
    if (!value->name.data)
        return false;
    const struct node *first = map_get(seen, value->name);
    if (first) {
        config_mistake(b->mistakes, mark, "key \"%.*s\" is here twice; the first is on line %d",
                       STR_FMT(value->name), first->name_mark.line);
        return true;
    }
    *out_child = value;
    return map_put(seen, value->name, value);
}

static struct node *build_map(struct builder *b, const yaml_event_t *start, int depth)
{
    struct node *map = node_new(b, NODE_MAP, start->start_mark);
    struct map *seen = map ? map_new() : NULL;
    struct node **end = map ? &map->child : NULL;
    bool ok = seen != NULL;
    while (ok) {
        yaml_event_t event;
        ok = next_event(b, &event);
        if (!ok)
            break;
        bool is_end = event.type == YAML_MAPPING_END_EVENT;
        struct node *child = NULL;
        ok = is_end || build_entry(b, &event, seen, depth, &child);
        yaml_event_delete(&event);
        if (is_end)
            break;
        if (child) {
            *end = child;
            end = &child->next;
            map->count++;
        }
    }
    map_free(seen);
    return ok ? map : NULL;
}

static struct node *build(struct builder *b, yaml_event_t *event, int depth)
{
    refuse_decorations(b, event);
    if (depth > TREE_DEPTH_MAX) {
        config_mistake(b->mistakes, mark_of(event->start_mark), "too deep: at most %d levels",
                       TREE_DEPTH_MAX);
        return NULL;
    }
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return build_scalar(b, event);
    case YAML_ALIAS_EVENT:
        return build_alias(b, event);
    case YAML_SEQUENCE_START_EVENT:
        return build_list(b, event, depth);
    default:
        CHECK(event->type == YAML_MAPPING_START_EVENT);
        return build_map(b, event, depth);
    }
}

static struct node *build_document(struct builder *b)
{
    struct node *root = NULL;
    bool is_over = false;
    while (!is_over) {
        yaml_event_t event;
        if (!next_event(b, &event))
            return NULL;
        bool ok = true;
        if (event.type == YAML_STREAM_END_EVENT) {
            is_over = true;
        } else if (event.type == YAML_DOCUMENT_START_EVENT && root) {
            config_mistake(b->mistakes, mark_of(event.start_mark), "a second document (---): one is allowed");
            is_over = true;
        } else if (event.type == YAML_DOCUMENT_START_EVENT) {
            root = build_next(b, 1);
            ok = root != NULL;
        }
        yaml_event_delete(&event);
        if (!ok)
            return NULL;
    }
    if (!root)
        config_mistake(b->mistakes, (struct config_mark){ 1, 1 }, "the file is empty; `upstreams` is needed");
    return root;
}

struct node *tree_parse(struct str text, struct arena *arena, struct config_mistakes *mistakes)
{
    if (text.len > TREE_TEXT_MAX) {
        config_mistake(mistakes, (struct config_mark){ 0 }, "the file is too large: at most 1 MiB");
        return NULL;
    }
    struct config_mark bad;
    /* A byte order mark would count as a column and shift the first key out of its mapping. */
    if (str_has_prefix(text, STR("\xef\xbb\xbf")))
        text = str_from(text, 3);
    const char *problem = utf8_check(text, &bad);
    if (problem) {
        config_mistake(mistakes, bad, "%s", problem);
        return NULL;
    }
    struct builder b = { .text = text, .arena = arena, .mistakes = mistakes };
    if (!yaml_parser_initialize(&b.parser))
        return NULL;
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)(text.data ? text.data : ""), text.len);
    struct node *root = build_document(&b);
    yaml_parser_delete(&b.parser);
    return root;
}

const struct node *node_find(const struct node *map, struct str name)
{
    for (const struct node *at = map->kind == NODE_MAP ? map->child : NULL; at; at = at->next) {
        if (str_eq(at->name, name))
            return at;
    }
    return NULL;
}

bool node_is_null(const struct node *node)
{
    if (node->kind != NODE_SCALAR || node->is_quoted)
        return false;
    return node->text.len == 0 || str_eq(node->text, STR("~")) || str_eq(node->text, STR("null"));
}

const char *node_complaint(const struct node *node)
{
    switch (node->kind) {
    case NODE_LIST:
        return "a list is wrong here";
    case NODE_MAP:
        return "a mapping is wrong here";
    default:
        return node_is_null(node) ? "it is empty" : "a single value is wrong here";
    }
}
