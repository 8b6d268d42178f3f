/* SPDX-License-Identifier: Apache-2.0 */
/* What an incident does next, from its record, the settings and what was run before. */
#include "base/str.h"
#include "support.h"
#include <stdio.h>
#include <string.h>

static const char yaml[] =
    "automation: act\n"
    "checks: [{name: up, tcp: \"127.0.0.1:1\"}]\n"
    "incidents:\n"
    "  services:\n"
    "    web:\n"
    "      check: up\n"
    "      max_attempts: 3\n"
    "      sources: {load: {command: [uptime]}}\n"
    "      rules:\n"
    "        - {name: two, when: \"true\", cause: c, actions: [soft, hard]}\n"
    "        - {name: none, when: \"true\", cause: c}\n"
    "        - {name: shy, when: \"true\", cause: c, actions: [careful]}\n"
    "        - {name: one, when: \"true\", cause: c, actions: [hard]}\n"
    "      actions:\n"
    "        soft: {run: [soft], max_runs: 2, per: 1h}\n"
    "        hard: {run: [hard], max_runs: 1, per: 10m}\n"
    "        careful: {run: [careful], automation: observe}\n";

static const int64_t now = 1000 * HARDY_HOUR;
static struct settings settings;

static struct incident_next decide(const struct incident *i, const struct past *past) {
    const struct past nothing = {.fence = -1};
    const struct incident_around around = {.wall = now, .past = past ? past : &nothing};
    return incident_decide(i, &settings.incidents, service_of(&settings, "web"), &around);
}

static char two[] = "two", none[] = "none", shy[] = "shy", hard[] = "hard", soft[] = "soft",
            removed[] = "removed", both[] = "soft hard", careful[] = "careful";

static void every_state_has_its_step(void **state) {
    (void)state;
    static const struct {
        struct incident i;
        enum incident_next_kind kind;
        const char *action, *why;
        uint32_t round;
    } rows[] = {
        {{.state = INCIDENT_RECEIVED}, INCIDENT_GATHER, NULL, "", 0},
        {{.state = INCIDENT_RECEIVED, .round = 2, .last = LAST_REMEDY_FAILED},
         INCIDENT_GATHER,
         NULL,
         "",
         0},
        {{.state = INCIDENT_RECEIVED, .round = 3, .last = LAST_NOT_VERIFIED},
         INCIDENT_GATHER,
         NULL,
         "",
         0},
        {{.state = INCIDENT_RECEIVED, .flaps = true},
         INCIDENT_ESCALATE,
         NULL,
         "while it flaps, a repair would only add to it",
         0},
        {{.state = INCIDENT_GATHERED}, INCIDENT_ANALYSE, NULL, "", 0},
        {{.state = INCIDENT_ANALYSED}, INCIDENT_ESCALATE, NULL, "no rule explains it", 0},
        {{.state = INCIDENT_ANALYSED, .plan = removed},
         INCIDENT_ESCALATE,
         NULL,
         "its remedies are not configured any more",
         0},
        {{.state = INCIDENT_ANALYSED, .rule = none},
         INCIDENT_ESCALATE,
         NULL,
         "its rule names no remedy",
         0},
        {{.state = INCIDENT_ANALYSED, .rule = two, .plan = both}, INCIDENT_ACT, "soft", "", 1},
        {{.state = INCIDENT_ANALYSED,
          .rule = two,
          .plan = both,
          .round = 1,
          .last = LAST_REMEDY_FAILED},
         INCIDENT_ACT,
         "hard",
         "",
         2},
        {{.state = INCIDENT_ANALYSED,
          .rule = two,
          .plan = both,
          .round = 2,
          .last = LAST_NOT_VERIFIED},
         INCIDENT_ACT,
         "soft",
         "",
         3},
        {{.state = INCIDENT_ANALYSED,
          .rule = two,
          .plan = both,
          .round = 3,
          .last = LAST_NOT_VERIFIED},
         INCIDENT_ESCALATE,
         NULL,
         "3 attempts did not help",
         0},
        {{.state = INCIDENT_ANALYSED, .rule = shy, .plan = careful},
         INCIDENT_ESCALATE,
         "careful",
         "automation is observe; would have run careful",
         0},
        {{.state = INCIDENT_ACTING, .action = hard, .round = 2}, INCIDENT_ACT, "hard", "", 2},
        {{.state = INCIDENT_ACTING, .action = removed, .round = 1},
         INCIDENT_ESCALATE,
         NULL,
         "removed was under way and is not configured any more; nobody knows how it ended",
         0},
        {{.state = INCIDENT_IN_DOUBT, .action = soft, .round = 1}, INCIDENT_ACT, "soft", "", 1},
        {{.state = INCIDENT_IN_DOUBT, .action = removed, .round = 1},
         INCIDENT_ESCALATE,
         NULL,
         "removed was under way and is not configured any more; nobody knows how it ended",
         0},
        {{.state = INCIDENT_ACTED, .action = soft, .round = 1, .last = LAST_REMEDY_DONE},
         INCIDENT_VERIFY,
         NULL,
         "",
         0},
        {{.state = INCIDENT_RESOLVED}, INCIDENT_FINISH, NULL, "", 0},
        {{.state = INCIDENT_ESCALATED}, INCIDENT_FINISH, NULL, "", 0},
    };
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        struct incident_next next = decide(&rows[n].i, NULL);
        if (next.kind != rows[n].kind || !str_eq(next.action, rows[n].action) ||
            strcmp(next.why, rows[n].why) != 0 || next.round != rows[n].round)
            fail_msg("row %zu: kind %d, action %s, round %u, %s", n, (int)next.kind,
                     next.action ? next.action : "-", next.round, next.why);
    }
}

/* Three levels: the file, the service, the action; the nearest that says something counts. */
static void automation_is_asked_at_three_levels(void **state) {
    (void)state;
    static const char *const words[] = {"", "observe", "ask", "act"};
    static const enum incident_next_kind kinds[] = {INCIDENT_ESCALATE, INCIDENT_ESCALATE,
                                                    INCIDENT_ASK, INCIDENT_ACT};
    for (int file = 0; file < 4; file++)
        for (int service = 0; service < 4; service++)
            for (int action = 0; action < 4; action++) {
                char text[600];
                struct settings s;
                int said = action ? action : service ? service : file;
                snprintf(text, sizeof text,
                         "%s%s\nchecks: [{name: up, tcp: \"127.0.0.1:1\"}]\n"
                         "incidents: {services: {web: {check: up%s%s, rules: [{name: r, when: "
                         "\"true\", cause: c, actions: [a]}], actions: {a: {run: [x]%s%s}}}}}\n",
                         file ? "automation: " : "", words[file], service ? ", automation: " : "",
                         words[service], action ? ", automation: " : "", words[action]);
                settings_read(&s, text);
                struct incident i = {.state = INCIDENT_ANALYSED, .plan = (char[]){"a"}};
                struct past past = {.fence = -1};
                struct incident_next next =
                    incident_decide(&i, &s.incidents, service_of(&s, "web"),
                                    &(struct incident_around){.wall = now, .past = &past});
                /* Nothing said anywhere is observe. */
                assert_int_equal(next.kind, kinds[said]);
                settings_free(&s);
            }
}

static void what_ran_too_often_is_passed_over(void **state) {
    (void)state;
    struct incident i = {.state = INCIDENT_ANALYSED, .rule = two, .plan = both};
    struct past past = {.fence = -1};
    assert_true(past_add_run(&past, "soft", now - 59 * HARDY_MINUTE, 0));
    assert_string_equal(decide(&i, &past).action, "soft");
    assert_true(past_add_run(&past, "soft", now - 1, 0));
    assert_string_equal(decide(&i, &past).action, "hard"); /* soft has its two within the hour */
    assert_true(past_add_run(&past, "hard", now - 9 * HARDY_MINUTE, 0));
    struct incident_next next = decide(&i, &past);
    assert_int_equal(next.kind, INCIDENT_ESCALATE);
    assert_string_equal(next.why, "soft has run 2 times within 1h, as often as it may");
    i.plan = hard;
    assert_string_equal(decide(&i, &past).why,
                        "hard has run 1 time within 10m, as often as it may");
    past_free(&past);
    /* A run just outside the time does not count. */
    assert_true(past_add_run(&past, "hard", now - 10 * HARDY_MINUTE, 0));
    assert_int_equal(decide(&i, &past).kind, INCIDENT_ACT);
    past_free(&past);
}

static int setup(void **state) {
    (void)state;
    settings_read(&settings, yaml);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    settings_free(&settings);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_has_its_step),
        cmocka_unit_test(automation_is_asked_at_three_levels),
        cmocka_unit_test(what_ran_too_often_is_passed_over),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
