/* SPDX-License-Identifier: Apache-2.0 */
/* What each far side is sent, and what its answer means: requests and answers as texts, no network.
 */
#include "../cmocka_all.h"
#include "base/buf.h"
#include "base/str.h"
#include "config/config.h"
#include "notify/message.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char yaml[] =
    "notify:\n"
    "  duty: {type: pagerduty, routing_key: r0123456789, client_url: \"https://hardy.example/\"}\n"
    "  bare: {type: pagerduty, routing_key: r0123456789}\n"
    "  room: {type: slack, url: \"http://127.0.0.1:1/services/T0/B0/xyz\", client_url: "
    "\"https://hardy.example/\"}\n"
    "  hook: {type: webhook, url: \"http://127.0.0.1:1/\", headers: [\"X-Team: on call\"]}\n";
static struct config *config;
static struct schema_list targets;
static struct http_headers headers;

static int setup(void **state) {
    hardy_error error;
    (void)state;
    assert_int_equal(config_load_bytes("t.yaml", yaml, sizeof yaml - 1, &config, &error), HARDY_OK);
    assert_int_equal(notify_read(config, &targets, &error), HARDY_OK);
    http_headers_init(&headers, 10, 1000);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_headers_free(&headers);
    notify_free(&targets);
    config_free(config);
    return 0;
}

#define WALL ((int64_t)1795338196203 * HARDY_MILLISECOND)
static const struct notice burns = {.action = "trigger",
                                    .dedup_key = "inc-1",
                                    .summary = "it burns",
                                    .severity = "high",
                                    .source = "web",
                                    .details = "{\"seen\":true}"};

/* What `name` is sent of it. */
static json_t *sent(const char *name, const struct notice *notice, size_t *len) {
    const struct notify_target *t = notify_find(&targets, name);
    struct message m;
    struct buf text, body;
    buf_init(&text, 4 << 20);
    buf_init(&body, 4 << 20);
    message_write(notice, WALL, &text);
    assert_true(message_read("id", text.data, text.len, &m));
    assert_true(channel_of((enum notify_type)t->type)->compose(t, &m, &headers, &body));
    json_t *o = json_loadb(body.data, body.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    if (len)
        *len = body.len;
    message_free(&m);
    buf_free(&body);
    buf_free(&text);
    return o;
}

static const char *at(json_t *o, const char *path) {
    char key[40];
    while (*path) {
        size_t len = strcspn(path, "/");
        snprintf(key, sizeof key, "%.*s", (int)len, path);
        o = json_is_array(o) ? json_array_get(o, (size_t)(key[0] - '0')) : json_object_get(o, key);
        path += len + (path[len] == '/');
    }
    return json_string_value(o) ? json_string_value(o) : "";
}

/* --- PagerDuty ---------------------------------------------------------------------------------
 */

static void pagerduty_gets_an_event(void **state) {
    json_t *o = sent("duty", &burns, NULL);
    (void)state;
    assert_string_equal(at(o, "routing_key"), "r0123456789");
    assert_string_equal(at(o, "event_action"), "trigger");
    assert_string_equal(at(o, "dedup_key"), "inc-1");
    assert_string_equal(at(o, "payload/summary"), "it burns");
    assert_string_equal(at(o, "payload/source"), "web");
    assert_string_equal(at(o, "payload/severity"), "error");
    assert_string_equal(at(o, "payload/timestamp"), "2026-11-22T09:03:16.203Z");
    assert_string_equal(at(o, "client"), "hardy");
    assert_string_equal(at(o, "client_url"), "https://hardy.example/");
    json_t *details = json_object_get(json_object_get(o, "payload"), "custom_details");
    assert_true(json_is_true(json_object_get(details, "seen")));
    json_decref(o);
}

static void severities_are_pagerdutys_own(void **state) {
    static const char *const rows[][2] = {{"critical", "critical"},
                                          {"high", "error"},
                                          {"medium", "warning"},
                                          {"low", "info"},
                                          {"loud", "error"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct notice notice = burns;
        notice.severity = rows[i][0];
        json_t *o = sent("bare", &notice, NULL);
        assert_string_equal(at(o, "payload/severity"), rows[i][1]);
        assert_null(json_object_get(o, "client_url"));
        json_decref(o);
    }
}

static void the_end_has_the_key_of_its_begin(void **state) {
    static const char *const actions[] = {"trigger", "acknowledge", "resolve"};
    char longer[400], first[256] = "";
    (void)state;
    memset(longer, 'k', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    for (size_t i = 0; i < 3; i++) {
        struct notice notice = burns;
        notice.action = actions[i];
        notice.dedup_key = longer;
        json_t *o = sent("duty", &notice, NULL);
        assert_string_equal(at(o, "event_action"), actions[i]);
        assert_true(strlen(at(o, "dedup_key")) <= 255);
        if (i > 0)
            assert_string_equal(at(o, "dedup_key"), first);
        str_copy(first, sizeof first, at(o, "dedup_key"));
        json_decref(o);
    }
    longer[398] = 'x'; /* another trouble, though its first 255 bytes are the same */
    struct notice notice = burns;
    notice.dedup_key = longer;
    json_t *o = sent("duty", &notice, NULL);
    assert_string_not_equal(at(o, "dedup_key"), first);
    json_decref(o);
}

static void what_is_too_long_for_pagerduty_is_cut(void **state) {
    char summary[1200], *details = malloc(520000);
    size_t len;
    (void)state;
    for (size_t at_end = 1014; at_end < 1026; at_end++) { /* at each byte of a character */
        memset(summary, 'a', sizeof summary);
        memcpy(summary + at_end, "\xf0\x9f\x94\xa5\xf0\x9f\x94\xa5", 9);
        summary[at_end + 8] = 'a';
        summary[1199] = '\0';
        struct notice notice = burns;
        notice.summary = summary;
        json_t *o = sent("duty", &notice, NULL);
        assert_in_range(strlen(at(o, "payload/summary")), 1020, 1024);
        assert_null(strstr(at(o, "payload/summary"), "\xef\xbf\xbd"));
        assert_true(str_ends(at(o, "payload/summary"), "\xe2\x80\xa6"));
        json_decref(o);
    }
    struct notice notice = burns;
    for (size_t size = 511000; size < 513000; size += 500) {
        int head = snprintf(details, 520000, "{\"log\":\"");
        memset(details + head, 'l', size);
        memcpy(details + (size_t)head + size, "\"}", 3);
        notice.details = details;
        json_t *o = sent("duty", &notice, &len);
        bool dropped = !json_object_get(json_object_get(o, "payload"), "custom_details");
        assert_true(len <= 512000);
        assert_true(dropped == (size > 511500)); /* the rest of it is less than 500 bytes */
        assert_string_equal(at(o, "payload/summary"), "it burns");
        json_decref(o);
    }
    free(details);
}

/* --- Slack -------------------------------------------------------------------------------------
 */

static void slack_gets_text_and_blocks(void **state) {
    json_t *o = sent("room", &burns, NULL);
    (void)state;
    assert_string_equal(at(o, "text"), "HIGH: it burns");
    assert_string_equal(at(o, "blocks/0/type"), "section");
    assert_string_equal(at(o, "blocks/0/text/type"), "mrkdwn");
    assert_string_equal(at(o, "blocks/0/text/text"), "*HIGH*  it burns");
    assert_string_equal(at(o, "blocks/1/type"), "context");
    assert_string_equal(at(o, "blocks/1/elements/0/text"),
                        "web | inc-1 | <https://hardy.example/|hardy>");
    json_decref(o);
}

static void slack_is_told_how_long_it_took(void **state) {
    struct notice notice = burns;
    (void)state;
    notice.action = "resolve";
    notice.began = WALL - 312 * HARDY_SECOND;
    json_t *o = sent("room", &notice, NULL);
    assert_string_equal(at(o, "text"), "RESOLVED after 5m 12s: it burns");
    json_decref(o);
    notice.began = 0;
    o = sent("room", &notice, NULL);
    assert_string_equal(at(o, "text"), "RESOLVED: it burns");
    json_decref(o);
    notice.action = "acknowledge";
    o = sent("room", &notice, NULL);
    assert_string_equal(at(o, "text"), "ACKNOWLEDGED: it burns");
    json_decref(o);
}

/* A line of a log must not call a whole channel. */
static void slack_reads_no_commands_out_of_a_summary(void **state) {
    struct notice notice = burns;
    (void)state;
    notice.summary = "<!channel> a & b <https://evil.example|here>";
    json_t *o = sent("room", &notice, NULL);
    assert_string_equal(at(o, "text"),
                        "HIGH: &lt;!channel&gt; a &amp; b &lt;https://evil.example|here&gt;");
    assert_null(strchr(at(o, "blocks/0/text/text"), '<'));
    json_decref(o);
    char summary[5000];
    memset(summary, '<', sizeof summary - 1);
    summary[sizeof summary - 1] = '\0';
    notice.summary = summary;
    o = sent("room", &notice, NULL);
    assert_true(strlen(at(o, "blocks/0/text/text")) <= 5000);
    json_decref(o);
}

/* --- a webhook ---------------------------------------------------------------------------------
 */

static void a_webhook_gets_the_notice_and_its_headers(void **state) {
    struct notice notice = burns;
    (void)state;
    notice.action = "resolve";
    notice.began = WALL - 1500 * HARDY_MILLISECOND;
    json_t *o = sent("hook", &notice, NULL);
    assert_string_equal(at(o, "action"), "resolve");
    assert_string_equal(at(o, "severity"), "high");
    assert_true(json_real_value(json_object_get(o, "duration")) == 1.5);
    assert_string_equal(http_headers_get(&headers, "x-team"), "on call");
    json_decref(o);
}

/* --- answers -----------------------------------------------------------------------------------
 */

static void answers_say_whether_to_try_again(void **state) {
    enum { TAKEN, AGAIN, REFUSED };
    static const struct {
        const char *name;
        int status;
        const char *body;
        int means;
        const char *words;
    } rows[] = {
        {"duty", 202, "{\"status\":\"success\",\"message\":\"Event processed\"}", TAKEN,
         "Event processed"},
        {"duty", 400,
         "{\"status\":\"invalid event\",\"message\":\"Event object is invalid\",\"errors\":[\"no "
         "source\",\"no severity\"]}",
         REFUSED, "Event object is invalid: no source, no severity"},
        {"duty", 400, "<html>", REFUSED, "<html>"},
        {"duty", 403, "", REFUSED, ""},
        {"duty", 429, "", AGAIN, ""},
        {"duty", 500, "", AGAIN, ""},
        {"duty", 503, "", AGAIN, ""},
        {"room", 200, "ok", TAKEN, "ok"},
        {"room", 200, "<html>welcome to our proxy", REFUSED, "<html>welcome to our proxy"},
        {"room", 400, "invalid_payload", REFUSED, "invalid_payload"},
        {"room", 404, "no_service", REFUSED, "no_service"},
        {"room", 410, "channel_is_archived", REFUSED, "channel_is_archived"},
        {"room", 429, "rate_limited", AGAIN, "rate_limited"},
        {"room", 500, "rollup_error", AGAIN, "rollup_error"},
        {"hook", 204, "", TAKEN, ""},
        {"hook", 301, "", REFUSED, ""},
        {"hook", 408, "", AGAIN, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct notify_target *t = notify_find(&targets, rows[i].name);
        const struct channel *channel = channel_of((enum notify_type)t->type);
        const struct http_fetched f = {.complete = true,
                                       .status = rows[i].status,
                                       .body = rows[i].body,
                                       .body_len = strlen(rows[i].body),
                                       .retry_after = 7 * HARDY_SECOND};
        struct buf words;
        buf_init(&words, 1000);
        hardy_outcome outcome = channel->judge(&f);
        channel->words(&f, &words);
        int means = outcome.kind == HARDY_SUCCESS                        ? TAKEN
                    : outcome.permanent || outcome.kind == HARDY_IGNORED ? REFUSED
                                                                         : AGAIN;
        if (means != rows[i].means || strcmp(words.data ? words.data : "", rows[i].words) != 0)
            fail_msg("%s %d %s: %d \"%s\"", rows[i].name, rows[i].status, rows[i].body, means,
                     words.data ? words.data : "");
        if (means == AGAIN)
            assert_true(outcome.retry_after == 7 * HARDY_SECOND);
        buf_free(&words);
    }
}

static void what_cannot_be_read_says_so(void **state) {
    struct message m;
    (void)state;
    assert_true(message_read("the/id", "{\"action\":", 10, &m));
    assert_string_equal(m.dedup_key, "the/id");
    assert_string_equal(m.summary, "(a notice that cannot be read)");
    assert_false(m.over);
    message_free(&m);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(pagerduty_gets_an_event),
        TEST(severities_are_pagerdutys_own),
        TEST(the_end_has_the_key_of_its_begin),
        TEST(what_is_too_long_for_pagerduty_is_cut),
        TEST(slack_gets_text_and_blocks),
        TEST(slack_is_told_how_long_it_took),
        TEST(slack_reads_no_commands_out_of_a_summary),
        TEST(a_webhook_gets_the_notice_and_its_headers),
        TEST(answers_say_whether_to_try_again),
        TEST(what_cannot_be_read_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
