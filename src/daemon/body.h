/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_BODY_H
#define DAEMON_BODY_H
/*
 * A request's body: a small JSON object of which one member may be large and is kept as it stands,
 * byte for byte (the result of an action, its parameters). Nothing is built of that one, so its
 * memory is its size.
 */
#include "http/server.h"
#include <jansson.h>

#define BODY_REST_MAX ((size_t)64 << 10) /* bytes of the others together */

struct body {
    json_t *rest; /* the object; in place of the large member null */
    char *large;  /* its JSON; NULL = not there */
};
/* `large` (may be NULL) names that member, `known` (NULL-terminated) all others. False: answered
 * with what is wrong. body_free() only after true. */
bool body_read(struct http_request *r, const char *large, const char *const *known,
               struct body *out);
void body_free(struct body *b);

/* Members; false: answered, it is of another kind than it should be. An absent one leaves *out as
 * it is. Texts are borrowed from the body. */
bool body_text(struct http_request *r, const struct body *b, const char *name, const char **out);
bool body_span(struct http_request *r, const struct body *b, const char *name, int64_t *out);
bool body_whole(struct http_request *r, const struct body *b, const char *name, int64_t *out);
bool body_flag(struct http_request *r, const struct body *b, const char *name, bool *out);
/* The index in `words` (NULL-terminated). */
bool body_word(struct http_request *r, const struct body *b, const char *name,
               const char *const *words, int *out);
#endif
