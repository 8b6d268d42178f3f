/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOTIFY_MESSAGE_H
#define NOTIFY_MESSAGE_H
/*
 * A notice as it is kept, and what becomes of it for each type of far side: pure functions from the
 * notice to a request, and from the answer to whether it was taken, may be sent again, or is
 * refused.
 */
#include "http/fetch.h"
#include "notify/notify.h"
#include <hardy/outcome.h>
#include <jansson.h>

/* A notice as JSON, which is what a webhook and a command get. */
void message_write(const struct notice *notice, int64_t wall, struct buf *out);

struct message {    /* read back; the texts are never NULL */
    const char *id; /* the same for each copy of it, and of nothing else; borrowed */
    const char *action, *dedup_key, *summary, *severity, *source, *timestamp;
    bool over;      /* it tells an end */
    double took;    /* seconds that the trouble lasted; 0 = not known */
    bool untold;    /* an end of what was not told before */
    json_t *notice; /* whole */
};
/* Of what cannot be read too: then it says so. False: no memory. */
bool message_read(const char *id, const char *text, size_t len, struct message *out);
void message_free(struct message *m);
/* "RESOLVED after 5m 12s", "CRITICAL": for a person, in front of the summary. */
void message_title(const struct message *m, char *out, size_t size);

/* How a notice is put to a far side that is spoken to by HTTP. */
struct channel {
    /* Whether all of it is in `headers` and `body`. */
    bool (*compose)(const struct notify_target *t, const struct message *m,
                    struct http_headers *headers, struct buf *body);
    /* What a whole answer means: SUCCESS, a failure to be tried again, or a permanent one. */
    hardy_outcome (*judge)(const struct http_fetched *f);
    /* The far side's own words out of its answer. */
    void (*words)(const struct http_fetched *f, struct buf *out);
};
const struct channel *channel_of(enum notify_type type);
extern const struct channel channel_webhook, channel_pagerduty, channel_slack;

/* What the types share. */
hardy_outcome channel_judge(const struct http_fetched *f);
void channel_words(const struct http_fetched *f, struct buf *out);
/* As much of `text` as fits into `max` bytes, whole characters, with an ellipsis where it was cut.
 */
void channel_cut(const char *text, size_t max, struct buf *out);
#endif
