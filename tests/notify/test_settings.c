/* SPDX-License-Identifier: Apache-2.0 */
/* `notify:`: places by name; mistakes with their place. */
#include "../cmocka_all.h"
#include "notify/notify.h"
#include <string.h>

static hardy_status read_targets(const char *yaml, struct schema_list *list, hardy_error *error) {
    struct config *config = NULL;
    hardy_error_init(error, sizeof *error);
    assert_int_equal(config_load_bytes("t.yaml", yaml, strlen(yaml), &config, error), HARDY_OK);
    hardy_status status = notify_read(config, list, error);
    config_free(config);
    return status;
}

static void places_have_names_and_defaults(void **state) {
    struct schema_list list;
    hardy_error error;
    (void)state;
    assert_int_equal(
        read_targets("notify:\n  screen: {type: stderr}\n"
                     "  hook: {type: webhook, url: \"https://example.org/x\", timeout: 1s}\n",
                     &list, &error),
        HARDY_OK);
    assert_int_equal(list.count, 2);
    assert_int_equal(notify_find(&list, "screen")->type, NOTIFY_STDERR);
    assert_int_equal(notify_find(&list, "screen")->timeout, 5 * HARDY_SECOND);
    assert_int_equal(notify_find(&list, "hook")->timeout, HARDY_SECOND);
    assert_string_equal(notify_find(&list, "hook")->url, "https://example.org/x");
    assert_null(notify_find(&list, "pager"));
    notify_free(&list);
    assert_int_equal(read_targets("notify:\n  duty: {type: pagerduty, routing_key: k}\n"
                                  "  shell: {type: command, run: \"cat\"}\n",
                                  &list, &error),
                     HARDY_OK);
    assert_string_equal(notify_find(&list, "duty")->address.authority.host, "events.pagerduty.com");
    assert_true(notify_find(&list, "duty")->address.tls);
    assert_string_equal(notify_find(&list, "duty")->address.target, "/v2/enqueue");
    assert_true(notify_find(&list, "shell")->run.shell);
    notify_free(&list);
    assert_int_equal(read_targets("notify:\n", &list, &error), HARDY_OK);
    assert_int_equal(list.count, 0);
    notify_free(&list);
}

static void mistakes_are_told_with_their_place(void **state) {
    static const struct {
        const char *yaml, *where, *message;
    } rows[] = {
        {"notify: [a]\n", "t.yaml:1:9", "a map of names to places"},
        {"notify: {a: {}}\n", "t.yaml:1:13", "type is missing; stderr, webhook, pagerduty"},
        {"notify: {a: {type: email}}\n", "t.yaml:1:20", "email"},
        {"notify: {a: {type: webhook}}\n", "t.yaml:1:13", "a webhook needs its url or url_file"},
        {"notify: {a: {type: webhook, url: \"x\"}}\n", "t.yaml:1:34", "notify `a`"},
        {"notify: {a: {type: stderr, url: \"http://x/\"}}\n", "t.yaml:1:33",
         "type stderr has no url"},
        {"notify: {a: {type: stderr, timeot: 1s}}\n", "t.yaml:1:28", "did you mean `timeout`?"},
        {"notify: {a: {type: stderr, timeout: 1h}}\n", "t.yaml:1:37", "5m"},
        {"notify: {a: {type: slack}}\n", "t.yaml:1:13", "a slack needs its url or url_file"},
        {"notify: {a: {type: slack, url: \"http://x/\", url_file: f}}\n", "t.yaml:1:55",
         "url or url_file, not both"},
        {"notify: {a: {type: slack, url: \"http://x/\", routing_key: k}}\n", "t.yaml:1:58",
         "type slack has no routing_key"},
        {"notify: {a: {type: pagerduty}}\n", "t.yaml:1:13",
         "pagerduty needs its routing_key or routing_key_file"},
        {"notify: {a: {type: pagerduty, routing_key: k, routing_key_file: f}}\n", "t.yaml:1:13",
         "pagerduty needs its routing_key or routing_key_file"},
        {"notify: {a: {type: pagerduty, routing_key: k, url: \"ftp://x/\"}}\n", "t.yaml:1:52",
         "notify `a`"},
        {"notify: {a: {type: pagerduty, routing_key_file: none}}\n", "t.yaml:1:49", "none: "},
        {"notify: {a: {type: webhook, url: \"http://x/\", token_file: none}}\n", "t.yaml:1:59",
         "none: "},
        {"notify: {a: {type: webhook, url: \"http://x/\", headers: [\"A: b\", c]}}\n",
         "t.yaml:1:56", "header 2 is not `Name: value`"},
        {"notify: {a: {type: webhook, url: \"http://x/\", headers: [\"Host: b\"]}}\n",
         "t.yaml:1:56", "header 1 is not"},
        {"notify: {a: {type: command}}\n", "t.yaml:1:13", "a command needs run"},
        {"notify: {a: {type: command, run: [x], client_url: \"http://x/\"}}\n", "t.yaml:1:51",
         "type command has no client_url"},
        {"notify: {a b: {type: stderr}}\n", "t.yaml:1:10", "is not a name"},
    };
    (void)state;
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        struct schema_list list;
        hardy_error error;
        hardy_status status = read_targets(rows[n].yaml, &list, &error);
        if (status != HARDY_E_SYNTAX || strcmp(error.where, rows[n].where) != 0 ||
            !strstr(error.message, rows[n].message))
            fail_msg("%s: %d %s: %s; expected %s: %s", rows[n].yaml, (int)status, error.where,
                     error.message, rows[n].where, rows[n].message);
        notify_free(&list);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_have_names_and_defaults),
        cmocka_unit_test(mistakes_are_told_with_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
