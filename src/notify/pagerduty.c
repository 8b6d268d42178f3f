/* SPDX-License-Identifier: Apache-2.0 */
/* PagerDuty, Events API v2: https://developer.pagerduty.com/docs/events-api-v2/overview/ */
#include "base/json.h"
#include "base/sha256.h"
#include "base/str.h"
#include "notify/message.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_SUMMARY = 1024, MAX_DEDUP_KEY = 255, MAX_BODY = 512000 };

static const char *severity(const char *ours) {
    return str_eq(ours, "critical") ? "critical"
           : str_eq(ours, "medium") ? "warning"
           : str_eq(ours, "low")    ? "info"
                                    : "error";
}

/* A key that is too long for them becomes its hash, which is as stable. */
static void write_dedup_key(struct json_out *j, const char *key) {
    char hash[65];
    if (strlen(key) > MAX_DEDUP_KEY) {
        sha256_hex(key, strlen(key), hash);
        key = hash;
    }
    json_out_member_string(j, "dedup_key", key);
}

static void write_payload(struct json_out *j, const struct message *m, const char *details) {
    struct buf summary;
    buf_init(&summary, MAX_SUMMARY + 1);
    channel_cut(m->summary, MAX_SUMMARY, &summary);
    json_out_key(j, "payload");
    json_out_object(j);
    json_out_member_string(j, "summary", summary.len ? summary.data : "(nothing was said)");
    json_out_member_string(j, "source", m->source);
    json_out_member_string(j, "severity", severity(m->severity));
    if (m->timestamp[0])
        json_out_member_string(j, "timestamp", m->timestamp);
    json_out_member_string(j, "component", m->source);
    if (details)
        json_out_member_raw(j, "custom_details", details);
    json_out_object_end(j);
    buf_free(&summary);
}

static void write_event(const struct notify_target *t, const struct message *m, const char *details,
                        struct buf *body) {
    struct json_out j;
    buf_reset(body);
    json_out_init(&j, body, 0);
    json_out_object(&j);
    json_out_member_string(&j, "routing_key", t->key);
    json_out_member_string(&j, "event_action", m->action);
    write_dedup_key(&j, m->dedup_key);
    write_payload(&j, m, details);
    json_out_member_string(&j, "client", "hardy");
    if (t->client_url)
        json_out_member_string(&j, "client_url", t->client_url);
    json_out_object_end(&j);
}

static bool compose(const struct notify_target *t, const struct message *m,
                    struct http_headers *headers, struct buf *body) {
    json_t *details = json_object_get(m->notice, "details");
    char *text = json_is_object(details) ? json_dumps(details, JSON_COMPACT) : NULL;
    (void)headers;
    write_event(t, m, text, body);
    if (text && body->len > MAX_BODY) /* the page counts, not what is known besides */
        write_event(t, m, NULL, body);
    free(text);
    return !body->failed;
}

/* {"status":"invalid event","message":"...","errors":["...", ...]} */
static void words(const struct http_fetched *f, struct buf *out) {
    json_t *answer = json_loadb(f->body, f->body_len, 0, NULL);
    const char *message = json_string_value(json_object_get(answer, "message"));
    const json_t *errors = json_object_get(answer, "errors");
    if (!message)
        channel_words(f, out);
    else
        buf_puts(out, message);
    for (size_t i = 0; message && i < json_array_size(errors); i++) {
        const char *one = json_string_value(json_array_get(errors, i));
        buf_printf(out, "%s%s", i ? ", " : ": ", one ? one : "?");
    }
    json_decref(answer);
}

const struct channel channel_pagerduty = {compose, channel_judge, words};
