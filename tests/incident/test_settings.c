/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of incidents: defaults, ranges, and mistakes with their place and the nearest name. */
#include "support.h"
#include <stdio.h>
#include <string.h>

#define CHECK "checks: [{name: up, tcp: \"127.0.0.1:1\"}]\n"
#define SERVICE "incidents:\n  services:\n    web:\n      check: up\n"

/* `marked`: the text, with a | in front of the place that is told. */
static void refuses(const char *marked, const char *message) {
    char yaml[1000], where[40];
    hardy_error error;
    int line = 1, column = 1;
    const char *mark = strchr(marked, '|');
    assert_non_null(mark);
    for (const char *p = marked; p < mark; p++) {
        line += *p == '\n';
        column = *p == '\n' ? 1 : column + 1;
    }
    snprintf(yaml, sizeof yaml, "%.*s%s", (int)(mark - marked), marked, mark + 1);
    snprintf(where, sizeof where, "t.yaml:%d:%d", line, column);
    hardy_status status = settings_try(yaml, &error);
    if (status != HARDY_E_SYNTAX || strcmp(error.where, where) != 0 ||
        !strstr(error.message, message))
        fail_msg("%d %s: %s\nexpected %s: %s", (int)status, error.where, error.message, where,
                 message);
}

static void accepts(const char *yaml) {
    struct settings s;
    settings_read(&s, yaml);
    settings_free(&s);
}

static void defaults_are_careful(void **state) {
    struct settings s;
    (void)state;
    settings_read(&s, CHECK SERVICE "      sources: {load: {command: [uptime]}}\n"
                                    "      rules: [{name: r, when: \"true\", cause: c}]\n"
                                    "      actions: {restart: {run: [x]}}\n");
    const struct service_settings *web = service_of(&s, "web");
    const struct source_settings *load = web->sources.items;
    const struct rule_settings *rule = web->rules.items;
    const struct action_settings *restart = incident_action(web, "restart");
    assert_int_equal(s.incidents.automation, AUTOMATION_OBSERVE);
    assert_int_equal(s.incidents.keep, 90 * HARDY_DAY);
    assert_int_equal(incident_automation(&s.incidents, web, restart), AUTOMATION_OBSERVE);
    assert_int_equal(restart->cooldown, 0);
    assert_int_equal(web->escalate_after, 0);
    assert_int_equal(web->ask_for, 30 * HARDY_MINUTE);
    assert_string_equal(incident_severity_text(web->severity), "high");
    assert_int_equal(web->gather_deadline, 20 * HARDY_SECOND);
    assert_int_equal(web->verify.passes, 3);
    assert_int_equal(web->verify.window, 2 * HARDY_MINUTE);
    assert_int_equal(web->max_attempts, 5);
    assert_int_equal(web->pause, 10 * HARDY_SECOND);
    assert_int_equal(web->escalate.count, 0);
    assert_int_equal(load->tail, 8 << 10);
    assert_int_equal(load->timeout, 5 * HARDY_SECOND);
    assert_false(load->critical);
    assert_true(load->weight == 1);
    assert_int_equal(load->cache, 0);
    assert_null(load->fixed);
    assert_true(rule->confidence == 0.5);
    assert_int_equal(rule->actions.count, 0);
    assert_int_equal(restart->in_doubt, IN_DOUBT_ASK);
    assert_int_equal(restart->timeout, HARDY_MINUTE);
    assert_int_equal(restart->max_runs, 10);
    assert_int_equal(restart->per, HARDY_HOUR);
    settings_free(&s);
}

static void names_that_stand_for_nothing_are_told_with_the_nearest(void **state) {
    (void)state;
    refuses(CHECK "incidents:\n  services:\n    web:\n      check: |ub\n",
            "service `web` names the check `ub`, which is not under checks: (did you mean `up`?)");
    refuses("incidents: {services: {web: {check: |up}}}\n", "which is not under checks:");
    refuses(
        CHECK "notify: {pager: {type: stderr}}\n" SERVICE "      escalate: |[pagr]\n",
        "service `web` escalates to `pagr`, which is not under notify: (did you mean `pager`?)");
    refuses(CHECK SERVICE
            "      actions: {restart: {run: [x]}}\n"
            "      rules: [{name: r, when: \"true\", cause: c, actions: |[restrat]}]\n",
            "rule `r` names the action `restrat`, which is not under actions: (did "
            "you mean `restart`?)");
    refuses(CHECK SERVICE "      sources: {load: {command: [uptime]}}\n"
                          "      rules: [{name: r, when: |evidence.laod.one, cause: c}]\n",
            "evidence.laod.one");
    refuses(CHECK SERVICE "      rules: [{name: r, when: |incident.servic, cause: c}]\n",
            "incident.servic");
    refuses(CHECK SERVICE "      rules: [{name: r, when: |\"steps.a.output\", cause: c}]\n",
            "steps.a.output");
    refuses(CHECK SERVICE "      |sorces: {}\n", "did you mean `sources`?");
    refuses(CHECK SERVICE "      verify: {|pases: 3}\n", "did you mean `passes`?");
    refuses(CHECK "incidents: {|servics: {}}\n", "did you mean `services`?");
}

static void sources_have_one_kind(void **state) {
    (void)state;
    refuses(CHECK SERVICE "      sources: {load: |{weight: 2}}\n",
            "source `load` has no kind; one of http, file, process, command is needed");
    refuses(CHECK SERVICE "      sources: {load: |{file: /x, command: [y]}}\n",
            "source `load` has several kinds");
    refuses(CHECK SERVICE "      sources: {load: {http: |\"ftp://x/\"}}\n", "source `load`");
    refuses(CHECK SERVICE "      sources: {load: {file: /x, static: |\"{\"}}\n",
            "source `load`: static: `{` is not JSON");
    accepts(CHECK SERVICE "      sources: {a: {file: /x, static: '{\"a\": 1}'}, b: {process: /p}, "
                          "c: {http: \"http://127.0.0.1:9/\"}, d: {command: \"uptime; date\"}}\n");
}

static void expressions_are_checked_before_they_are_needed(void **state) {
    (void)state;
    refuses(CHECK SERVICE "      rules: [{name: r, when: |\"true &&\", cause: c}]\n",
            "rule `r`: when: ");
    refuses(CHECK SERVICE "      rules: [{name: r, when: |\"(1\", cause: c}]\n",
            "rule `r`: when: ");
    refuses(CHECK SERVICE "      rules: [|{name: r, cause: c}]\n", "when");
    refuses(CHECK SERVICE "      rules: [|{name: r, when: \"true\"}]\n", "cause");
    accepts(CHECK SERVICE "      sources: {load: {command: [x]}}\n"
                          "      rules: [{name: r, when: \"${{ evidence.load.one > 4 && "
                          "incident.round < 2 }}\", cause: c}]\n");
}

static void values_have_ranges(void **state) {
    (void)state;
    static const char *const lines[] = {
        "      gather_deadline: |0s\n",
        "      max_attempts: |0\n",
        "      max_attempts: |1000\n",
        "      pause: |2h\n",
        "      severity: |loud\n",
        "      automation: |perhaps\n",
        "      verify: {passes: |0}\n",
        "      verify: {window: |2d}\n",
        "      sources: {a: {file: /x, weight: |0}}\n",
        "      sources: {a: {file: /x, tail: |2MiB}}\n",
        "      sources: {a: {file: /x, timeout: |6m}}\n",
        "      sources: {a: {file: /x, cache: |30d}}\n",
        "      rules: [{name: r, when: \"true\", cause: c, confidence: |2}]\n",
        "      actions: {a: {run: [x], max_runs: |0}}\n",
        "      actions: {a: {run: [x], per: |0s}}\n",
        "      actions: {a: {run: [x], timeout: |2d}}\n",
        "      actions: {a: {run: [x], in_doubt: |guess}}\n",
        "      actions: {a: |{probe: [x]}}\n",
        "      actions: {a: |{run: [x], in_doubt: probe}}\n",
    };
    for (size_t n = 0; n < sizeof lines / sizeof *lines; n++) {
        char yaml[400];
        snprintf(yaml, sizeof yaml, "%s%s%s", CHECK, SERVICE, lines[n]);
        refuses(yaml, "");
    }
    refuses(CHECK SERVICE "  keep: |1m\n", "keep");
    refuses("automation: |maybe\n", "maybe");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_careful),
        cmocka_unit_test(names_that_stand_for_nothing_are_told_with_the_nearest),
        cmocka_unit_test(sources_have_one_kind),
        cmocka_unit_test(expressions_are_checked_before_they_are_needed),
        cmocka_unit_test(values_have_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
