/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in scenarios, and what guards with and without their parts make of them. */
#include "../cmocka_all.h"

#include "settings/guards.h"
#include "sim/remedy.h"
#include <stdio.h>
#include <string.h>

static const struct fleet_options *current(const struct scenario *s,
                                           const struct guard_settings *guard, bool repeatable) {
    static struct fleet_options options;
    options = (struct fleet_options){
        .scenario = s, .guard = &guard->config, .repeatable = repeatable, .seed = 42};
    return &options;
}

static struct fleet_result result;

static struct measures run(const struct scenario *s, const struct guard_settings *guard,
                           bool repeatable) {
    struct measures m;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (fleet_run(current(s, guard, repeatable), &result, &error) != HARDY_OK) {
        fail_msg("%s", error.message);
    }
    measure(s, &result, &m);
    fleet_result_free(&result);
    return m;
}

/* A guard from the YAML that stands under its name. */
static void read_guard(const char *yaml, struct yaml_file **file, struct guard_settings *out) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(yaml_parse("test", yaml, strlen(yaml), file, &error), HARDY_OK);
    struct guard_source source = {.base = GUARD_DEFAULTS, .name = "test", .node = (*file)->root};
    if (guard_settings_read(&source, out, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
}

static struct measures run_yaml(const char *name, const char *yaml, const char *changes[][2]) {
    struct scenario s;
    struct yaml_file *file;
    struct guard_settings guard;
    assert_int_equal(scenario_load(name, &s, NULL), HARDY_OK);
    for (size_t i = 0; changes && changes[i][0]; i++) {
        assert_int_equal(
            schema_set(&scenario_section, changes[i][0], changes[i][1], "test", true, &s, NULL),
            HARDY_OK);
    }
    read_guard(yaml, &file, &guard);
    struct measures m = run(&s, &guard, false);
    guard_settings_free(&guard);
    yaml_close(file);
    scenario_free(&s);
    return m;
}

static struct measures run_llm(const char *name) {
    struct scenario s;
    struct guard_settings guard;
    struct guard_source source = {.base = GUARD_LLM, .name = "llm"};
    assert_int_equal(scenario_load(name, &s, NULL), HARDY_OK);
    assert_int_equal(guard_settings_read(&source, &guard, NULL), HARDY_OK);
    struct measures m = run(&s, &guard, true);
    guard_settings_free(&guard);
    scenario_free(&s);
    return m;
}

/* Seven minutes of 429: it recovers by itself in seconds, nothing of it is left in the breaker, and
 * each operation has ended with an answer or with a word about why not. */
static void three_in_the_morning(void **state) {
    (void)state;
    struct measures m = run_llm("3am");
    assert_true(m.recovered_after_s >= 0 && m.recovered_after_s <= 10);
    assert_true(m.goodput_last_minute > 0.9);
    assert_int_equal(m.opened, 0);
    assert_true(m.good_before > 1);
    assert_true(m.good_during < 0.1 * m.good_before);
    assert_int_equal(m.operations, m.good + m.failed + m.refused);
    assert_true(m.longest_s <= 280);
    /* What was begun after it is answered as ever. */
    assert_int_equal(result.parts[FLEET_AFTER].failed + result.parts[FLEET_AFTER].refused, 0);
    assert_true(result.unfinished <= 40);
}

static void every_scenario_is_recovered_from(void **state) {
    (void)state;
    for (const struct scenario_builtin *b = scenario_builtins; b->name; b++) {
        struct measures m = run_llm(b->name);
        if (m.recovered_after_s < 0 || m.recovered_after_s > 60) {
            fail_msg("%s: recovered after %g s", b->name, m.recovered_after_s);
        }
    }
}

#define BARE "deadline: 2m\ntimeout: 10s\nretry: {max_retries: 3, max_delay: 5s, repeatable: true"

static void metastable_needs_a_budget(void **state) {
    (void)state;
    struct measures bare = run_yaml("metastable", BARE ", budget: off}\nbreaker: off\n", NULL);
    assert_true(bare.recovered_after_s < 0);
    assert_true(bare.goodput_last_minute < 0.05);
    assert_true(bare.calls_per_operation > 3);
    struct measures both = run_yaml("metastable", BARE "}\n", NULL);
    assert_true(both.recovered_after_s >= 0 && both.recovered_after_s < 300);
    assert_true(both.goodput_last_minute > 0.9);
    assert_true(both.calls_per_operation < 1.5);
}

static void what_would_help_is_found(void **state) {
    (void)state;
    struct scenario s;
    struct yaml_file *file;
    struct guard_settings guard;
    static struct remedies remedies;
    assert_int_equal(scenario_load("metastable", &s, NULL), HARDY_OK);
    s.duration = 20 * HARDY_MINUTE;
    read_guard(BARE ", budget: off}\nbreaker: off\n", &file, &guard);
    struct measures now = run(&s, &guard, false);
    assert_true(remedy_needed(&now));
    assert_int_equal(
        remedies_find(current(&s, &guard, false), &now, result.events, &remedies, NULL), HARDY_OK);
    bool breaker = false;
    for (size_t i = 0; i < remedies.count; i++) {
        breaker |= strcmp(remedies.found[i].setting, "breaker: {}") == 0;
        assert_true(remedy_recovers(&now, &remedies.found[i].then) ||
                    remedy_serves(&now, &remedies.found[i].then));
    }
    assert_true(breaker);
    assert_true(remedies.count > 1);
    assert_true(remedies.tried >= remedies.count);
    guard_settings_free(&guard);
    yaml_close(file);
    scenario_free(&s);
}

#define GUARD                                                                                      \
    "deadline: 5m\nretry: {max_retries: 3}\nbreaker: {when_open: wait, counts: attempt, "          \
    "recovery_timeout: 10s, close_ramp: %s}\n"

/* All wait for one breaker: when it closes, all would go at once. */
static void herd_needs_a_paced_close(void **state) {
    (void)state;
    static const char *changes[][2] = {
        {"clients.count", "1000"}, {"server.capacity", "100/s"}, {NULL, NULL}};
    char yaml[256];
    snprintf(yaml, sizeof yaml, GUARD, "0s");
    struct measures herd = run_yaml("herd", yaml, changes);
    snprintf(yaml, sizeof yaml, GUARD, "10s");
    struct measures paced = run_yaml("herd", yaml, changes);
    assert_true(herd.opened > 0 && paced.opened > 0);
    assert_true(herd.peak_1s > 5);
    assert_true(measures_peak(&herd));
    assert_true(paced.peak_1s < 0.5 * herd.peak_1s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_in_the_morning),
        cmocka_unit_test(every_scenario_is_recovered_from),
        cmocka_unit_test(metastable_needs_a_budget),
        cmocka_unit_test(what_would_help_is_found),
        cmocka_unit_test(herd_needs_a_paced_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
