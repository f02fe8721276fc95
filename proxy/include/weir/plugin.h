/* weir/plugin.h - the only header a plugin sees.
 *
 * A plugin is a shared object that exports one symbol, `weir_plugin`, a `const struct weir_plugin`. weir
 * loads it by its bare name from the configured folders, checks the ABI, and calls `configure` once for each
 * place in the config that names it (an upstream's `plugins`). The instance it returns is handed to every
 * other hook.
 *
 *     request arrives -> assign -> inspect -> (cache) -> choose -> (server) -> answered -> finished
 *                                              |
 *                                              +-> (a stored reply) -> served -> finished
 *
 * Threads: configure runs on the control thread, destroy on tick's own thread after the last tick (without a
 * tick on any), both with no other call in progress on that instance. The hooks of a request run on the
 * workers, several at once on the same instance: what they share must be atomic or locked, and they must
 * never block. checked runs on the control thread. tick, if there is one, runs on a thread of the plugin's
 * own and may do I/O. A crash in a plugin is the process's.
 *
 * Memory: every weir_str is borrowed and lives for the call, unless said otherwise. Handles (weir_request,
 * weir_config) are opaque and live for the call. What a hook hands back must live until the hook's next call
 * for that request: host->alloc(), the instance or a literal, not a weir_str that it was handed.
 *
 * Mistakes: what makes no sense (a candidate that there is not, a token that no cookie can have) counts as
 * not said; the log names the plugin, once a minute. A hook that takes 10 ms or more is named as well.
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
#define WEIR_PLUGIN_ABI_MINOR 1 /* what 1.1 added stands at the end of each struct, and says so */

/* True if the struct that p points to is large enough to hold that field. */
#define WEIR_HAS(p, field)    ((p)->size >= offsetof(__typeof__(*(p)), field) + sizeof((p)->field))

struct weir_str {
    const char *data; /* not NUL-terminated; NULL: absent */
    size_t len;
};

struct weir_request;
struct weir_config;
struct weir_upstream;

enum weir_kind {
    WEIR_READ,
    WEIR_WRITE
};

enum weir_role {
    WEIR_PRIMARY,
    WEIR_REPLICA
};

/* One server of an upstream, as host->servers() tells. Since 1.1. */
struct weir_server {
    uint32_t size;       /* set by the caller, in the first one: how far apart they lie */
    enum weir_role role; /* what it is now: as in the config, or as reported */
    bool is_usable;      /* up by health, traffic and the operator */
    char address[128];   /* as in the config, NUL-terminated */
};

/* What a plugin found out about a server, for host->report(). Zeroed but for what is said. Since 1.1. */
struct weir_report {
    uint32_t size;
    bool has_role; /* from now on it has that role, whatever the config says: a failover */
    enum weir_role role;
    bool has_lag;
    int64_t lag_ms;           /* how far behind its primary it is; -1: not known */
    struct weir_str position; /* how far it has come, in the plugin's own form, for weir_candidate; data NULL:
                                 unchanged. Copied; at most 255 bytes */
};

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
    /* HMAC-SHA256; out has 32 bytes. What is absent counts as empty. */
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
    /* After tenant and version prefixes, without the query, as the client wrote it: nothing is decoded, no
     * "." or ".." resolved. What must hold against a hostile client belongs in the app, or decode first. */
    struct weir_str (*path)(const struct weir_request *request);
    struct weir_str (*tenant)(const struct weir_request *request);
    struct weir_str (*version)(const struct weir_request *request); /* "" without versions */
    struct weir_str (*route)(const struct weir_request *request);   /* "" without one */
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
     * thread. In choose it does not count for the request that is being asked. */
    void (*wake)(struct weir_upstream *upstream);

    /* A secret that weir drew at its start, of its own for each label: the same for all instances of this
     * process and kept over reloads, which an instance is not. Nobody else knows it; a restart draws another.
     */
    void (*secret)(const char *label, unsigned char out[32]);

    /* --- since 1.1: look with WEIR_HAS before the first use --- */

    /* configure only. The entries of a mapping; a dot leads into a mapping: "positions.postgres". Numbers and
     * booleans come as they are written. config_map: how many (0: absent, or empty), or -1: another type, or
     * a list, a mapping or nothing at all in it. The strings live until configure returns. */
    int (*config_map)(const struct weir_config *config, const char *path);
    bool (*config_entry)(const struct weir_config *config, const char *path, unsigned index,
                         struct weir_str *out_key, struct weir_str *out_value);
    /* configure only. Does the config have an upstream of that name? */
    bool (*config_has_upstream)(const struct weir_config *config, struct weir_str name);
    /* configure only. One sentence for who wrote the config: `weir check` and the log show it, with the
     * plugin's line. */
    void (*config_warn)(const struct weir_config *config, const char *line);

    /* The servers of the upstream now: writes at most max, returns how many there are. Any thread. A reload
     * may change them. */
    unsigned (*servers)(struct weir_upstream *upstream, struct weir_server *out, unsigned max);
    /* What the plugin found out about the server at that address. False: there is none. Any thread. Wakes
     * nobody: see wake(). */
    bool (*report)(struct weir_upstream *upstream, struct weir_str address, const struct weir_report *report);
    /* Counts an event: weir_plugin_events_total{upstream, event}. event: a static string of [a-z_]; the 33rd
     * of an upstream is not counted. Any thread. */
    void (*count)(struct weir_upstream *upstream, const char *event);
    /* Several weirs share a Redis: others may have written what this one does not know. Any thread. */
    bool (*is_in_fleet)(void);

    /* Hooks that have a request. What the request's route says beside its own keys: "consistency". data NULL:
     * nothing. */
    struct weir_str (*route_option)(const struct weir_request *request, const char *name);
    /* The request's body, if it has one and all of it is here: from choose on, and only up to the upstream's
     * buffer.request or what inspect asked to keep. data NULL: not; an empty one has data and no length. */
    struct weir_str (*body)(const struct weir_request *request);
    bool (*has_body)(const struct weir_request *request);
    /* From inspect's end on: what it came to, whichever plugin said so. */
    enum weir_kind (*kind)(const struct weir_request *request);
    /* The n-th line of that field, from 0; data NULL: there are not so many. field() is field_line(.., 0). */
    struct weir_str (*field_line)(const struct weir_request *request, const char *name, unsigned n);
    /* A field for this client's reply and no other's: it is added to what the app or the cache says, never
     * stored, and may come several times (Set-Cookie). From inspect to served or answered; copied. False and
     * nothing done: no room, too late, more than 8, name or value are none (RFC 9110 5.1, 5.5), or the field
     * is not a plugin's to say: framing, Connection, weir's own, what the cache goes by (Cache-Control, Age,
     * ETag, Vary and so on). */
    bool (*add_reply_field)(struct weir_request *request, const char *name, struct weir_str value);
};

/* --- inspect: before the cache is asked --- */

struct weir_inspection {
    uint32_t size;
    enum weir_kind
        kind;          /* preset: safe methods read, others write; a write is never answered from the cache */
    bool bypass_cache; /* preset false: neither answer from the cache nor store */
    int64_t not_before_ms;    /* preset 0: a stored reply whose fetch began before this wall-clock time is not
                                 used */
    struct weir_str position; /* preset absent: a stored reply from a server behind this position is not used.
                               * The plugin that set it compares: see is_behind */
    /* Since 1.1. Preset 0: a body up to the upstream's buffer.request is read whole before choose. Larger:
     * up to so many bytes are, so that choose can look at it, and it can be sent again. At most 16 MiB. */
    int64_t keep_body_bytes;
    /* Since 1.1. Preset false: what a server may have got is sent again if its method is idempotent (RFC 9110
     * 9.2.2) and `retries` allow. True: only what no server can have begun to work on. */
    bool is_once;
};

/* --- choose: which server --- */

struct weir_candidate {
    uint32_t size;
    enum weir_role role;
    bool is_usable; /* up by health, traffic and the operator */
    bool was_tried; /* by this request, and failed */
    int64_t inflight;
    int64_t mean_us;         /* decaying mean time to its reply heads */
    struct weir_str address; /* as in the config */
    /* Since 1.1: as reported. */
    int64_t lag_ms;           /* -1: not known */
    struct weir_str position; /* data NULL: not known */
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
    WEIR_HOLD,   /* ask again on wake(), at the latest after hold_ms; on the last call a refusal */
};

#define WEIR_ROLES_PRIMARY 1u
#define WEIR_ROLES_REPLICA 2u

struct weir_choice {
    uint32_t size;
    enum weir_choice_kind kind; /* preset WEIR_PASS */
    unsigned index;  /* WEIR_PICK. Beyond the candidates: no opinion. One that was tried, and no hold since:
                      * another of its role */
    unsigned roles;  /* WEIR_ROLES: none at all is 503 no-server */
    bool falls_back; /* WEIR_ROLES: if none of them is usable, any other usable one */
    const char *why; /* PICK and ROLES: static, for the log and Weir-Trace, at most 64 bytes; may be NULL */
    const char *reason; /* WEIR_REFUSE: static; "position-behind" and "write-held" are known words, others
                           read "plugin-refused" */
    int64_t retry_after_s;
    int64_t hold_ms;
    /* Since 1.1. Preset false. WEIR_HOLD: when hold_ms are over choose is asked again as if not for the last
     * time, and may hold once more (all together at most a minute). */
    bool holds_again;
};

/* --- answered: the app's head is here, or weir failed, or gave up what a server may have begun with; after
 * replay_to_primary once more, for the primary's reply. choose is asked before that and may hold or refuse,
 * but the primary it is --- */

struct weir_answer {
    uint32_t size;
    int status;
    bool is_weirs_own;   /* an error weir made: there is no server's head; role and index count only where
                          * address has data */
    bool is_kept_body;   /* the request's body could be sent again */
    enum weir_role role; /* the server's: WEIR_PRIMARY if it was that when it was asked, and still is */
    unsigned index;      /* of the candidate that answered */
    int64_t sent_ms;     /* wall clock: when the request was sent; 0: no server was asked */
    /* The reply's first field of that name in any case. */
    struct weir_str (*field)(const struct weir_answer *answer, const char *name);
    /* Since 1.1. */
    struct weir_str address; /* of the server that answered; data NULL: none */
    struct weir_str body; /* of a health check's reply, at most 64 KiB; data NULL: none, or no health check */
};

struct weir_verdict {
    uint32_t size;
    struct weir_str token; /* preset absent: sent to the client as Weir-Position and as the cookie
                            * weir_position. 1 to 4096 characters that a cookie may have (RFC 6265 4.1.1). A
                            * reply has one: the last plugin's */
    int64_t token_age_s;   /* the cookie's Max-Age. Preset 0, which makes the client forget it */
    bool forbid_store;     /* preset false */
    bool invalidate;       /* preset false: what is stored for this target goes, as after an unsafe request */
    bool replay_to_primary;   /* preset false: send it again, once, to the primary. Of the primary's own reply
                                 it is ignored; of the replay's it is 502 replay-loop */
    struct weir_str position; /* preset absent: stored with the reply, see is_behind */
    /* Since 1.1. Preset 0: the reply knows of all that was written before it was asked for. Else the wall
     * clock until which it does: it comes from a server that is behind, and is not stored if something it
     * would be found by was invalidated or purged since. */
    int64_t as_of_ms;
    /* Since 1.1. Preset false. The token is of a write: the cookie weir_wrote carries it as well, so that the
     * reply to a read which was asked for earlier and comes later cannot take its place. cookie() gives both,
     * joined by "~". */
    bool is_of_write;
};

/* --- finished: it is over. Where others wait for what this request's fetch brings, choose and answered may
 * still come for it; get() gives NULL from here on --- */

struct weir_cost {
    uint32_t size;
    int status; /* what the client was sent, whether or not it was still there; 0: nothing */
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
    int64_t tick_ms;     /* how often tick is called, from the end of one to the start of the next; the first
                          * comes at once. At least 1 where there is a tick */

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
    void (*tick)(void *self); /* at the process' end it has 5 s to come back */
    /* True if a stored reply's position does not cover what inspect asked for. NULL: positions are not
     * compared. */
    bool (*is_behind)(void *self, struct weir_str stored, struct weir_str asked);

    /* --- since 1.1 --- */

    /* Which upstream takes this request: its name, as config_has_upstream() knows it; data NULL: this one.
     * Asked before inspect; whichever is named is not asked again, and its own plugins go on from there: this
     * one hears no more of the request, not even finished. One that is not there: 404 no-route. The string
     * must live as long as the instance. On the workers. */
    struct weir_str (*assign)(void *self, struct weir_request *request);
    /* A stored reply is about to answer: the position it was stored with (data NULL: none), when its fetch
     * began (wall clock). Only token, token_age_s count of the verdict. On the workers. */
    void (*served)(void *self, struct weir_request *request, struct weir_str position, int64_t fetched_ms,
                   struct weir_verdict *out);
    /* A server's reply to a health check: answer's status, address, field() and body. On the control
     * thread; must not block. */
    void (*checked)(void *self, const struct weir_answer *answer);
};

#define WEIR_EXPORT __attribute__((visibility("default")))

/* The one symbol: WEIR_EXPORT const struct weir_plugin weir_plugin = {...}; */
extern WEIR_EXPORT const struct weir_plugin weir_plugin;

#ifdef __cplusplus
}
#endif

#endif
