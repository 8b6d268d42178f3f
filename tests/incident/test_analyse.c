/* SPDX-License-Identifier: Apache-2.0 */
/* Rules over evidence: what is missing is null, what is wrong in one rule does not stop the next,
 * and evidence is only ever looked at. */
#include "base/buf.h"
#include "support.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char frame[] = "checks: [{name: up, tcp: \"127.0.0.1:1\"}]\n"
                            "incidents:\n"
                            "  services:\n"
                            "    web:\n"
                            "      check: up\n"
                            "      sources:\n"
                            "        load: {command: [uptime]}\n"
                            "        log: {file: /dev/null}\n"
                            "        load.avg: {command: [uptime]}\n"
                            "        gone: {command: [uptime]}\n"
                            "      rules:\n"
                            "        - {name: first, when: '%s', cause: c}\n"
                            "        - {name: second, when: '%s', cause: c}\n"
                            "        - {name: last, when: 'true', cause: c}\n";

/* The name of the rule that holds, and what was noted. */
static char noted[600];
static char held[64];
static const char *analyse(const char *first, const char *second, const char *evidence) {
    char yaml[2000];
    struct settings s;
    struct buf problems;
    snprintf(yaml, sizeof yaml, frame, first, second);
    settings_read(&s, yaml);
    buf_init(&problems, sizeof noted - 1);
    char service[] = "web", severity[] = "high", summary[] = "web is down";
    char *copy = evidence ? strdup(evidence) : NULL;
    struct incident i = {
        .service = service, .severity = severity, .summary = summary, .round = 2, .evidence = copy};
    const struct rule_settings *rule = incident_analyse(&i, service_of(&s, "web"), &problems);
    snprintf(held, sizeof held, "%s", rule ? rule->name : "none");
    snprintf(noted, sizeof noted, "%s", problems.data ? problems.data : "");
    buf_free(&problems);
    free(copy);
    settings_free(&s);
    return held;
}

#define COMPONENTS(text) "{\"components\": {" text "}}"
#define LOAD(json) COMPONENTS("\"load\": {\"success\": true, \"data\": " json "}")

static void rules_look_into_what_came(void **state) {
    (void)state;
    assert_string_equal(analyse("evidence.load.one > 4", "true", LOAD("{\"one\": 5}")), "first");
    assert_string_equal(analyse("evidence.load.one > 4", "true", LOAD("{\"one\": 3}")), "second");
    assert_string_equal(analyse("evidence.load == 5", "true", LOAD("5")), "first");
    assert_string_equal(analyse("evidence.load[1].x", "true", LOAD("[0, {\"x\": true}]")), "first");
    assert_string_equal(
        analyse("incident.round == 2 && incident.severity == \"high\"", "true", LOAD("5")),
        "first");
    assert_string_equal(noted, "");
}

static void what_did_not_come_is_null(void **state) {
    (void)state;
    static const char *const nothing[] = {NULL,           "{}",
                                          COMPONENTS(""), LOAD("null"),
                                          LOAD("{}"),     LOAD("\"text\""),
                                          LOAD("[]"),     "not JSON at all"};
    for (size_t n = 0; n < sizeof nothing / sizeof *nothing; n++) {
        assert_string_equal(analyse("evidence.load.one.two == null", "true", nothing[n]), "first");
        assert_string_equal(analyse("evidence.load.one.two", "true", nothing[n]), "second");
        assert_string_equal(analyse("!evidence.gone.running", "true", nothing[n]), "first");
        assert_string_equal(noted, "");
    }
}

static void sources_whose_names_hold_dots_are_found(void **state) {
    (void)state;
    const char *both = COMPONENTS("\"load\": {\"data\": {\"avg\": {\"one\": 1}}}, "
                                  "\"load.avg\": {\"data\": {\"one\": 2}}");
    assert_string_equal(analyse("evidence.load.avg.one == 2", "true", both), "first");
}

static void an_error_in_one_rule_is_noted_and_the_next_is_asked(void **state) {
    (void)state;
    assert_string_equal(analyse("evidence.load.one > 4", "evidence.load.one == \"many\"",
                                LOAD("{\"one\": \"many\"}")),
                        "second");
    assert_non_null(strstr(noted, "rule first: "));
    assert_string_equal(
        analyse("evidence.load > 4", "evidence.load < 4", LOAD("{\"one\": \"many\"}")), "last");
    assert_non_null(strstr(noted, "rule first: "));
    assert_non_null(strstr(noted, "; rule second: "));
    /* Compared with what did not come: an error, not a silent false. */
    assert_string_equal(analyse("evidence.load.one > 4", "true", LOAD("{}")), "second");
    assert_non_null(strstr(noted, "rule first: "));
}

/* Whatever a log says stays a text: it is compared, never read as an expression. */
static void what_evidence_says_is_not_evaluated(void **state) {
    (void)state;
    static const char *const hostile[] = {
        "true",   "1 || true",     "${{ true }}",        "\" || true || \"",
        "' == '", "evidence.load", "true }} || ${{ true"};
    for (size_t n = 0; n < sizeof hostile / sizeof *hostile; n++) {
        json_t *text = json_string(hostile[n]);
        char *quoted = json_dumps(text, JSON_ENCODE_ANY);
        char evidence[300];
        snprintf(evidence, sizeof evidence, LOAD("%s"), quoted);
        /* A text against a boolean is an error that is noted; against another text it is unlike. */
        assert_string_equal(analyse("evidence.load == true", "evidence.load == \"fine\"", evidence),
                            "last");
        assert_non_null(strstr(noted, "rule first: "));
        free(quoted);
        json_decref(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_look_into_what_came),
        cmocka_unit_test(what_did_not_come_is_null),
        cmocka_unit_test(sources_whose_names_hold_dots_are_found),
        cmocka_unit_test(an_error_in_one_rule_is_noted_and_the_next_is_asked),
        cmocka_unit_test(what_evidence_says_is_not_evaluated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
