/* SPDX-License-Identifier: Apache-2.0 */
/* A webhook gets the notice as it is, and says by its status whether it has taken it. */
#include "base/str.h"
#include "notify/message.h"
#include <stdlib.h>
#include <string.h>

static bool compose(const struct notify_target *t, const struct message *m,
                    struct http_headers *headers, struct buf *body) {
    char *text = json_dumps(m->notice, JSON_COMPACT);
    bool good = text && buf_puts(body, text);
    free(text);
    for (size_t i = 0; good && i < t->headers.count; i++) {
        const char *header = t->headers.items[i];
        size_t len = strcspn(header, ":"); /* looked at when the configuration was read */
        good = http_headers_addn(headers, header, len, header + len + 1,
                                 strlen(header + len + 1)) == HARDY_OK;
    }
    if (good && t->key) {
        char *credential = str_format("Bearer %s", t->key);
        good = credential && http_headers_add(headers, "Authorization", credential) == HARDY_OK;
        free(credential);
    }
    return good;
}

const struct channel channel_webhook = {compose, channel_judge, channel_words};
