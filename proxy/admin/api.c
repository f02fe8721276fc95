#include "admin/api.h"

#include <stdlib.h>

#include "admin/guard.h"
#include "base/check.h"
#include "base/err.h"
#include "net/loop.h"

enum access {
    NEEDS_TOKEN,
    OPEN,    /* probes of whoever watches weir */
    SIGN_IN, /* brings the token itself */
};

/* {} is one segment, {*} the rest of the path. keys: of the body, in one line. */
static const struct endpoint {
    enum method method;
    const char *path;
    api_fn *fn;
    enum access access;
    const char *keys;
} endpoints[] = {
    { METHOD_GET, "/", get_dashboard, NEEDS_TOKEN, NULL },
    { METHOD_GET, "/livez", get_livez, OPEN, NULL },
    { METHOD_GET, "/readyz", get_readyz, OPEN, NULL },
    { METHOD_GET, "/metrics", get_metrics, NEEDS_TOKEN, NULL },
    { METHOD_GET, "/api/status", get_status, NEEDS_TOKEN, NULL },
    { METHOD_GET, "/api/latency", get_latency, NEEDS_TOKEN, NULL },
    { METHOD_GET, "/api/hot", get_hot, NEEDS_TOKEN, NULL },
    { METHOD_GET, "/api/tenants/{}", get_tenant, NEEDS_TOKEN, NULL },
    { METHOD_POST, "/api/purge", post_purge, NEEDS_TOKEN, "tenant url tag prefix all soft" },
    { METHOD_POST, "/api/reload", post_reload, NEEDS_TOKEN, "" },
    { METHOD_POST, "/api/upstreams/{}/servers/{*}", post_server, NEEDS_TOKEN, "state" },
    { METHOD_POST, "/api/versions/{}", post_version, NEEDS_TOKEN, "canary" },
    { METHOD_POST, "/api/routes/", post_route, NEEDS_TOKEN, "quarantine" }, /* what no route names */
    { METHOD_POST, "/api/routes/{*}", post_route, NEEDS_TOKEN, "quarantine" },
    { METHOD_POST, "/api/drain", post_drain, NEEDS_TOKEN, "" },
    { METHOD_POST, "/api/session", post_session, SIGN_IN, "token" },
};

/* --- paths --- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *api_decode(struct str text, struct str *out)
{
    char *data = malloc(text.len + 1);
    size_t len = 0;
    for (size_t i = 0; data && i < text.len; i++) {
        int high = i + 2 < text.len && text.data[i] == '%' ? hex_value(text.data[i + 1]) : -1;
        int low = high >= 0 ? hex_value(text.data[i + 2]) : -1;
        data[len++] = low >= 0 ? (char)(high << 4 | low) : text.data[i];
        i += low >= 0 ? 2 : 0;
    }
    *out = str_n(data, len);
    return data;
}

/* parts: as sent, still encoded. */
static bool matches(struct str pattern, struct str path, struct str parts[PARTS_MAX])
{
    unsigned count = 0;
    memset(parts, 0, PARTS_MAX * sizeof *parts);
    while (pattern.len > 0) {
        bool is_rest = str_has_prefix(pattern, STR("{*}"));
        if (!is_rest && !str_has_prefix(pattern, STR("{}"))) {
            if (path.len == 0 || path.data[0] != pattern.data[0])
                return false;
            pattern = str_from(pattern, 1);
            path = str_from(path, 1);
            continue;
        }
        ptrdiff_t slash = is_rest ? -1 : str_find(path, '/');
        struct str part = slash < 0 ? path : str_n(path.data, (size_t)slash);
        if (part.len == 0)
            return false;
        CHECK(count < PARTS_MAX);
        parts[count++] = part;
        path = str_from(path, part.len);
        pattern = str_from(pattern, is_rest ? 3 : 2);
    }
    return path.len == 0;
}

static bool takes(const struct endpoint *endpoint, enum method method)
{
    return endpoint->method == method || (endpoint->method == METHOD_GET && method == METHOD_HEAD);
}

/* NULL, and a reply: no such path, or not with that method. */
static const struct endpoint *find(const struct message *msg, struct str parts[PARTS_MAX],
                                   struct reply *reply)
{
    const struct endpoint *other = NULL;
    for (unsigned i = 0; i < COUNT_OF(endpoints); i++) {
        const struct endpoint *endpoint = &endpoints[i];
        if (!matches(str_of(endpoint->path), msg->path, parts))
            continue;
        if (takes(endpoint, msg->method))
            return endpoint;
        other = endpoint;
    }
    if (!other) {
        reply_problem(reply, 404, "not-found", "there is nothing here");
        return NULL;
    }
    const char *allow = other->method == METHOD_GET ? "GET, HEAD" : "POST";
    reply_problem(reply, 405, err_word(ERR_METHOD_REFUSED), "this takes %s", allow);
    reply_field(reply, "Allow", allow);
    return NULL;
}

/* --- the guard --- */

/* False if the field is there more than once: two readers could see two values. data NULL: absent. */
static bool only_value(const struct message *msg, struct str name, struct str *out)
{
    const struct field *field = message_find(msg, name);
    *out = field ? field->value : (struct str){ NULL, 0 };
    for (const struct field *at = field ? field + 1 : NULL; at && at < msg->fields + msg->field_count; at++) {
        if (str_ieq(at->name, name))
            return false;
    }
    return true;
}

/* A reload may bring another token. One that took it away takes it away only where nobody else can come. */
static void refresh_token(struct admin *admin)
{
    struct str now = admin_world(admin)->config->admin.token;
    struct str had = str_of(admin->token);
    if (str_eq(now, had) || (!now.data && !addr_is_loopback(&admin->bound)))
        return;
    char *token = now.data ? str_dup(now) : NULL;
    if (now.data && !token)
        return; /* out of memory: the old one holds */
    free(admin->token);
    admin->token = token;
    sessions_forget(&admin->sessions);
}

static bool has_session(struct admin *admin, const struct message *msg)
{
    char name[40];
    dashboard_cookie_name(admin, name);
    for (const struct field *field = message_field(msg, FIELD_COOKIE); field;
         field = message_next(msg, field)) {
        struct str rest = field->value, pair;
        while (str_split(&rest, ';', &pair)) {
            pair = str_trim(pair);
            ptrdiff_t equals = str_find(pair, '=');
            if (equals > 0 && str_eq(str_n(pair.data, (size_t)equals), str_of(name)) &&
                sessions_has(&admin->sessions, str_from(pair, (size_t)equals + 1), loop_now_ns(admin->loop)))
                return true;
        }
    }
    return false;
}

static bool may_come_in(struct admin *admin, const struct message *msg)
{
    struct str authorization;
    if (!admin->token)
        return true;
    if (!only_value(msg, STR("Authorization"), &authorization))
        return false;
    if (authorization.data)
        return guard_is_right_bearer(authorization, str_of(admin->token));
    return has_session(admin, msg);
}

static bool is_ours(const struct admin *admin, const struct ask *ask, struct reply *reply)
{
    if (ask->is_unix || guard_is_our_host(ask->msg->authority, str_of(admin->name)))
        return true;
    reply_problem(reply, 403, err_word(ERR_BAD_HOST),
                  "Host must be an address, localhost or the configured name");
    return false;
}

static bool may_change(const struct ask *ask, struct reply *reply)
{
    struct str type, origin;
    if (!only_value(ask->msg, STR("Content-Type"), &type) || !guard_is_json(type)) {
        reply_problem(reply, 415, "bad-content-type", "Content-Type must be application/json");
        return false;
    }
    if (!only_value(ask->msg, STR("Origin"), &origin) ||
        (origin.data && !guard_is_own_origin(origin, ask->msg->authority))) {
        reply_problem(reply, 403, "foreign-origin", "this page may not change weir");
        return false;
    }
    return true;
}

/* --- bodies --- */

bool api_keys_are_known(json_t *object, const char *allowed, struct reply *reply)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        struct str rest = str_of(allowed), word;
        bool is_known = false;
        while (!is_known && str_split(&rest, ' ', &word))
            is_known = word.len > 0 && str_eq(word, str_of(key));
        if (!is_known) {
            reply_problem(reply, 400, "bad-body", "unknown key \"%s\"; allowed: %s", key,
                          allowed[0] ? allowed : "none");
            return false;
        }
    }
    return true;
}

bool api_string(json_t *object, const char *key, struct str *out, struct reply *reply)
{
    json_t *value = json_object_get(object, key);
    *out = (struct str){ NULL, 0 };
    if (value && !json_is_string(value)) {
        reply_problem(reply, 400, "bad-body", "\"%s\" must be a string", key);
        return false;
    }
    if (value)
        *out = str_n(json_string_value(value), json_string_length(value));
    return true;
}

bool api_flag(json_t *object, const char *key, bool *out, struct reply *reply)
{
    json_t *value = json_object_get(object, key);
    if (value && !json_is_boolean(value)) {
        reply_problem(reply, 400, "bad-body", "\"%s\" must be true or false", key);
        return false;
    }
    *out = json_is_true(value);
    return true;
}

/* An empty body is {}. */
static json_t *read_body(struct str body, const char *keys, struct reply *reply)
{
    json_error_t error;
    json_t *json =
        body.len == 0 ? json_object() : json_loadb(body.data, body.len, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        reply_problem(reply, 400, "bad-body", "the body is not valid JSON: %s", body.len ? error.text : "");
    else if (!json_is_object(json))
        reply_problem(reply, 400, "bad-body", "the body must be a JSON object");
    else if (api_keys_are_known(json, keys, reply))
        return json;
    json_decref(json);
    return NULL;
}

/* --- one request --- */

static void run(struct admin *admin, const struct endpoint *endpoint, struct call *call, struct reply *reply)
{
    char *decoded[PARTS_MAX] = { NULL };
    bool is_whole = true;
    for (unsigned i = 0; i < PARTS_MAX && call->parts[i].data; i++) {
        decoded[i] = api_decode(call->parts[i], &call->parts[i]);
        is_whole = is_whole && decoded[i];
    }
    if (endpoint->keys)
        call->body = read_body(call->ask->body, endpoint->keys, reply);
    if (!is_whole)
        reply->is_broken = true;
    else if (!endpoint->keys || call->body)
        endpoint->fn(admin, call, reply);
    json_decref(call->body);
    for (unsigned i = 0; i < PARTS_MAX; i++)
        free(decoded[i]);
}

void api_ask(const struct ask *ask, struct reply *reply, void *arg)
{
    struct admin *admin = arg;
    struct call call = { .ask = ask };
    struct reply not_here;

    if (!is_ours(admin, ask, reply))
        return;
    refresh_token(admin);
    reply_init(&not_here);
    const struct endpoint *endpoint = find(ask->msg, call.parts, &not_here);
    bool needs_token = !endpoint || endpoint->access == NEEDS_TOKEN;
    if (needs_token && !may_come_in(admin, ask->msg)) {
        /* Also for what does not exist: a stranger learns nothing. */
        reply_problem(reply, 401, err_word(ERR_BAD_TOKEN),
                      "the admin token is needed, as Authorization: Bearer");
        if (endpoint && endpoint->fn == get_dashboard)
            dashboard_put(reply, 401);
        reply_field(reply, "WWW-Authenticate", "Bearer realm=\"weir\"");
        reply_fini(&not_here);
        return;
    }
    if (!endpoint) {
        reply_fini(reply);
        *reply = not_here;
        return;
    }
    reply_fini(&not_here);
    if (endpoint->method == METHOD_POST && !may_change(ask, reply))
        return;
    run(admin, endpoint, &call, reply);
}
