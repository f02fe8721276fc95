/* Does a GraphQL request over HTTP only read? Pure, any thread; allocates for the call what the document
 * takes.
 *
 * It knows how a document, the name of its operation and the id of a stored document come in a POST's body,
 * and looks into documents by graphql.h. Servers differ in which of two contradictory things they go by:
 * whatever is there twice, in another case, or also in the URL is a write, like all that is not understood.
 */
#ifndef RW_SPLIT_GRAPHQL_REQUEST_H
#define RW_SPLIT_GRAPHQL_REQUEST_H

#include <weir/plugin.h>

#define GRAPHQL_BODY_MAX  (1024 * 1024)
#define GRAPHQL_BATCH_MAX 64

/* Of a POST without Content-Encoding. */
struct graphql_request {
    struct weir_str body;
    struct weir_str content_type;
    struct weir_str query_string; /* behind the target's ?; may be empty */
};

/* ids: of stored documents that only read. */
bool graphql_request_is_read(const struct graphql_request *request, const struct weir_str *ids,
                             unsigned count);

#endif
