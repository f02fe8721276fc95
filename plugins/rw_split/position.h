/* How far a database has come, and what a client has seen of it. Knows texts and order, nothing of servers,
 * clocks or tokens. Pure; any thread.
 *
 * An app or a probe says a position as PostgreSQL does ("16/B374D848") or as a plain number, either one with
 * the epoch before it ("3:16/B374D848"): the timeline, which grows with every failover. Another database's
 * form (a MySQL GTID set, say) is a second pair of position_parse() and position_order(): nothing else looks
 * into a position. */
#ifndef RW_SPLIT_POSITION_H
#define RW_SPLIT_POSITION_H

#include <weir/plugin.h>

#define POSITION_TEXT_SIZE 32  /* epoch, its mark, a dash, the value in hex, NUL */
#define SEEN_TEXT_SIZE     56  /* a position, and whose state was seen */
#define ORIGIN_TEXT_SIZE   128 /* a position, server and times */

struct position {
    uint64_t value;
    uint32_t epoch; /* 0: nobody says */
    bool is_open;   /* the least that it may be: it may as well be of a later one */
    bool is_known;
};

/* From an app's text. False, and *out untouched: not understood. *out_has_epoch: the text says one. */
bool position_parse(struct weir_str text, struct position *out, bool *out_has_epoch);

/* <0, 0, >0. The epoch counts first: whoever is in a later one has been through all of the earlier ones that
 * was kept. Where nobody says one, or an open one may be the same, the value alone does. What is not known
 * comes before all that is. */
int position_order(struct position a, struct position b);
/* One that is not before either of them. */
struct position position_later(struct position a, struct position b);

/* Does whoever shows all of a show all of b, for sure? Of an open one only another one can promise that. */
bool position_promises(struct position a, struct position b);

/* Our own form: "-", "<epoch>-<value in hex>", or "<epoch>_-<value in hex>" for an open one. Returns the
 * length without the NUL. */
size_t position_put(struct position position, char out[POSITION_TEXT_SIZE]);

#define CLOCK_SKEW_MS  500 /* how far another weir's clock may be off */
#define SOURCE_PRIMARY 0u  /* the primary of that moment, whichever it was */

/* What a client must not fall behind: a position, and the state of one server at a time, while its position
 * at that time is not known; and until when all of that was seen. */
struct seen {
    struct position at;
    bool has_source;
    uint32_t source;  /* a server's tag, or SOURCE_PRIMARY */
    uint32_t clock;   /* whose clock the times are by: a process's number; 0: nobody knows */
    int64_t at_ms;    /* the source's; wall clock */
    int64_t until_ms; /* of everything; 0: there is nothing */
};

/* Takes over into *into what is newer in more. Two different sources become one that is ahead of both. */
void seen_merge(struct seen *into, const struct seen *more);
bool seen_is_nothing(const struct seen *seen);

/* "<position>", "<position>*_<clock>" or "<position>*<source>_<clock>"; both times are one in a token, and
 * stand elsewhere. "-" alone is the primary of that time. */
size_t seen_put(const struct seen *seen, char out[SEEN_TEXT_SIZE]);
bool seen_parse(struct weir_str text, int64_t at_ms, struct seen *out);

/* What is stored with a reply: whose it is, and how far its server had come. */
struct origin {
    struct position lower; /* at least there when it was asked: the reply shows all until then */
    struct position upper; /* no further when it answered: the reply shows nothing newer */
    bool is_primary;
    uint32_t server; /* its tag */
    uint32_t clock;  /* whose the times are */
    int64_t sent_ms;
    int64_t answered_ms;
};

size_t origin_put(const struct origin *origin, char out[ORIGIN_TEXT_SIZE]);
bool origin_parse(struct weir_str text, struct origin *out);

/* The request for a stored reply: what the client has seen, with its times. */
size_t asked_put(const struct seen *seen, char out[ORIGIN_TEXT_SIZE]);
bool asked_parse(struct weir_str text, struct seen *out);

/* Does a reply of that origin show all that was seen? A replica's by its position: what it has replayed it
 * shows. The primary's by its time alone: a commit is written there before it is visible (it waits for its
 * fsync, and for synchronous standbys), so that a reply may have been behind what the primary had written;
 * but not behind what was acknowledged before the primary was asked. */
bool origin_covers(const struct origin *origin, const struct seen *seen);

#endif
