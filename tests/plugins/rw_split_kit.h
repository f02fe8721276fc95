/* What the tests of rw_split share: instances, requests, tokens and choices. */
#ifndef RW_SPLIT_KIT_H
#define RW_SPLIT_KIT_H

#include "fake_host.h"

#define KEY_A  "0123456789abcdef-a"
#define KEY_B  "0123456789abcdef-b"
#define HOUR   (3600 * INT64_C(1000))
#define WINDOW 2000

/* The plugin at PLUGIN_PATH: kit_load() is the suites' .init. */
extern const struct weir_plugin *plugin;
void kit_load(void);

void *make(struct weir_config config);
void *make_default(void);
void *make_with_keys(const char *first, const char *second);

struct weir_request request_of(const char *method, const char *tenant);
struct weir_answer answer_of(int status, enum weir_role role);
struct weir_candidate candidate(enum weir_role role, bool is_usable, bool was_tried);

/* The token that a write gets; empty without one. */
void write_token(void *self, struct weir_request request, struct weir_answer answer, char out[512]);
/* The token of a write that succeeded. */
void token_of(void *self, const char *tenant, char out[512]);

/* Between a primary and a replica, both fine. */
struct weir_choice choose(void *self, struct weir_request request);
bool reads_from_primary(void *self, const char *tenant, const char *header, const char *cookie);

#endif
