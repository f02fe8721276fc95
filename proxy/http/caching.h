/* RFC 9111 as questions: may this be stored, until when is it fresh, may it answer that request? With its
 * neighbours: stale use (RFC 5861), targeted fields (RFC 9213), conditions and ranges (RFC 9110 13, 14). What
 * groups stored replies by names is in caching_tags.h.
 *
 * Knows what fields mean to a shared cache. Refuses to know keys, objects, routes and who is asking: what
 * they add comes in as a struct cache_policy, and what a caller wants otherwise it changes in the structs it
 * got. Times are unix seconds where HTTP has seconds and milliseconds where weir decides. Whoever asks brings
 * `now`. Nothing allocates; views borrow from the messages. Pure; any thread. */
#ifndef HTTP_CACHING_H
#define HTTP_CACHING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "http/message.h"

/* Cache-Control, read (RFC 9111 5.2). Seconds saturate at 2^31 (1.2.2); -1: not there. Unparsable
 * arguments of max-age and friends make the reply stale (0). Repeated directives: the first counts,
 * conflicting ones the most restrictive. */
struct cache_control {
    bool has_any;
    bool is_targeted; /* from a targeted field: Cache-Control, Expires and Pragma are void (RFC 9213 2.2) */
    bool is_no_store;
    bool is_no_cache; /* without (usable) field names */
    bool is_private;  /* without (usable) field names */
    bool is_public;
    bool is_must_revalidate;
    bool is_proxy_revalidate;
    bool is_must_understand;
    bool is_only_if_cached;
    bool is_immutable;
    int64_t max_age_s;
    int64_t s_maxage_s;
    int64_t min_fresh_s;
    int64_t max_stale_s; /* INT64_MAX: any */
    int64_t stale_while_revalidate_s;
    int64_t stale_if_error_s;
    struct str no_cache_fields; /* a list of field names; data NULL: none */
    struct str private_fields;
};

/* The Cache-Control of a request or a reply, all lines of it. */
void cache_control_read(const struct message *msg, struct cache_control *out);

/* What governs this cache's handling of a reply: Weir-Cache-Control, else CDN-Cache-Control, else
 * Cache-Control; the first one that is valid and not empty (RFC 9213 2.2). */
void cache_control_of_reply(const struct message *reply, struct cache_control *out);

/* Is that field of the reply named by no-cache="..." or private="..."? Then it is not stored with the rest.
 */
bool field_is_kept_out(const struct cache_control *control, struct str name);

/* What a request asks of a cache. */
struct cache_request {
    struct cache_control control;
    bool is_no_cache; /* no-cache, or Pragma: no-cache when there is no Cache-Control (5.4) */
    bool has_authorization;
    bool has_range;
    bool has_conditions;        /* If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since */
    bool has_origin_conditions; /* If-Match or If-Unmodified-Since: for the app alone (RFC 9111 4.3.2) */
};

void cache_request_read(const struct message *request, struct cache_request *out);

/* What of a request's wishes a route passes over: they are advice (RFC 9111 5.2.1). */
enum cache_ignore {
    IGNORE_NO_CACHE = 1, /* and Pragma: no-cache */
    IGNORE_NO_STORE = 2, /* see also cache_policy */
    IGNORE_MAX_AGE = 4,
    IGNORE_MIN_FRESH = 8,
    IGNORE_MAX_STALE = 16,
    IGNORE_ONLY_IF_CACHED = 32,
};

void cache_request_ignore(struct cache_request *request, unsigned which);

struct cache_policy {          /* what the route adds */
    int64_t ttl_ms;            /* stores replies that have no freshness of their own; -1: none */
    bool is_set_cookie_stored; /* with freshness of the reply's own */
    bool is_authorized_stored; /* the key holds what makes it safe: credentials apart, or a verified tenant */
    bool is_guess_allowed;     /* without ttl: heuristic freshness from Last-Modified (RFC 9111 4.2.2) */
    bool is_no_store_ignored;  /* the request's: IGNORE_NO_STORE */
};

enum store_verdict {
    STORE_YES,
    STORE_NO,         /* this reply may not be stored: the key is remembered as uncacheable */
    STORE_NO_PRIVATE, /* private or Set-Cookie: the same, told apart for Cache-Status */
    STORE_NO_REQUEST, /* this request's doing (no-store, Authorization, a body): says nothing about the key */
};

/* How a stored reply ages. Without a verdict of STORE_YES only verdict and why are of use. */
struct freshness {
    enum store_verdict verdict;
    const char *why;              /* for explain and Cache-Status detail; static */
    struct cache_control control; /* the reply's effective one; its views live as long as the reply */
    bool is_by_ttl;         /* no freshness of its own: the route's ttl gave it, counted from its arrival */
    bool is_guessed;        /* no freshness of its own: a guess from its Last-Modified */
    bool is_partial;        /* a 206 of one range (content_range_read()): to be stored as a part only */
    bool must_revalidate;   /* no-cache, must-revalidate, proxy-revalidate, s-maxage: never used stale */
    bool always_revalidate; /* no-cache: not even used fresh without asking */
    bool allows_authorization;         /* RFC 9111 3.5: public, s-maxage or must-revalidate */
    int64_t lifetime_ms;               /* RFC 9111 4.2.1 */
    int64_t initial_age_ms;            /* corrected_initial_age, RFC 9111 4.2.3 */
    int64_t stale_while_revalidate_ms; /* -1: not said */
    int64_t stale_if_error_ms;         /* -1: not said */
};

/* May the reply to that request be stored, and how does it age? request_wall_ms and reply_wall_ms are when
 * the request was sent and its reply head arrived. */
void freshness_of(const struct message *request, const struct message *reply,
                  const struct cache_policy *policy, int64_t request_wall_ms, int64_t reply_wall_ms,
                  struct freshness *out);

/* RFC 9111 4.2.3: current_age. stored_wall_ms is reply_wall_ms of then. */
int64_t age_ms_at(const struct freshness *freshness, int64_t stored_wall_ms, int64_t now_wall_ms);

enum use_verdict {
    USE_FRESH,            /* answer with it */
    USE_STALE,            /* answer with it: the client takes it stale (max-stale) */
    USE_STALE_REVALIDATE, /* answer with it, and ask the app behind the client's back (RFC 5861 3) */
    USE_REVALIDATE,       /* ask the app with its validators */
    USE_NOT,              /* no-store, or conditions only the app may judge: fetch anew, pass by the cache */
};

/* May a stored reply of that age answer that request without asking (RFC 9111 4, 4.2, 5.2.1)? Of the
 * freshness counts: lifetime_ms, must_revalidate, always_revalidate, stale_while_revalidate_ms. */
enum use_verdict use_of(const struct cache_request *request, const struct freshness *freshness,
                        int64_t age_ms);

/* May it be used instead of an error (RFC 5861 4)? Where nobody said how stale it may be (the request's
 * stale-if-error, freshness->stale_if_error_ms) it must be fresh, or stale within the client's max-stale. */
bool may_stand_in(const struct cache_request *request, const struct freshness *freshness, int64_t age_ms);

/* May this 304, the reply to our own validation, update that stored reply (RFC 9111 4.3.4)? */
bool not_modified_is_for(struct str etag, struct str last_modified, const struct message *reply);

enum head_says {
    HEAD_SAYS_NOTHING, /* not a 200 */
    HEAD_UPDATES,      /* its fields are the stored reply's newer ones */
    HEAD_INVALIDATES,  /* the stored reply is another one: it is stale */
};

/* What a HEAD's reply says of a stored GET's (RFC 9111 4.3.5). length: of the stored body, -1: unknown. */
enum head_says head_says_of(struct str etag, struct str last_modified, int64_t length,
                            const struct message *reply);

/* Vary (RFC 9111 4.1): writes a canonical key of the request's selecting fields (lower-cased sorted
 * names; values with list spacing normalised and lines joined; those of Accept and its kin lower-cased and
 * sorted too, since neither says anything there) into out; returns its length, 0 for no Vary, or
 * -1 for "Vary: *" or when it does not fit. */
int vary_key(struct str vary, const struct message *request, char *out, size_t size);

/* All Vary fields of a reply as one canonical list "accept,accept-encoding" (lower case, sorted, no
 * duplicates), "*" if any member is. Returns the length, -1 if it does not fit. */
int vary_read(const struct message *reply, char *out, size_t size);

enum precondition {
    CONDITION_PASSES,       /* answer with the representation */
    CONDITION_NOT_MODIFIED, /* 304 */
    CONDITION_FAILED,       /* 412 */
};

/* RFC 9110 13.2.2 for GET and HEAD, answered from a stored 200. etag, last_modified may be empty. */
enum precondition precondition_of(const struct message *request, struct str etag, struct str last_modified,
                                  int64_t now_s);

/* The same, where If-Modified-Since meets a stored reply without Last-Modified: date_s is its Date or, if it
 * has none, when it arrived (RFC 9111 4.3.2); -1: not known. */
enum precondition precondition_at(const struct message *request, struct str etag, struct str last_modified,
                                  int64_t date_s, int64_t now_s);

/* Strong and weak comparison, RFC 9110 8.8.3.2. */
bool etag_is_strong(struct str etag);
bool etag_matches(struct str list, struct str etag, bool is_weak_enough);

/* Does a successful reply to that method invalidate what is stored (RFC 9111 4.4)? status 2xx or 3xx,
 * method unsafe or unknown. */
bool reply_invalidates(enum method method, int status);

/* Which target of the same origin does a Location or Content-Location name (RFC 9111 4.4)? value is resolved
 * against https, authority (as authority_normalise() writes it) and base_target by RFC 3986 5.2, its fragment
 * dropped; the target is written to out. False: another origin, no http reference, or it does not fit. */
bool invalidation_target(struct str value, bool is_https, struct str authority, struct str base_target,
                         char *out, size_t size, struct str *out_target);

struct range { /* RFC 9110 14.1.2, resolved against a length; inclusive */
    uint64_t first;
    uint64_t last;
};

enum range_verdict {
    RANGE_WHOLE,
    RANGE_PARTS,
    RANGE_UNSATISFIABLE
};

/* RFC 9110 8.8.2.2: may that Last-Modified be trusted to the byte, given the Date it came with? */
bool last_modified_is_strong(struct str last_modified, struct str date, int64_t now_s);

/* Range and If-Range against a stored 200. last_modified: empty unless it is strong, since If-Range may
 * rely on no other. Several or overlapping ranges beyond out_max, malformed or
 * unknown units: RANGE_WHOLE. */
enum range_verdict ranges_of(const struct message *request, struct str etag, struct str last_modified,
                             uint64_t length, struct range *out, unsigned out_max, unsigned *out_count);

struct content_range { /* RFC 9110 14.4, of a 206; inclusive */
    uint64_t first;
    uint64_t last;
    int64_t total; /* -1: unknown */
};

/* False unless there is exactly one Content-Range, of bytes, with a range that fits into its length. */
bool content_range_read(const struct message *reply, struct content_range *out);
/* The same of a field's value. */
bool content_range_parse(struct str value, struct content_range *out);

/* May parts of these two replies be put together (RFC 9111 3.4): do they share a strong validator?
 * old_last_modified: empty unless it is strong. */
bool may_combine(struct str old_etag, struct str old_last_modified, const struct message *new_reply);

#endif
