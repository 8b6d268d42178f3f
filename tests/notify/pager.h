/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NOTIFY_PAGER_H
#define TESTS_NOTIFY_PAGER_H
/* A pager in the simulated world: keeps what it was sent, and answers as it is told to. It is a
 * webhook at /page, PagerDuty at /v2/enqueue, Slack at /hook. */
#include "io/loop.h"
#include <jansson.h>

enum { PAGER_PORT = 8080, PAGER_KEPT = 64 };
struct http_request;
struct http_server;
struct pager {
    struct loop *loop;
    struct http_server *server;
    int answers[16]; /* statuses of the next requests; 0 = does not answer; then it takes them */
    size_t answer_count, asked;
    int always;              /* this status for all, when not 0 */
    const char *retry_after; /* of its 429 */
    const char *words;       /* when it does not take one */
    json_t *taken[PAGER_KEPT];
    char *keys[PAGER_KEPT]; /* their Idempotency-Key */
    size_t count;
    struct http_request *hanging[PAGER_KEPT];
    size_t hanging_count;
};
/* Opens it in the world outside of the program under test. */
void pager_open(struct pager *p, struct loop *loop);
void pager_close(struct pager *p); /* refuses connections from now on; what it has taken stays */
void pager_free(struct pager *p);
/* Of the page number `n`: "trigger", "summary"...; "" when there is none. */
const char *pager_text(const struct pager *p, size_t n, const char *key);
#endif
