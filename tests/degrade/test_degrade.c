/* SPDX-License-Identifier: Apache-2.0 */
/* What was gathered, as JSON; the answers kept in the store; the settings. */
#include "../cmocka_all.h"
#include "base/str.h"
#include "degrade/answer.h"
#include "degrade/kept.h"
#include "degrade/settings.h"
#include "io/sim.h"
#include "store/store.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void the_answer_says_what_came(void **state) {
    (void)state;
    char fresh[] = "{\"a\":1}", cached[] = "[2]";
    hardy_component list[3] = {
        {.name = "metrics", .weight = 1, .state = HARDY_COMPONENT_FRESH, .data = fresh},
        {.name = "logs",
         .weight = 1,
         .state = HARDY_COMPONENT_CACHED,
         .data = cached,
         .age = 90 * HARDY_SECOND},
        {.name = "alerts",
         .weight = 1,
         .state = HARDY_COMPONENT_MISSING,
         .error = "connection refused"}};
    struct buf out;
    buf_init(&out, 1 << 20);
    gathered_to_json(list, 3, &out);
    json_t *answer = json_loads(out.data, 0, NULL);
    assert_non_null(answer);
    json_t *parts = json_object_get(answer, "components");
    assert_string_equal(json_string_value(json_object_get(answer, "degradation_level")),
                        "moderate");
    json_t *logs = json_object_get(parts, "logs");
    assert_true(json_is_true(json_object_get(logs, "cached")));
    assert_true(json_is_true(json_object_get(logs, "degraded")));
    assert_true(json_number_value(json_object_get(logs, "age")) == 90.0);
    json_t *alerts = json_object_get(parts, "alerts");
    assert_true(json_is_false(json_object_get(alerts, "success")));
    assert_string_equal(json_string_value(json_object_get(alerts, "error")), "connection refused");
    json_t *totals = json_object_get(answer, "metadata");
    assert_int_equal(json_integer_value(json_object_get(totals, "total_components")), 3);
    assert_int_equal(json_integer_value(json_object_get(totals, "successful_components")), 2);
    assert_int_equal(json_integer_value(json_object_get(totals, "cached_responses")), 1);
    json_t *degraded = json_object_get(totals, "degraded_components");
    assert_int_equal(json_array_size(degraded), 2);
    assert_string_equal(json_string_value(json_array_get(degraded, 1)), "alerts");
    json_decref(answer);
    buf_free(&out);
}

/* --- kept answers ----------------------------------------------------------------------------- */

static struct loop *loop;
static struct store *store;

static int64_t sim_wall(void *ctx) {
    return loop_wall(ctx);
}

static int begin(void **state) {
    struct sim_options options;
    const struct store_options stored = {.wall = sim_wall, .create = true};
    (void)state;
    sim_options_init(&options);
    loop = loop_sim_new(&options, NULL);
    struct store_options with_clock = stored;
    with_clock.wall_ctx = loop;
    return loop && store_open(&with_clock, &store, NULL) == HARDY_OK ? 0 : 1;
}

static int end(void **state) {
    (void)state;
    store_close(store);
    loop_free(loop);
    return 0;
}

static void on_passed(struct loop_timer *timer) {
    loop_stop(timer->ctx);
}

static void pass(int64_t span) {
    struct loop_timer timer;
    loop_timer_init(&timer, on_passed, loop);
    loop_timer_start(loop, &timer, loop_now(loop) + span);
    loop_run(loop);
}

static struct kept *open_kept(struct store *behind, size_t count) {
    struct kept *k;
    hardy_error error;
    assert_int_equal(kept_open(loop, behind, count, 1 << 20, &k, &error), HARDY_OK);
    return k;
}

static void remember(struct kept *k, const char *key, const char *data) {
    hardy_cache cache = kept_cache(k);
    cache.put(cache.ctx, key, data, strlen(data));
}

static void holds(hardy_cache cache, const char *key, const char *data, int64_t age) {
    size_t len = 0;
    int64_t told = -1;
    char *got = cache.get(cache.ctx, key, &len, &told);
    bool right = data ? got && strcmp(got, data) == 0 && told == age : !got;
    if (!right)
        fail_msg("%s: %s, %lld ns old; expected %s", key, got ? got : "-", (long long)told,
                 data ? data : "-");
    free(got);
}

static void answers_outlast_a_restart_with_their_age(void **state) {
    (void)state;
    struct kept *k = open_kept(store, 10);
    remember(k, "web/metrics", "{\"load\":4}");
    remember(k, "web/nothing", "null");
    kept_close(k);
    pass(HARDY_MINUTE);
    k = open_kept(store, 10);
    holds(kept_cache(k), "web/metrics", "{\"load\":4}", HARDY_MINUTE);
    assert_int_equal(kept_used(k).answers, 1); /* what nobody asks for stays where it is */
    holds(kept_cache(k), "web/nothing", "null", HARDY_MINUTE);
    struct kept_rows rows = {loop, store}; /* a program that gathers once finds the same */
    holds(kept_rows_cache(&rows), "web/metrics", "{\"load\":4}", HARDY_MINUTE);
    kept_close(k);
}

static void what_finds_no_room_goes_from_the_store_too(void **state) {
    (void)state;
    struct kept *k = open_kept(store, 2);
    remember(k, "a", "1");
    remember(k, "b", "2");
    remember(k, "c", "3");
    holds(kept_cache(k), "a", NULL, 0);
    kept_close(k);
    k = open_kept(store, 10);
    holds(kept_cache(k), "a", NULL, 0);
    holds(kept_cache(k), "c", "3", 0);
    kept_resize(k, 1, 1 << 20);
    remember(k, "d", "4");
    holds(kept_cache(k), "c", NULL, 0);
    kept_close(k);
}

static void a_busy_answer_is_written_once_in_a_second(void **state) {
    (void)state;
    struct kept *k = open_kept(store, 10);
    struct kept_rows rows = {loop, store};
    remember(k, "a", "1");
    pass(HARDY_SECOND / 2);
    remember(k, "a", "2");
    holds(kept_cache(k), "a", "2", 0);
    holds(kept_rows_cache(&rows), "a", "1", HARDY_SECOND / 2);
    pass(HARDY_SECOND / 2);
    remember(k, "a", "3");
    holds(kept_rows_cache(&rows), "a", "3", 0);
    kept_close(k);
}

static void answers_are_forgotten_by_prefix_wherever_they_are(void **state) {
    (void)state;
    size_t removed;
    struct kept_rows rows = {loop, store};
    hardy_cache elsewhere = kept_rows_cache(&rows);
    struct kept *k = open_kept(store, 10);
    remember(k, "web/a", "1");
    remember(k, "web/b", "2");
    remember(k, "webs/c", "3");
    elsewhere.put(elsewhere.ctx, "web/incident", "4", 1); /* another process keeps it */
    assert_int_equal(kept_remove(k, "web/", &removed, NULL), HARDY_OK);
    assert_int_equal(removed, 3);
    holds(kept_cache(k), "web/a", NULL, 0);
    holds(kept_cache(k), "web/incident", NULL, 0);
    holds(kept_cache(k), "webs/c", "3", 0);
    for (int n = 0; n < 600; n++) {
        char key[24];
        snprintf(key, sizeof key, "many/%d", n);
        elsewhere.put(elsewhere.ctx, key, "5", 1);
    }
    assert_int_equal(kept_remove(k, "many/", &removed, NULL), HARDY_OK);
    assert_int_equal(removed, 600);
    assert_int_equal(kept_remove(k, "", &removed, NULL), HARDY_OK);
    assert_int_equal(removed, 1);
    kept_close(k);
    k = open_kept(NULL, 10); /* without a store */
    remember(k, "a", "1");
    holds(kept_cache(k), "a", "1", 0);
    assert_int_equal(kept_remove(k, "a", &removed, NULL), HARDY_OK);
    assert_int_equal(removed, 1);
    kept_close(k);
}

/* --- settings --------------------------------------------------------------------------------- */

static hardy_status read_text(const char *yaml, struct degrade_settings *out, hardy_error *error) {
    struct config *config;
    hardy_error_init(error, sizeof *error);
    memset(out, 0, sizeof *out);
    hardy_status status = config_load_bytes("hardy.yaml", yaml, strlen(yaml), &config, error);
    if (status == HARDY_OK) {
        status = degrade_settings_read(config, out, error);
        config_free(config);
    }
    return status;
}

static void a_gathering_is_read_with_its_defaults(void **state) {
    (void)state;
    struct degrade_settings s;
    hardy_error error;
    if (read_text(
            "guards: {api: {}}\n"
            "degrade:\n"
            "  cache: {answers: 7, size: 3MiB}\n"
            "  gatherings:\n"
            "    web:\n"
            "      max_degradation: strict\n"
            "      components:\n"
            "        metrics: {http: 'http://127.0.0.1:1/', guard: api, cache_key: m,\n"
            "          alternates: [{file: /m, tail: 9}, {command: [m], guard: api}]}\n"
            "        logs: {process: /l, strategy: static_fallback, static: '[]', timeout: 1s}\n"
            "        exact: {file: /e, fresh_only: true, critical: true, weight: 3}\n"
            "        quick: {file: /q, refresh: 5s, cache: 2m, strategy: fail_fast}\n"
            "    bare: {deadline: 3s, max_degradation: permissive,\n"
            "      components: {a: {file: /a}}}\n",
            &s, &error) == HARDY_OK)
        fail_msg("fail_fast with a cache was taken");
    assert_non_null(strstr(error.message, "with fail_fast nothing stands in"));
    degrade_settings_free(&s);
    assert_int_equal(
        read_text(
            "guards: {api: {}}\n"
            "degrade:\n"
            "  cache: {answers: 7, size: 3MiB}\n"
            "  gatherings:\n"
            "    web:\n"
            "      max_degradation: strict\n"
            "      levels: {slight: {refresh: 5m, mode: read}, failed: {mode: off, eta: 1h}}\n"
            "      components:\n"
            "        metrics: {http: 'http://127.0.0.1:1/', guard: api, cache_key: m,\n"
            "          alternates: [{file: /m, tail: 9}, {command: [m], guard: api}]}\n"
            "        logs: {process: /l, strategy: static_fallback, static: '[]', timeout: 1s}\n"
            "        exact: {file: /e, fresh_only: true, critical: true, weight: 3}\n"
            "        quick: {file: /q, refresh: 5s, cache: 2m}\n"
            "    bare: {deadline: 3s, max_degradation: permissive,\n"
            "      components: {a: {file: /a}}}\n",
            &s, &error),
        HARDY_OK);
    const struct gathering_settings *web = s.gatherings.items, *bare = web + 1;
    const struct source_settings *c = web->components.items;
    assert_int_equal(s.cache.answers, 7);
    assert_int_equal(s.cache.size, 3 << 20);
    assert_int_equal(web->deadline, 10 * HARDY_SECOND);
    assert_int_equal(gathering_worst(web), HARDY_LEVEL_SLIGHT);
    assert_int_equal(gathering_worst(bare), HARDY_LEVEL_MINIMAL);
    assert_int_equal(bare->deadline, 3 * HARDY_SECOND);
    assert_string_equal(web->switches[HARDY_LEVEL_FULL], "{}");
    assert_string_equal(web->switches[HARDY_LEVEL_MINIMAL],
                        "{\"refresh\":\"5m\",\"mode\":\"read\"}");
    assert_string_equal(web->switches[HARDY_LEVEL_FAILED],
                        "{\"refresh\":\"5m\",\"mode\":\"off\",\"eta\":\"1h\"}");
    assert_int_equal(c[0].cache, HARDY_HOUR); /* cache_fallback, by itself */
    assert_int_equal(c[0].alternates.count, 2);
    assert_int_equal(((const struct source_settings *)c[0].alternates.items)[0].tail, 9);
    assert_int_equal(c[1].cache, 0);
    assert_int_equal(c[1].timeout, HARDY_SECOND);
    assert_int_equal(c[2].cache, 0);
    assert_true(c[2].critical && c[2].fresh_only && c[2].weight == 3);
    assert_int_equal(c[3].refresh, 5 * HARDY_SECOND);
    assert_int_equal(c[3].cache, 2 * HARDY_MINUTE);
    degrade_settings_free(&s);
}

static void what_is_wrong_is_named_with_its_place(void **state) {
    (void)state;
    static const struct {
        const char *component, *where, *why;
    } rows[] = {
        {"{}", "hardy.yaml:1:44", "no kind"},
        {"{file: /a, http: 'http://h/'}", "hardy.yaml:1:44", "several kinds"},
        {"{http: 'nowhere'}", "hardy.yaml:1:51", "source `a`"},
        {"{file: /a, static: text}", "hardy.yaml:1:63", "is not JSON"},
        {"{file: /a, strategy: static_fallback}", "hardy.yaml:1:44", "needs `static`"},
        {"{file: /a, strategy: alternate_source}", "hardy.yaml:1:44", "needs `alternates`"},
        {"{file: /a, strategy: partial_response, static: '1'}", "hardy.yaml:1:44",
         "with partial_response nothing stands in: leave out `static`"},
        {"{file: /a, fresh_only: true, cache: 1h}", "hardy.yaml:1:44",
         "with fresh_only nothing stands in: leave out `cache`"},
        {"{file: /a, fresh_only: true, refresh: 1s}", "hardy.yaml:1:44", "leave out `refresh`"},
        {"{file: /a, alternates: [{tail: 5}]}", "hardy.yaml:1:68",
         "source `alternate` has no kind"},
        {"{file: /a, guard: gone}", "hardy.yaml:1:62", "gone"},
        {"{file: /a, alternates: [{file: /b, guard: gone}]}", "hardy.yaml:1:86", "gone"},
        {"{file: /a, cache_key: ''}", "hardy.yaml:1:44", "cache_key has to have 1 to 200 bytes"},
    };
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        char yaml[400];
        struct degrade_settings s;
        hardy_error error;
        snprintf(yaml, sizeof yaml, "degrade: {gatherings: {x: {components: {a: %s}}}}\n",
                 rows[n].component);
        hardy_status status = read_text(yaml, &s, &error);
        if (status == HARDY_OK || !strstr(error.message, rows[n].why) ||
            !str_eq(error.where, rows[n].where))
            fail_msg("%s: %s: %s; expected %s: %s", rows[n].component, error.where, error.message,
                     rows[n].where, rows[n].why);
        degrade_settings_free(&s);
    }
    struct degrade_settings s;
    hardy_error error;
    assert_int_not_equal(read_text("degrade: {gatherings: {x: {components: {}}}}\n", &s, &error),
                         HARDY_OK);
    assert_non_null(strstr(error.message, "has no components"));
    degrade_settings_free(&s);
    assert_int_not_equal(read_text("degrade: {gatherings: {x: {levels: {slight: yes},\n"
                                   "  components: {a: {file: /a}}}}}\n",
                                   &s, &error),
                         HARDY_OK);
    assert_non_null(strstr(error.message, "a map of what is switched"));
    degrade_settings_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_says_what_came),
        cmocka_unit_test_setup_teardown(answers_outlast_a_restart_with_their_age, begin, end),
        cmocka_unit_test_setup_teardown(what_finds_no_room_goes_from_the_store_too, begin, end),
        cmocka_unit_test_setup_teardown(a_busy_answer_is_written_once_in_a_second, begin, end),
        cmocka_unit_test_setup_teardown(answers_are_forgotten_by_prefix_wherever_they_are, begin,
                                        end),
        cmocka_unit_test(a_gathering_is_read_with_its_defaults),
        cmocka_unit_test(what_is_wrong_is_named_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
