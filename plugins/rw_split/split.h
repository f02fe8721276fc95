/* What the files of the plugin's hooks share: the instance, and what is known of one request. rw_split.c has
 * the hooks, visit.c finds out what a request is, choose.c picks its server, answer.c learns from replies. */
#ifndef RW_SPLIT_SPLIT_H
#define RW_SPLIT_SPLIT_H

#include <weir/plugin.h>

#include <stdatomic.h>

#include "budget.h"
#include "postgres.h"
#include "servers.h"
#include "settings.h"
#include "tenants.h"
#include "trial.h"
#include "waits.h"

struct rw_split {
    const struct weir_host *host;
    struct weir_upstream *upstream;
    struct settings settings;
    struct servers *servers;
    struct tenants *tenants;
    struct postgres *postgres; /* NULL: nobody is asked */
    bool has_probe;            /* somebody is */
    struct budget budget;
    struct waits waits;
    struct trials trials;
    uint32_t clock; /* this process's clock, in tokens */
    atomic_uint dice;
    atomic_uint_least64_t seen[TOKEN_STATES]; /* tokens, by what was found out */
    atomic_int_least64_t told_ms;             /* when the log was told of ignored ones; monotonic */
    atomic_int_least64_t told_refused_ms;     /* and of reads that the primary's budget refused */
    atomic_int_least64_t told_deposed_ms;     /* and of a primary that its clients are past */
    /* tick's own */
    bool has_looked; /* it knows its servers */
    bool has_told_full;
    int64_t measured_ms; /* monotonic */
};

enum kind {
    KIND_READ,
    KIND_WRITE,
    KIND_BY_BODY, /* a GraphQL request: its body decides, once it is here */
};

enum trial_state {
    TRIAL_NONE,
    TRIAL_ASKED, /* a replica is asked first, so that it says how far it has come */
    TRIAL_OVER,  /* the primary's turn */
};

/* What a request brings along, and what became of it. */
struct visit {
    bool is_kept; /* it goes with the request: what is noted here is there in the next hook */
    enum kind kind;
    enum consistency consistency;
    int64_t wrote_ms;           /* for who goes by the clock: what the client, or by strict its tenant, wrote
                                   last; 0: nothing */
    int64_t began_ms;           /* of what may write: when it came; 0: of a read */
    struct seen seen;           /* what its reads must show */
    struct seen token_seen;     /* as its own token says, unresolved */
    int64_t issued_ms;          /* of that; 0: there is none */
    int64_t token_wrote_ms;     /* when its client last wrote, by that; 0: never */
    const struct token *others; /* its tokens of other domains, which it keeps */
    unsigned other_count;
    struct weir_str strays; /* and of other tenants, which nobody has read */
    bool was_replayed;      /* sent again to the primary: it writes */
    bool is_circle;         /* which refused it too: nothing was done */
    /* choose's own, monotonic */
    bool is_last_call;     /* weir will not hold it again */
    int64_t wait_since_ms; /* 0: it does not */
    int64_t longer_since_ms;
    int64_t hold_since_ms;
    bool has_held;      /* since the primary was tried again */
    int64_t again_ms;   /* not before that a primary that was tried is tried again */
    unsigned wait_turn; /* waits.h */
    enum trial_state trial;
    int trial_slot;
};

/* Tokens are verified once a request and the result kept with it. Without memory for that, or for a fetch
 * that has no request of its own, it is found out again, in *room. */
struct visit *visit_of(struct rw_split *self, struct weir_request *request, struct visit *room);
/* Once the body is here. */
void visit_settle_kind(struct rw_split *self, struct weir_request *request, struct visit *visit);
/* Whose writes it sees, or makes. */
struct tenants_key visit_tenant(const struct rw_split *self, const struct weir_request *request);
/* Its consistency goes by positions, and one has been heard of, or will be. Else the window serves. */
bool visit_has_positions(const struct rw_split *self, const struct visit *visit);

void choose_server(struct rw_split *self, struct weir_request *request,
                   const struct weir_candidate *candidates, unsigned count, bool is_last_call,
                   struct weir_choice *out);

void answer_learn(struct rw_split *self, const struct weir_answer *answer);
void answer_take(struct rw_split *self, struct weir_request *request, const struct weir_answer *answer,
                 struct weir_verdict *out);
bool answer_is_behind(const struct rw_split *self, struct weir_str stored, struct weir_str asked);
void answer_from_store(struct rw_split *self, struct weir_request *request, struct weir_str position,
                       struct weir_verdict *out);
/* What inspect asks of stored replies. */
void answer_ask(struct rw_split *self, struct weir_request *request, struct visit *visit,
                struct weir_inspection *out);

static inline void split_count(const struct rw_split *self, const char *event)
{
    self->host->count(self->upstream, event);
}

#endif
