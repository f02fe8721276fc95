/* weir/plugin.h - the only header a plugin sees.
 *
 * A plugin is a shared object that exports one symbol, `weir_plugin`, a `const struct weir_plugin`. weir
 * loads it by its bare name from the configured folders, checks the ABI, and calls `configure` once for each
 * place in the config that names it (an upstream's `plugins`). The instance it returns is handed to every
 * other hook.
 *
 *     request arrives -> inspect -> (cache) -> choose -> (server) -> answered -> finished
 *
 * Threads: configure and destroy run on one thread, with no other call in progress on that instance. inspect,
 * choose, answered and finished run on the workers, several at once on the same instance: what they share
 * must be atomic or locked, and they must never block. tick, if there is one, runs on a thread of the
 * plugin's own and may do I/O. A crash in a plugin is the process's.
 *
 * Memory: every weir_str is borrowed and lives for the call, unless said otherwise. Handles (weir_request,
 * weir_config) are opaque and live for the call. What a hook hands back to weir is copied before the hook's
 * next call, or comes from host->alloc().
 *
 * ABI rules: structs begin with their size and only ever grow at the end; a field is there if `size` covers
 * it. weir refuses a plugin of another major, and one with a newer minor than its own; older minors are
 * welcome. C11, no C++ types, no exceptions. */
#ifndef WEIR_PLUGIN_H
#define WEIR_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_PLUGIN_ABI_MAJOR 1
#define WEIR_PLUGIN_ABI_MINOR 0

/* True if the struct that p points to is large enough to hold that field. */
#define WEIR_HAS(p, field)    ((p)->size >= offsetof(__typeof__(*(p)), field) + sizeof((p)->field))

struct weir_str {
    const char *data; /* not NUL-terminated; NULL: absent */
    size_t len;
};

struct weir_request;
struct weir_config;
struct weir_upstream;

enum weir_log_level {
    WEIR_LOG_DEBUG,
    WEIR_LOG_INFO,
    WEIR_LOG_WARN,
    WEIR_LOG_ERROR
};

/* What weir can do for a plugin. Lives as long as the plugin. Any thread, unless said otherwise. */
struct weir_host {
    uint32_t size;

    void (*log)(enum weir_log_level level, const char *line);
    int64_t (*wall_ms)(void); /* unix milliseconds */
    int64_t (*mono_ms)(void); /* milliseconds that never go back */
    bool (*random)(void *out, size_t len);
    /* HMAC-SHA256; out has 32 bytes. */
    void (*hmac)(struct weir_str key, struct weir_str data, unsigned char out[32]);

    /* --- configure only: the plugin's own keys, as in the YAML file --- */
    unsigned (*config_count)(const struct weir_config *config);
    const char *(*config_name)(const struct weir_config *config, unsigned index);
    /* 1: there and of that type, *out set; 0: absent, *out untouched; -1: another type or not in its form.
     * Strings and the lists' items live until configure returns. Durations as in the file: 250ms 2s 5m 1h;
     * "unlimited" is -1. Shares: 50% is 0.5. Sizes: 64KiB. */
    int (*config_string)(const struct weir_config *config, const char *name, struct weir_str *out);
    int (*config_bool)(const struct weir_config *config, const char *name, bool *out);
    int (*config_number)(const struct weir_config *config, const char *name, double *out);
    int (*config_duration)(const struct weir_config *config, const char *name, int64_t *out_ms);
    int (*config_share)(const struct weir_config *config, const char *name, double *out);
    int (*config_size)(const struct weir_config *config, const char *name, int64_t *out_bytes);
    /* A list of strings: its length (0: absent, or empty), or -1. */
    int (*config_list)(const struct weir_config *config, const char *name);
    struct weir_str (*config_item)(const struct weir_config *config, const char *name, unsigned index);
    /* The upstream that this instance belongs to, for wake(); lives as long as the instance. */
    struct weir_upstream *(*config_upstream)(const struct weir_config *config);

    /* --- hooks that have a request --- */
    struct weir_str (*method)(const struct weir_request *request);
    struct weir_str (*target)(const struct weir_request *request);
    struct weir_str (*path)(const struct weir_request *request); /* after tenant and version prefixes */
    struct weir_str (*tenant)(const struct weir_request *request);
    struct weir_str (*version)(const struct weir_request *request);
    struct weir_str (*route)(const struct weir_request *request); /* "" without one */
    struct weir_str (*domain)(const struct weir_request *request);
    bool (*is_trusted)(const struct weir_request *request); /* the peer is one of trusted_peers */
    /* The first field of that name in any case. */
    struct weir_str (*field)(const struct weir_request *request, const char *name);
    struct weir_str (*cookie)(const struct weir_request *request, const char *name);
    /* Memory that goes with the request; NULL past its limit. */
    void *(*alloc)(struct weir_request *request, size_t size);
    /* A pointer the plugin may keep for this request between its hooks, NULL at first. One per instance. */
    void *(*get)(const struct weir_request *request);
    void (*set)(struct weir_request *request, void *value);

    /* Somebody's position or a server's state changed: requests that wait in choose are asked again. Any
     * thread. */
    void (*wake)(struct weir_upstream *upstream);

    /* A secret that weir drew at its start, of its own for each label: the same for all instances of this
     * process and kept over reloads, which an instance is not. Nobody else knows it; a restart draws another.
     */
    void (*secret)(const char *label, unsigned char out[32]);
};

/* --- inspect: before the cache is asked --- */

enum weir_kind {
    WEIR_READ,
    WEIR_WRITE
};

struct weir_inspection {
    uint32_t size;
    enum weir_kind
        kind;          /* preset: safe methods read, others write; a write is never answered from the cache */
    bool bypass_cache; /* preset false: neither answer from the cache nor store */
    int64_t not_before_ms;    /* preset 0: a stored reply whose fetch began before this wall-clock time is not
                                 used */
    struct weir_str position; /* preset absent: a stored reply from a server behind this position is not used.
                               * The plugin that set it compares: see is_behind */
};

/* --- choose: which server --- */

enum weir_role {
    WEIR_PRIMARY,
    WEIR_REPLICA
};

struct weir_candidate {
    uint32_t size;
    enum weir_role role;
    bool is_usable; /* up by health, traffic and the operator */
    bool was_tried; /* by this request, and failed */
    int64_t inflight;
    int64_t mean_us;         /* decaying mean time to its reply heads */
    struct weir_str address; /* as in the config */
};

/* Candidates lie side by side in weir's size, which may be larger than the one this plugin was compiled with:
 * candidates[i] would then point between two of them. */
static inline const struct weir_candidate *weir_candidate_at(const struct weir_candidate *candidates,
                                                             unsigned index)
{
    return (const struct weir_candidate *)(const void *)((const char *)candidates +
                                                         (size_t)index * candidates->size);
}

enum weir_choice_kind {
    WEIR_PASS,   /* no opinion: any usable server */
    WEIR_PICK,   /* the candidate at index */
    WEIR_ROLES,  /* weir balances among the usable of these roles */
    WEIR_REFUSE, /* 503 with that word; retry_after_s in Retry-After */
    WEIR_HOLD,   /* ask again on wake(), at the latest after hold_ms */
};

#define WEIR_ROLES_PRIMARY 1u
#define WEIR_ROLES_REPLICA 2u

struct weir_choice {
    uint32_t size;
    enum weir_choice_kind kind; /* preset WEIR_PASS */
    unsigned index;
    unsigned roles;
    bool falls_back;    /* WEIR_ROLES: if none of them is usable, any other usable one */
    const char *why;    /* static, for the log; may be NULL */
    const char *reason; /* WEIR_REFUSE: static; "position-behind" and "write-held" are known words, others
                           read "plugin-refused" */
    int64_t retry_after_s;
    int64_t hold_ms;
};

/* --- answered: the app's head is here, or weir failed --- */

struct weir_answer {
    uint32_t size;
    int status;
    bool is_weirs_own; /* an error weir made: there is no server's head */
    bool is_kept_body; /* the request's body could be sent again */
    enum weir_role role;
    unsigned index;  /* of the candidate that answered */
    int64_t sent_ms; /* wall clock: when the request was sent; 0: no server was asked */
    /* The reply's first field of that name in any case. */
    struct weir_str (*field)(const struct weir_answer *answer, const char *name);
};

struct weir_verdict {
    uint32_t size;
    struct weir_str
        token; /* preset absent: sent to the client as Weir-Position and as the cookie weir_position */
    int64_t token_age_s; /* the cookie's Max-Age */
    bool forbid_store;   /* preset false */
    bool invalidate;     /* preset false: what is stored for this target goes, as after an unsafe request */
    bool replay_to_primary;   /* preset false: send it again, once, to the primary; ignored where that is not
                                 possible */
    struct weir_str position; /* preset absent: stored with the reply, see is_behind */
};

/* --- finished: it is over --- */

struct weir_cost {
    uint32_t size;
    int status; /* what the client got; 0: nothing */
    bool is_from_cache;
    int64_t total_us;
    int64_t server_us; /* to the reply's head; -1: no server was asked */
    uint64_t sent_bytes;
};

struct weir_plugin {
    uint32_t size;
    uint16_t abi_major; /* WEIR_PLUGIN_ABI_MAJOR */
    uint16_t abi_minor;
    const char *name;    /* as in the config */
    const char *version; /* the plugin's own */
    int64_t tick_ms;     /* how often tick is called, measured from the end of one to the start of the next */

    /* Reads its keys. Returns the instance, or NULL and one sentence in error. Every key that it does not
     * know must be refused. */
    void *(*configure)(const struct weir_host *host, const struct weir_config *config, char *error,
                       size_t error_size);
    void (*destroy)(void *self);

    /* All below may be NULL. */
    void (*inspect)(void *self, struct weir_request *request, struct weir_inspection *out);
    void (*choose)(void *self, struct weir_request *request, const struct weir_candidate *candidates,
                   unsigned count, bool is_last_call /* its time in WEIR_HOLD is over */,
                   struct weir_choice *out);
    void (*answered)(void *self, struct weir_request *request, const struct weir_answer *answer,
                     struct weir_verdict *out);
    void (*finished)(void *self, struct weir_request *request, const struct weir_cost *cost);
    void (*tick)(void *self);
    /* True if a stored reply's position does not cover what inspect asked for. NULL: positions are not
     * compared. */
    bool (*is_behind)(void *self, struct weir_str stored, struct weir_str asked);
};

#define WEIR_EXPORT __attribute__((visibility("default")))

/* The one symbol: WEIR_EXPORT const struct weir_plugin weir_plugin = {...}; */
extern WEIR_EXPORT const struct weir_plugin weir_plugin;

#ifdef __cplusplus
}
#endif

#endif
