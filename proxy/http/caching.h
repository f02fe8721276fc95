/* RFC 9111 as questions: may this be stored, until when is it fresh, may it answer that request?
 *
 * Times are unix seconds where HTTP has seconds and milliseconds where weir decides. Whoever asks
 * brings `now`. The answers are for a shared cache. Pure; any thread. */
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
    bool is_no_store;
    bool is_no_cache; /* without field names */
    bool is_private;  /* without field names */
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
    struct str no_cache_fields; /* data NULL: none */
    struct str private_fields;
};

void cache_control_read(const struct message *msg, struct cache_control *out);

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

struct cache_policy { /* what the route adds */
    int64_t ttl_ms;   /* stores replies that have no freshness of their own; -1: none */
    bool is_set_cookie_stored;
    bool is_authorized_stored; /* the key holds what makes it safe: credentials apart, or a verified tenant */
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
    const char *why;        /* for explain and Cache-Status detail; static */
    bool is_by_ttl;         /* no freshness of its own: the route's ttl gave it, counted from its arrival */
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
    USE_FRESH,      /* answer with it */
    USE_REVALIDATE, /* ask the app with its validators */
    USE_NOT,        /* no-store, or conditions only the app may judge: fetch anew, pass by the cache */
};

/* May a stored reply of that age answer that request without asking (RFC 9111 4, 4.2, 5.2.1)? */
enum use_verdict use_of(const struct cache_request *request, const struct freshness *freshness,
                        int64_t age_ms);

/* Vary (RFC 9111 4.1): writes a canonical key of the request's selecting fields (lower-cased sorted
 * names, values with list spacing normalised, order kept) into out; returns its length, 0 for no Vary, or
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

/* RFC 9110 13.2.2 for GET and HEAD, answered from a stored 200. etag, last_modified may be empty;
 * date_s is the stored Date (for If-Modified-Since without Last-Modified: ignored). */
enum precondition precondition_of(const struct message *request, struct str etag, struct str last_modified,
                                  int64_t now_s);

/* Strong and weak comparison, RFC 9110 8.8.3.2. */
bool etag_is_strong(struct str etag);
bool etag_matches(struct str list, struct str etag, bool is_weak_enough);

/* Does a successful reply to that method invalidate what is stored (RFC 9111 4.4)? status 2xx or 3xx,
 * method unsafe or unknown. */
bool reply_invalidates(enum method method, int status);

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

#endif
