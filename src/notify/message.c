/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/message.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include <ctype.h>
#include <hardy/outcome.h>
#include <stdio.h>
#include <string.h>

enum { MAX_DETAILS = 512 << 10, MAX_WORDS = 200 };

void message_write(const struct notice *notice, int64_t wall, struct buf *out) {
    struct json_out j;
    char at[40];
    clock_format_wall(wall, at);
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_member_string(&j, "action", notice->action);
    json_out_member_string(&j, "dedup_key", notice->dedup_key);
    json_out_member_string(&j, "summary", notice->summary);
    json_out_member_string(&j, "severity", notice->severity);
    json_out_member_string(&j, "source", notice->source);
    json_out_member_string(&j, "timestamp", at);
    if (str_eq(notice->action, "resolve") && notice->began > 0 && wall > notice->began) {
        json_out_key(&j, "duration");
        json_out_double(&j, (double)((wall - notice->began) / HARDY_MILLISECOND) / 1000);
    }
    json_out_key(&j, "details");
    if (notice->details && strlen(notice->details) <= MAX_DETAILS)
        json_out_raw(&j, notice->details);
    else
        json_out_null(&j);
    json_out_object_end(&j);
}

static const char *text_of(const json_t *notice, const char *key, const char *otherwise) {
    const char *text = json_string_value(json_object_get(notice, key));
    return text ? text : otherwise;
}

bool message_read(const char *id, const char *text, size_t len, struct message *out) {
    json_t *o = json_loadb(text, len, 0, NULL);
    if (!json_is_object(o)) {
        json_decref(o);
        o = json_object();
    }
    *out = (struct message){.id = id,
                            .notice = o,
                            .action = text_of(o, "action", "trigger"),
                            .dedup_key = text_of(o, "dedup_key", id),
                            .summary = text_of(o, "summary", "(a notice that cannot be read)"),
                            .severity = text_of(o, "severity", "high"),
                            .source = text_of(o, "source", "hardy"),
                            .timestamp = text_of(o, "timestamp", ""),
                            .took = json_number_value(json_object_get(o, "duration")),
                            .untold = json_is_true(json_object_get(o, "untold"))};
    out->over = str_eq(out->action, "resolve");
    (void)json_object_del(o, "refused"); /* for hardy's own eyes */
    return o != NULL;
}

void message_free(struct message *m) {
    json_decref(m->notice);
    *m = (struct message){0};
}

void message_title(const struct message *m, char *out, size_t size) {
    char span[48];
    if (str_eq(m->action, "acknowledge")) {
        str_copy(out, size, "ACKNOWLEDGED");
    } else if (m->over) {
        format_duration_short(time_scale(HARDY_SECOND, m->took), span);
        snprintf(out, size, "RESOLVED%s%s%s", m->took > 0 ? " after " : "", m->took > 0 ? span : "",
                 m->untold ? ", before it could be told" : "");
    } else {
        str_copy(out, size, m->severity);
        for (char *c = out; *c; c++)
            *c = (char)toupper((unsigned char)*c);
    }
}

const struct channel *channel_of(enum notify_type type) {
    return type == NOTIFY_PAGERDUTY ? &channel_pagerduty
           : type == NOTIFY_SLACK   ? &channel_slack
                                    : &channel_webhook;
}

hardy_outcome channel_judge(const struct http_fetched *f) {
    if (f->status >= 300 && f->status < 400) /* to a page of words, most often; not taken */
        return (hardy_outcome){.kind = HARDY_IGNORED, .permanent = true, .code = f->status};
    return hardy_outcome_of_http(f->status, f->retry_after);
}

void channel_words(const struct http_fetched *f, struct buf *out) {
    channel_cut(f->body + strspn(f->body, " \t\r\n"), MAX_WORDS, out);
}

void channel_cut(const char *text, size_t max, struct buf *out) {
    static const char ellipsis[] = "\xe2\x80\xa6";
    size_t len = strlen(text), kept = 0;
    if (len <= max) {
        buf_puts(out, text);
        return;
    }
    for (;;) {
        size_t step = str_utf8_length(text + kept, len - kept);
        step = step ? step : 1; /* what is no UTF-8 is mended by the writer of JSON */
        if (kept + step > max - (sizeof ellipsis - 1))
            break;
        kept += step;
    }
    buf_append(out, text, kept);
    buf_puts(out, ellipsis);
}
