/* The configuration as plain data: what the file said, checked, with every default filled in.
 *
 * This room knows the contract's keys, their types, defaults and limits, once, in a table (table.c):
 * reading, checking, `weir check`'s summary and conf/weir.schema.json all come from it. It refuses to
 * know what the keys do: nothing here opens a socket or loads a plugin.
 *
 * A config is immutable once read and shared by all threads; the world that was built from it holds a
 * reference until its last request is over. Everything in it lives in its arena. Durations are
 * milliseconds, sizes bytes, rates requests a second; NEVER stands for "unlimited" or "no such wait". */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/str.h"

#define NEVER      (-1)
#define DOMAIN_MAX 128 /* bytes of an upstream's domain */
#define ADAPTIVE   0   /* limit_concurrency: found by measuring (not built yet) */

/* Where in the file a thing was named, for mistakes that are only found later (plugins). */
struct config_mark {
    int line;   /* 1-based */
    int column; /* 1-based */
};

struct config_certificate {
    struct str certificate; /* paths, NUL-terminated, relative ones made relative to the config file */
    struct str key;
    struct config_mark mark;
};

struct config_listen {
    struct addr address;
    struct config_certificate *certificates; /* the first is the default; 0 of them: plain TCP */
    unsigned certificate_count;
    struct str client_ca; /* data NULL: no client certificates asked for */
    bool has_proxy_protocol;
    struct config_mark mark;
};

struct config_admin {
    struct addr address;
    struct str token; /* data NULL: none */
};

enum config_source_kind {
    SOURCE_HOST,   /* tenants: pattern with {tenant} as one label */
    SOURCE_HEADER, /* both: name */
    SOURCE_PATH,   /* both: pattern */
    SOURCE_ACCEPT, /* versions: media type pattern */
    SOURCE_QUERY,  /* versions: parameter name */
};

/* Where a tenant or a version may be named. A pattern is cut at its placeholder; a path's after always
 * ends with "/". */
struct config_source {
    enum config_source_kind kind;
    struct str name;   /* field or parameter; else data NULL */
    struct str before; /* the pattern's part before {tenant} or {version} */
    struct str after;
    bool is_stripped;     /* path: strip: true */
    bool is_trusted_only; /* header: believe: trusted */
};

struct config_tenant {
    struct str name;   /* lower case; data NULL for `default` */
    double rate_per_s; /* NEVER: unlimited */
    double burst;      /* bucket size in requests; NEVER: one second's rate, at least 1 */
    int64_t concurrency;
    unsigned weight;    /* 1..1000 */
    double cache_share; /* 0..1 */
    struct str version; /* data NULL: by request */
};

struct config_tenants {
    bool is_given; /* false: one tenant named "default" */
    struct config_source *from;
    unsigned from_count;
    bool is_unknown_default;       /* unknown: default, or no sources at all; else refuse */
    bool is_unlisted_refused;      /* unlisted: refuse; else accept */
    struct config_tenant fallback; /* `default`: limits of the unlisted; the named ones start from it */
    struct config_tenant *named;
    unsigned named_count;
};

struct config_canary {
    struct str upstream; /* data NULL: no canary */
    double percent;      /* of tenants, 0..100 */
    struct str *tenants; /* always in it */
    unsigned tenant_count;
};

struct config_version {
    struct str name;
    struct str upstream;  /* data NULL: the only one */
    int64_t deprecated_s; /* unix seconds, 0: not */
    int64_t sunset_s;     /* unix seconds, 0: not */
    struct str link;      /* data NULL: none */
    bool is_gone_after_sunset;
    struct config_canary canary;
};

struct config_versions {
    bool is_given; /* false: one version named "default", every path */
    struct config_source *from;
    unsigned from_count;
    /* `default`, else the only one known; data NULL: a request that names none gets 400 */
    struct str fallback;
    struct config_version *known;
    unsigned known_count;
};

enum config_balance {
    BALANCE_LEAST_TIME,
    BALANCE_LEAST_REQUESTS,
    BALANCE_ROUND_ROBIN,
    BALANCE_HASH
};

/* A plugin's name and its own keys as JSON text: the core hands them over, the plugin checks them. */
struct config_plugin {
    struct str name;
    struct str json; /* NUL-terminated object without "name" */
    struct config_mark mark;
};

struct config_timeouts { /* ms, NEVER: unlimited */
    int64_t connect_ms;
    int64_t first_byte_ms;
    int64_t idle_ms;
    int64_t total_ms;
};

struct config_health {
    bool is_given;
    struct str path;
    int64_t interval_ms;
    int64_t timeout_ms;
    unsigned rise;
    unsigned fall;
};

struct config_upstream {
    struct str name;
    struct addr *primaries;
    unsigned primary_count;
    struct addr *replicas;
    unsigned replica_count;
    enum config_balance balance;
    struct config_plugin *plugins;
    unsigned plugin_count;
    struct config_health health;
    struct config_timeouts timeouts;
    unsigned retry_attempts;
    double retry_budget;       /* share of requests, 0..1 */
    int64_t limit_concurrency; /* NEVER: unlimited */
    int64_t limit_max;         /* of ADAPTIVE */
    int64_t limit_queue;
    int64_t limit_queue_ms;
    int64_t buffer_request_bytes;
    int64_t buffer_reply_bytes;
    struct str domain;
    bool has_tls;
    struct str tls_ca;          /* data NULL: the system's roots */
    struct str tls_server_name; /* data NULL: the host of each address */
    struct config_mark mark;
};

enum config_share {
    SHARE_PUBLIC,
    SHARE_TENANT,
    SHARE_CREDENTIAL
};
enum config_priority {
    PRIORITY_HIGH,
    PRIORITY_NORMAL,
    PRIORITY_LOW
};

/* Request directives (RFC 9111 5.2.1) that a route may make mean nothing: clients abuse them. */
enum config_ignorable {
    IGNORABLE_NO_CACHE,
    IGNORABLE_NO_STORE,
    IGNORABLE_MAX_AGE,
    IGNORABLE_MIN_FRESH,
    IGNORABLE_MAX_STALE,
    IGNORABLE_ONLY_IF_CACHED,
};

/* What a route says about the cache. A request that no route names, or whose route has no rule, gets what
 * this holds when nothing is said: no ttl, the reply's own stale windows, SHARE_PUBLIC, the rest 0. */
struct config_cache_rule {
    int64_t ttl_ms; /* NEVER: only by the reply's own fields */
    /* Both NEVER: not said; then the reply's own word holds, then the default (config_cache's, or none). */
    int64_t stale_while_revalidate_ms;
    int64_t stale_if_error_ms;
    int64_t brownout_ms; /* 0: not */
    enum config_share share;
    bool has_cookies; /* false: all cookies count as credentials */
    struct str *cookies;
    unsigned cookie_count;
    struct str *tags;
    unsigned tag_count;
    bool is_for_all_tenants; /* scope: all_tenants */
    bool is_heuristic_off;   /* heuristic: false */
    bool is_query_sorted;    /* query: sorted, for the key only */
    bool is_refresh_off;     /* refresh_ahead: false */
    enum config_ignorable *ignores;
    unsigned ignore_count;
    unsigned ignored; /* the same as bits: 1 << enum config_ignorable */
};

/* What this route's readers must see of writes: for plugins that split reads from writes. */
enum config_consistency {
    CONSISTENCY_OF_UPSTREAM, /* as the plugin's own keys say */
    CONSISTENCY_OF_NONE,
    CONSISTENCY_OF_WINDOW,
    CONSISTENCY_OF_POSITION,
    CONSISTENCY_OF_STRICT
};

struct config_route {
    struct str name; /* for labels; given or made from the path */
    struct str host; /* lower case, data NULL: any */
    struct str path; /* data NULL: any */
    struct str *methods;
    unsigned method_count; /* 0: any */
    bool has_cache;
    struct config_cache_rule cache;
    enum config_priority priority;
    struct config_timeouts timeouts; /* INT64_MIN: not said here, the upstream's hold */
    struct str upstream;             /* data NULL: the version's */
    enum config_consistency consistency;
    bool is_upgrade_refused; /* upgrade: none */
    struct config_mark mark;
};

struct config_clients {
    int64_t head_max_bytes;
    int64_t fields_max;
    int64_t head_time_ms;
    int64_t body_idle_ms;
    int64_t rate_min_bytes; /* a second */
    int64_t body_max_bytes;
    int64_t write_stall_ms;
    int64_t keepalive_ms;
    int64_t keepalive_requests;
    int64_t per_address;
    double rate_per_s;   /* of one address, NEVER: unlimited */
    int64_t connections; /* 0: auto, from the descriptor limit */
};

struct config_redis {
    bool is_given;
    struct str url;          /* secret: it may hold a password. Only its scheme was checked */
    struct config_mark mark; /* where url was said, for what only who dials it can tell */
    int64_t budget_ms;
    struct str prefix;
};

struct config_cache {
    int64_t memory_bytes; /* 0: off */
    int64_t object_max_bytes;
    bool is_set_cookie_stored;
    int64_t stale_if_error_ms; /* where neither reply nor route says */
    int64_t leak_sample;       /* every n-th hit is compared with the app; 0: none */
    struct config_redis redis;
};

struct config_log {
    bool has_access;
    struct str path;         /* "stderr", "stdout" or a file */
    int level;               /* enum log_level */
    struct config_mark mark; /* where path was said; line 0: nowhere */
};

/* One mistake, as it is printed: FILE:LINE:COL: text. */
struct config_mistake {
    struct config_mark mark;
    char *text;
};

struct config_mistakes {
    struct config_mistake *rows;
    unsigned count;
    unsigned size;
};

struct config {
    struct arena arena;
    struct str file; /* as given, NUL-terminated; "(command line)" when made from options */
    struct config_listen *listens;
    unsigned listen_count;
    struct config_admin admin;
    unsigned workers; /* resolved: auto is the number of cores this process may use */
    struct cidr *trusted_peers;
    unsigned trusted_peer_count;
    struct config_tenants tenants;
    struct config_versions versions;
    struct config_upstream *upstreams;
    unsigned upstream_count;
    struct config_route *routes;
    unsigned route_count;
    struct config_clients clients;
    struct config_cache cache;
    struct config_log log;
    struct str *plugin_dirs; /* from the file; the build's own folder is added by main */
    unsigned plugin_dir_count;
    struct config_mistakes warnings; /* what is allowed, and most likely not meant; sorted */
    int references;                  /* atomic */
};

/* Reads and checks a file. Returns NULL and every mistake found when there is one, sorted by line; NULL
 * and none: out of memory. *out_mistakes need not be initialised and is the caller's to fini either way.
 * The result has one reference. */
struct config *config_read_file(const char *path, struct config_mistakes *out_mistakes);

/* The same from memory; name stands in for the file in mistakes, relative paths are the process's. */
struct config *config_read_text(struct str yaml, const char *name, struct config_mistakes *out_mistakes);

struct config *config_ref(struct config *config);
struct config *config_unref(struct config *config); /* NULL is fine; returns NULL */

/* Adds one line; used by the world too, for what only loading can tell (certificates, plugins). Past 200
 * rows only one more is added, which says so. A mark of line 0 is the file as a whole. */
void config_mistake(struct config_mistakes *mistakes, struct config_mark mark, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Writes every row as FILE:LINE:COL: text, one a line, into a malloc'd string; "" if none, NULL when out
 * of memory. */
char *config_mistakes_text(const struct config_mistakes *mistakes, const char *file);
void config_mistakes_fini(struct config_mistakes *mistakes);

/* Linear look-ups by name, for building the world, not for requests. NULL if absent. */
const struct config_upstream *config_find_upstream(const struct config *config, struct str name);
const struct config_version *config_find_version(const struct config *config, struct str name);

/* `weir check`'s summary, malloc'd; NULL when out of memory. It is the config as weir understood it, every
 * default filled in, in YAML that reads back as the same config (but for secrets, which it hides). */
char *config_summary(const struct config *config);

/* conf/weir.schema.json, malloc'd; NULL when out of memory. */
char *config_schema(void);

#endif
