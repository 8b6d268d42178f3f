/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_ASIDE_H
#define DAEMON_ASIDE_H
/* An answer that takes many rows of the store: made beside the loop, in a thread of its own. */
#include "base/json.h"
#include "daemon/body.h"
#include "daemon/inside.h"

#define ASIDE_LIST_DEFAULT 100
#define ASIDE_LIST_MOST 1000

struct aside {
    struct store_call call;
    struct store *store;
    struct moment now;
    char key[STORE_KEY_MAX + 1]; /* what is asked for; of a list, behind which one it begins; "" */
    const char *kind;            /* of rows */
    int64_t limit;               /* of a list */
    int verb;                    /* of a change: which */
    bool has_body;
    struct body body; /* of a change */

    /* In the thread: writes the answer, or sets `status` and `error`. Touches nothing of the
     * daemon's but the store. */
    void (*make)(struct aside *a);
    struct json_out j;
    struct buf text;
    hardy_status status;
    hardy_error error;
    struct loop_work work;
};
/* The rows of a list, each given to `put` with `a`; for a `make`. */
void aside_list(struct aside *a, const char *member,
                bool (*put)(void *aside, const struct store_row *row));
/* Answers GET PATH?n=&after=&kind=, `kinds` (NULL-terminated) being what may be asked for, the
 * first when nothing is. */
void aside_answer_list(struct daemon *d, struct http_request *r, const char *const *kinds,
                       void (*make)(struct aside *a));
/* For a change of the thing that `path`, of this length, names (NULL: the body does): NULL =
 * answered. Then its body is read, and it is begun with aside_start() or dropped with aside_free().
 */
struct aside *aside_change(struct daemon *d, struct http_request *r, const char *path, size_t len,
                           void (*make)(struct aside *a));
void aside_start(struct aside *a);
void aside_free(struct aside *a);
/* Answers GET PREFIX/ID. */
void aside_answer_one(struct daemon *d, struct http_request *r, const char *prefix,
                      void (*make)(struct aside *a));
#endif
