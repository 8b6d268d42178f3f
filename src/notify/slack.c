/* SPDX-License-Identifier: Apache-2.0 */
/* Slack, incoming webhook: https://api.slack.com/messaging/webhooks. An end is a message of its
 * own: a webhook cannot change what it has said. */
#include "base/json.h"
#include "base/str.h"
#include "notify/message.h"
#include <string.h>

enum { MAX_TEXT = 2000 /* of 3000 in a section; what is escaped becomes longer */ };

/* Nothing in it becomes a link, a mention or a broadcast. */
static void escape(const char *text, struct buf *out) {
    for (; *text; text++) {
        if (*text == '&')
            buf_puts(out, "&amp;");
        else if (*text == '<')
            buf_puts(out, "&lt;");
        else if (*text == '>')
            buf_puts(out, "&gt;");
        else
            buf_putc(out, *text);
    }
}

static void write_text(struct json_out *j, const char *type, const char *text) {
    json_out_object(j);
    json_out_member_string(j, "type", type);
    json_out_member_string(j, "text", text);
    json_out_object_end(j);
}

static void write_blocks(struct json_out *j, const struct notify_target *t, const struct message *m,
                         const char *title, const char *summary) {
    struct buf text;
    buf_init(&text, 16 * MAX_TEXT);
    json_out_key(j, "blocks");
    json_out_array(j);
    json_out_object(j);
    json_out_member_string(j, "type", "section");
    buf_printf(&text, "*%s*  %s", title, summary);
    json_out_key(j, "text");
    write_text(j, "mrkdwn", text.data);
    json_out_object_end(j);
    json_out_object(j);
    json_out_member_string(j, "type", "context");
    json_out_key(j, "elements");
    json_out_array(j);
    buf_reset(&text);
    escape(m->source, &text);
    buf_puts(&text, " | ");
    escape(m->dedup_key, &text);
    if (t->client_url)
        buf_printf(&text, " | <%s|hardy>", t->client_url);
    write_text(j, "mrkdwn", text.data);
    json_out_array_end(j);
    json_out_object_end(j);
    json_out_array_end(j);
    buf_free(&text);
}

static bool compose(const struct notify_target *t, const struct message *m,
                    struct http_headers *headers, struct buf *body) {
    struct buf cut, summary, text;
    struct json_out j;
    char title[100];
    (void)headers;
    buf_init(&cut, MAX_TEXT + 1);
    buf_init(&summary, 8 * MAX_TEXT);
    buf_init(&text, 8 * MAX_TEXT);
    message_title(m, title, sizeof title);
    channel_cut(m->summary, MAX_TEXT / 2, &cut);
    escape(cut.data ? cut.data : "", &summary);
    buf_printf(&text, "%s: %s", title, summary.data ? summary.data : "");
    json_out_init(&j, body, 0);
    json_out_object(&j);
    json_out_member_string(&j, "text", text.data); /* in notifications, where there are no blocks */
    write_blocks(&j, t, m, title, summary.data ? summary.data : "");
    json_out_object_end(&j);
    bool good = !body->failed && !text.failed && !summary.failed;
    buf_free(&text);
    buf_free(&summary);
    buf_free(&cut);
    return good;
}

/* Whoever has taken it says "ok"; some other page with a 200 is a proxy's. */
static hardy_outcome judge(const struct http_fetched *f) {
    if (f->status >= 200 && f->status < 300 && !str_eq(f->body, "ok"))
        return (hardy_outcome){.kind = HARDY_IGNORED, .permanent = true, .code = f->status};
    return channel_judge(f);
}

const struct channel channel_slack = {compose, judge, channel_words};
