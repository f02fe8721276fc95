/* Parts of representations: 206 replies, stored, used and put together (RFC 9111 3.3, 3.4).
 *
 * Below a target's key there is one stored part for each selector, one run of bytes, under a selector of its
 * own. A range that lies in it is answered from it; what the app sends for another one is stored in its
 * place, together with it if they touch and have the same strong validator; and once it is all there it
 * becomes the stored 200. Owner and thread: the request's, the fetch's. */
#ifndef PIPELINE_PARTS_H
#define PIPELINE_PARTS_H

#include "http/caching.h"
#include "pipeline/fetch.h"

/* For a range that goes to the app otherwise: answers it from the stored part (req->answer says so), or
 * remembers that part in req->partial. */
void parts_find(struct request *req);

/* For the whole, which nobody knows: if its beginning is stored, the app need only be asked for the rest.
 * Then req->completes_part. */
void parts_find_beginning(struct request *req);

/* The app sent exactly what is missing. */
bool part_completes(const struct request *req, const struct message *reply);

/* The head of the whole, from the newer part's. False: it does not fit. */
bool part_whole_head(struct writer *w, struct str head);

/* The stored beginning, at the front of a growing whole. False: no memory. */
bool part_begin_whole(struct request *req, struct object *whole);

/* Range and If-Range for what is missing. */
void part_put_conditions(const struct request *req, struct writer *w);

/* Where a stored part lies in its whole. False: it is none, or says so badly. */
bool part_place(const struct object_meta *meta, struct content_range *out);

/* The app's 206 is one part that may be kept, for this request. */
bool part_is_usable(const struct message *reply, struct content_range *out);

/* A part was stored whole: puts it together with what was there. */
void part_ended(struct fetch *fetch);

#endif
