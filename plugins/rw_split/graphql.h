/* Does a GraphQL document only read? Pure, any thread; allocates nothing.
 *
 * It knows the lexical grammar (October 2021 edition, section 2.1) and as much of the other as it takes to
 * walk from one definition to the next: a string or a comment that looks like a mutation is none, a selection
 * set ends with its bracket. It refuses to know schemas, and what a server makes of a document that breaks
 * the rules: whatever is not clear is a write. Taking a read for a write costs some time on the primary, the
 * other way round it costs a client its own writes. */
#ifndef RW_SPLIT_GRAPHQL_H
#define RW_SPLIT_GRAPHQL_H

#include <weir/plugin.h>

#define GRAPHQL_DOCUMENT_MAX    (256 * 1024) /* bytes; what is larger is a write, all of these */
#define GRAPHQL_DEPTH_MAX       64           /* brackets within each other */
#define GRAPHQL_DEFINITIONS_MAX 128          /* operations and fragments */

enum graphql_kind {
    GRAPHQL_READ,
    GRAPHQL_WRITE
};

/* By the operation of that name, if one is given (not empty): it must be a query. Else by all of them. */
enum graphql_kind graphql_kind_of(struct weir_str document, struct weir_str operation_name);

#endif
