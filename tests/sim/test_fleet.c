/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in scenarios, and what guards with and without their parts make of them. */
#include "../cmocka_all.h"

#include "random_scenarios.h"
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

static void load(const char *name, const char *changes[][2], struct scenario *s) {
    assert_int_equal(scenario_load(name, s, NULL), HARDY_OK);
    for (size_t i = 0; changes && changes[i][0]; i++) {
        assert_int_equal(
            schema_set(&scenario_section, changes[i][0], changes[i][1], "test", true, s, NULL),
            HARDY_OK);
    }
}

static struct measures run_yaml(const char *name, const char *yaml, const char *changes[][2]) {
    struct scenario s;
    struct yaml_file *file;
    struct guard_settings guard;
    load(name, changes, &s);
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

/* As metastable, for less of a machine's time. */
static const char *a_fifth[][2] = {
    {"clients.count", "20"}, {"server.capacity", "20/s"}, {"duration", "20m"}, {NULL, NULL}};
#define BARE "deadline: 2m\ntimeout: 10s\nretry: {max_retries: 3, max_delay: 5s, repeatable: true"

static void metastable_needs_a_budget(void **state) {
    (void)state;
    struct measures bare = run_yaml("metastable", BARE ", budget: off}\nbreaker: off\n", a_fifth);
    assert_true(bare.recovered_after_s < 0);
    assert_true(bare.goodput_last_minute < 0.05);
    assert_true(bare.calls_per_operation > 3);
    assert_true(bare.for_nobody > 0.7); /* the server works, but nobody waits for it */
    struct measures both = run_yaml("metastable", BARE "}\n", a_fifth);
    assert_true(both.recovered_after_s >= 0 && both.recovered_after_s < 300);
    assert_true(both.goodput_last_minute > 0.9);
    assert_true(both.calls_per_operation < 1.5);
    assert_true(both.for_nobody < 0.2);
}

/* What the same scenario is with each change that was found. */
struct helped {
    struct measures now;
    struct remedies remedies;
};

static void look_for_help(const char *name, const char *yaml, const char *changes[][2],
                          struct helped *out) {
    struct scenario s;
    struct yaml_file *file;
    struct guard_settings guard;
    load(name, changes, &s);
    read_guard(yaml, &file, &guard);
    out->now = run(&s, &guard, false);
    assert_true(remedy_needed(&out->now));
    assert_int_equal(
        remedies_find(current(&s, &guard, false), &out->now, result.events, &out->remedies, NULL),
        HARDY_OK);
    assert_true(out->remedies.tried >= out->remedies.count);
    guard_settings_free(&guard);
    yaml_close(file);
    scenario_free(&s);
}

/* The change whose setting begins so; fails when it was not found. */
static const struct measures *with(const struct helped *h, const char *setting) {
    for (size_t i = 0; i < h->remedies.count; i++) {
        if (strncmp(h->remedies.found[i].setting, setting, strlen(setting)) == 0) {
            return &h->remedies.found[i].then;
        }
    }
    fail_msg("`%s` was not found", setting);
    return NULL;
}

static void what_would_help_is_found(void **state) {
    (void)state;
    static struct helped h;
    look_for_help("metastable", BARE ", budget: off}\nbreaker: off\n", a_fifth, &h);
    for (size_t i = 0; i < h.remedies.count; i++) {
        assert_true(remedy_recovers(&h.now, &h.remedies.found[i].then) ||
                    remedy_flattens(&h.now, &h.remedies.found[i].then) ||
                    remedy_serves(&h.now, &h.remedies.found[i].then));
    }
    assert_true(remedy_recovers(&h.now, with(&h, "breaker: {}")));
    assert_true(h.remedies.count > 1);
}

/* Agents that would rather wait than fail. */
static void patience_outlasts_the_night(void **state) {
    (void)state;
    static struct helped h;
    look_for_help("3am", "deadline: 2m\nretry: {max_retries: 3}\n", NULL, &h);
    assert_true(h.now.not_good > 400);
    assert_int_equal(with(&h, "deadline: 9m, retry.max_retries: ")->not_good, 0);
    assert_string_equal(h.remedies.found[0].setting,
                        "deadline: 9m, retry.max_retries: 23, breaker.when_open: wait");
}

#define GUARD                                                                                      \
    "deadline: 5m\nretry: {max_retries: 3}\nbreaker: {when_open: wait, counts: attempt, "          \
    "recovery_timeout: 10s, close_ramp: %s}\n"

/* All wait for one breaker: when it closes, all would go at once. */
static void herd_needs_a_paced_close(void **state) {
    (void)state;
    static const char *changes[][2] = {
        {"clients.count", "300"}, {"server.capacity", "30/s"}, {NULL, NULL}};
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

/* A ramp doubles each second and knows no capacity. What does is found: with four fifths of it as
 * the guard's rate nobody comes back faster than that, and the breaker does not open again. */
static void herd_is_held_by_a_rate(void **state) {
    (void)state;
    static const char *changes[][2] = {
        {"clients.count", "300"}, {"server.capacity", "30/s"}, {NULL, NULL}};
    static struct helped h;
    char yaml[256];
    snprintf(yaml, sizeof yaml, GUARD, "10s");
    look_for_help("herd", yaml, changes, &h);
    assert_true(h.now.peak_1s > 1.2);
    assert_true(with(&h, "rate: {requests: 24/s, burst: 2}")->peak_1s <= 0.85);
    assert_true(with(&h, "rate: ")->recovered_after_s <= 10);
    assert_true(with(&h, "breaker: {close_rate: 24/s, close_ramp: 19s}")->peak_1s <= 1);
}

/* --- events --------------------------------------------------------------------------------- */

#define PLANNED 300
static struct planned {
    struct event event;
    int64_t at;
    uint64_t number; /* in the order they were set */
    bool set;
} planned[PLANNED];
static struct prng chance;
static uint64_t numbered, happened;

static void plan(struct world *w, struct planned *p) {
    static const int64_t spans[] = {1, HARDY_MILLISECOND, HARDY_SECOND, HARDY_MINUTE, HARDY_HOUR};
    p->at = w->now + prng_range(prng_next(&chance), 0, spans[prng_below(&chance, 5)]);
    p->at -= prng_below(&chance, 2) && p->at - w->now > HARDY_SECOND ? p->at % HARDY_SECOND : 0;
    p->number = numbered++;
    p->set = true;
    world_set(w, &p->event, p->at);
}

static void on_planned(struct world *w, struct event *e) {
    struct planned *p = (struct planned *)(void *)e;
    assert_true(p->set && w->now == p->at && !event_is_set(e));
    for (size_t i = 0; i < PLANNED; i++) {
        const struct planned *other = &planned[i];
        assert_true(!other->set || other->at > p->at ||
                    (other->at == p->at && other->number >= p->number));
    }
    p->set = false;
    struct planned *cleared = &planned[prng_below(&chance, PLANNED)];
    world_clear(w, &cleared->event);
    cleared->set = false;
    if (++happened < 20000) {
        plan(w, p);
        if (cleared != p && prng_below(&chance, 16)) {
            plan(w, cleared);
        }
    }
}

/* The first of all that is set, and of equal times what was set first; none is lost. */
static void events_come_in_their_order(void **state) {
    (void)state;
    static struct world w;
    world_init(&w, 1);
    prng_seed(&chance, 3);
    for (size_t i = 0; i < PLANNED; i++) {
        planned[i].event.fn = on_planned;
        plan(&w, &planned[i]);
    }
    assert_int_equal(world_advance(&w, 1000 * HARDY_DAY, NULL), HARDY_OK);
    assert_true(happened > 1000 && w.handled == happened);
    for (size_t i = 0; i < PLANNED; i++) {
        assert_false(planned[i].set || event_is_set(&planned[i].event));
    }
    world_free(&w);
}

static void who_is_to_have_few_events_ends_with_them(void **state) {
    (void)state;
    struct scenario s;
    struct yaml_file *file;
    struct guard_settings guard;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(scenario_load("herd", &s, NULL), HARDY_OK);
    read_guard("deadline: 2m\n", &file, &guard);
    struct fleet_options few = *current(&s, &guard, false);
    few.events_max = 1000;
    assert_int_equal(fleet_run(&few, &result, &error), HARDY_E_TOO_LARGE);
    assert_int_equal(result.events, 1000);
    assert_non_null(strstr(error.message, "more than 1000 events"));
    fleet_result_free(&result);
    guard_settings_free(&guard);
    yaml_close(file);
    scenario_free(&s);
}

/* A service that fails for a part, and serves the rest. */
static void a_share_keeps_a_breaker_from_opening_for_few(void **state) {
    (void)state;
    static const char text[] =
        "duration: 8m\n"
        "clients: {count: 300, rate: 6/m}\n"
        "server: {capacity: 60/s}\n"
        "phases: [{fail: status, status: 503, share: 0.6, from: 2m, for: 3m}]\n";
    struct scenario s;
    struct yaml_file *file;
    struct guard_settings guard;
    static struct helped h;
    assert_int_equal(scenario_parse("test", text, strlen(text), &s, NULL), HARDY_OK);
    read_guard("deadline: 2m\nretry: {max_retries: 3, repeatable: true}\n", &file, &guard);
    h.now = run(&s, &guard, false);
    assert_true(h.now.opened > 0);
    assert_int_equal(
        remedies_find(current(&s, &guard, false), &h.now, result.events, &h.remedies, NULL),
        HARDY_OK);
    const struct measures *then = with(&h, "breaker.failure_rate: 0.5");
    assert_int_equal(then->opened, 0);
    assert_true(then->unserved < h.now.unserved / 2);
    guard_settings_free(&guard);
    yaml_close(file);
    scenario_free(&s);
}

/* --- files ---------------------------------------------------------------------------------- */

static void files_are_refused_with_their_place_or_run(void **state) {
    (void)state;
    struct yaml_file *file;
    struct guard_settings guard;
    char why[RANDOM_WHY];
    unsigned right = 0, all = 300;
    read_guard("deadline: 30s\ntimeout: 5s\nbreaker: {when_open: wait}\nbulkhead: 5\n", &file,
               &guard);
    for (uint64_t seed = 1; seed <= all; seed++) {
        bool accepted;
        if (!random_scenario(seed, &guard.config, &accepted, why)) {
            fail_msg("seed %llu: %s", (unsigned long long)seed, why);
        }
        right += accepted;
    }
    assert_in_range(right, all / 5, all * 4 / 5); /* enough of either */
    guard_settings_free(&guard);
    yaml_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_in_the_morning),
        cmocka_unit_test(every_scenario_is_recovered_from),
        cmocka_unit_test(metastable_needs_a_budget),
        cmocka_unit_test(what_would_help_is_found),
        cmocka_unit_test(patience_outlasts_the_night),
        cmocka_unit_test(herd_needs_a_paced_close),
        cmocka_unit_test(herd_is_held_by_a_rate),
        cmocka_unit_test(a_share_keeps_a_breaker_from_opening_for_few),
        cmocka_unit_test(who_is_to_have_few_events_ends_with_them),
        cmocka_unit_test(events_come_in_their_order),
        cmocka_unit_test(files_are_refused_with_their_place_or_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
