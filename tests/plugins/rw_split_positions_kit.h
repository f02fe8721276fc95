/* What the tests of rw_split's positions share: three servers, what they have come to, requests and replies.
 */
#ifndef RW_SPLIT_POSITIONS_KIT_H
#define RW_SPLIT_POSITIONS_KIT_H

#include "fake_host.h"
#include "split.h"

#define PRIMARY 0
#define FIRST   1
#define SECOND  2
#define COUNT   3

extern const char *const addresses[COUNT];
extern struct weir_candidate candidates[COUNT];
/* What the app says in its next replies; NULL: nothing. */
extern const char *said_position, *said_replay, *said_fly, *said_read_only;

/* The suites' .init. */
void set_up(void);

struct weir_str str(const char *text);
struct rw_split *make(struct weir_config config);
struct rw_split *make_of(const char *consistency);

/* A probe says: all three have come there by now. */
void hear(struct rw_split *self, uint64_t primary, uint64_t first, uint64_t second);

struct weir_request request_of(const char *method, const char *token);
struct weir_choice choose(struct rw_split *self, struct weir_request *request);
struct weir_answer answer_of(unsigned server, int status);
struct weir_verdict answered(struct rw_split *self, struct weir_request *request, struct weir_answer answer);

/* The token of a write that landed there; NULL: the app does not say. */
void write_at(struct rw_split *self, const char *position, char token[600]);

bool is_primarys(struct weir_choice choice);
/* Every time that one. */
bool picks(struct rw_split *self, const char *token, unsigned server);

#endif
