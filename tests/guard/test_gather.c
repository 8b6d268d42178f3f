/* SPDX-License-Identifier: Apache-2.0 */
/* Gathering in threads, and the answers kept in memory. */
#include "../cmocka_all.h"
#include "base/atomic.h"
#include "base/str.h"
#include "guard/lru.h"
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define MS HARDY_MILLISECOND
enum { MAX = 8, DROPPED = 64 };

/* --- a gathering in the making ---------------------------------------------------------------- */

struct far {          /* one source */
    const char *data; /* NULL: it fails */
    int fails;        /* so often before it answers */
    atomic_word calls, done;
    bool hangs; /* until it is cancelled */
    bool deaf;  /* until `go` is set, whatever is told to it */
    atomic_word go;
    pthread_barrier_t *together;
    atomic_word *gone; /* set when its thread has ended, with its answer delivered */
};

static pthread_key_t leaving;

static void note_gone(void *gone) {
    word_store(gone, 1);
}

struct stage {
    hardy_gather_config config;
    hardy_component_config components[MAX];
    hardy_source sources[MAX][3];
    struct far far[MAX][3];
    hardy_gathered *got;
    hardy_error error;
};

static void fetch(void *ctx, const hardy_call *call, hardy_answer *answer, hardy_outcome *outcome) {
    struct far *f = ctx;
    uint64_t before = word_add(&f->calls, 1);
    if (f->gone)
        pthread_setspecific(leaving, f->gone);
    if (f->together)
        pthread_barrier_wait(f->together);
    while (f->deaf && !word_load(&f->go))
        sched_yield();
    while (f->hangs && !hardy_call_cancelled(call))
        sched_yield();
    if (f->hangs || !f->data || before < (uint64_t)f->fails) {
        *outcome = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE, .code = 7};
        if (f->data)
            hardy_answer_say(answer, "not yet: %d", (int)before);
        return;
    }
    word_add(&f->done, 1);
    assert_int_equal(hardy_answer_set(answer, f->data, strlen(f->data)), HARDY_OK);
}

static void begin(struct stage *s, size_t count) {
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    memset(s, 0, sizeof *s);
    hardy_error_init(&s->error, sizeof s->error);
    hardy_gather_config_init(&s->config, sizeof s->config);
    s->config.components = s->components;
    s->config.count = count;
    s->config.max_degradation = HARDY_LEVEL_FAILED;
    for (size_t i = 0; i < count; i++) {
        hardy_component_config_init(&s->components[i], sizeof s->components[i]);
        s->components[i].name = names[i];
        s->components[i].sources = s->sources[i];
        s->components[i].source_count = 1;
        for (size_t n = 0; n < 3; n++)
            s->sources[i][n] = (hardy_source){fetch, &s->far[i][n], NULL};
        s->far[i][0].data = names[i];
    }
}

static const hardy_component *at(const struct stage *s, size_t i) {
    size_t count;
    return &hardy_gathered_components(s->got, &count)[i];
}

static void gather(struct stage *s, hardy_status expected) {
    hardy_status status = hardy_gather(&s->config, NULL, &s->got, &s->error);
    if (status != expected)
        fail_msg("%s: %s", hardy_status_name(status), s->error.message);
}

static void end(struct stage *s) {
    hardy_gathered_free(s->got);
    s->got = NULL;
}

static void is(const struct stage *s, size_t i, hardy_component_state state, const char *data) {
    const hardy_component *c = at(s, i);
    if (c->state != state || (data ? !c->data || strcmp(c->data, data) != 0 : c->data != NULL))
        fail_msg("%s is %s: %s (%s)", c->name, hardy_component_state_text(c->state),
                 c->data ? c->data : "-", c->error);
}

static hardy_guard *make_guard(const hardy_retry_config *retry,
                               const hardy_breaker_config *breaker) {
    hardy_guard_config config;
    hardy_guard *guard;
    hardy_error error;
    hardy_guard_config_init(&config, sizeof config);
    config.name = "source";
    config.retry = retry;
    config.breaker = breaker;
    assert_int_equal(hardy_guard_new(&config, NULL, &guard, &error), HARDY_OK);
    return guard;
}

/* --- gathering -------------------------------------------------------------------------------- */

static void all_are_asked_at_once(void **state) {
    struct stage s;
    pthread_barrier_t together;
    (void)state;
    begin(&s, MAX);
    pthread_barrier_init(&together, NULL, MAX); /* nobody answers before all are asked */
    for (size_t i = 0; i < MAX; i++)
        s.far[i][0].together = &together;
    gather(&s, HARDY_OK);
    assert_int_equal(hardy_gathered_level(s.got), HARDY_LEVEL_FULL);
    for (size_t i = 0; i < MAX; i++)
        is(&s, i, HARDY_COMPONENT_FRESH, s.components[i].name);
    end(&s);
    pthread_barrier_destroy(&together);
}

static void a_guard_retries_and_its_breaker_refuses(void **state) {
    struct stage s;
    hardy_retry_config retry;
    hardy_breaker_config breaker;
    (void)state;
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_breaker_config_init(&breaker, sizeof breaker);
    retry.base_delay = MS;
    retry.max_retries = 2;
    breaker.failure_threshold = 1;
    begin(&s, 2);
    hardy_guard *retrying = make_guard(&retry, NULL), *broken = make_guard(NULL, &breaker);
    s.sources[0][0].guard = retrying;
    s.far[0][0].fails = 2;
    s.sources[1][0].guard = broken;
    s.far[1][0].data = NULL;
    gather(&s, HARDY_OK);
    is(&s, 0, HARDY_COMPONENT_FRESH, "a");
    assert_int_equal(s.far[0][0].calls, 3);
    is(&s, 1, HARDY_COMPONENT_MISSING, NULL);
    end(&s);
    gather(&s, HARDY_OK);
    assert_int_equal(s.far[1][0].calls, 1); /* refused the second time: nothing was called */
    assert_non_null(strstr(at(&s, 1)->error, "circuit breaker is open"));
    end(&s);
    hardy_guard_free(retrying);
    hardy_guard_free(broken);
}

static void alternates_are_asked_in_their_order(void **state) {
    struct stage s;
    (void)state;
    begin(&s, 1);
    s.components[0].source_count = 3;
    s.far[0][0].data = NULL;
    s.far[0][1].data = NULL;
    s.far[0][2].data = "third";
    gather(&s, HARDY_OK);
    is(&s, 0, HARDY_COMPONENT_FRESH, "third");
    assert_int_equal(at(&s, 0)->source, 2);
    assert_string_equal(at(&s, 0)->error, "failed with code 7");
    assert_int_equal(hardy_gathered_level(s.got), HARDY_LEVEL_FULL);
    end(&s);
}

static void the_last_good_answer_then_the_static_one(void **state) {
    struct stage s;
    hardy_lru *lru;
    (void)state;
    begin(&s, 3);
    assert_int_equal(hardy_lru_new(10, 1000, NULL, &lru, NULL), HARDY_OK);
    hardy_cache cache = hardy_lru_cache(lru);
    s.config.cache = &cache;
    s.far[0][0].data = ""; /* an answer of nothing is one */
    s.components[1].fixed = "[]";
    s.components[1].fixed_len = 2;
    s.components[1].ttl = 0;
    s.components[2].fresh_only = true;
    s.components[2].cache_key = "shared";
    gather(&s, HARDY_OK);
    end(&s);
    for (size_t i = 0; i < 3; i++)
        s.far[i][0].data = NULL;
    gather(&s, HARDY_OK);
    is(&s, 0, HARDY_COMPONENT_CACHED, "");
    assert_true(at(&s, 0)->age > 0);
    assert_string_equal(at(&s, 0)->error, "failed with code 7");
    is(&s, 1, HARDY_COMPONENT_STATIC, "[]");
    is(&s, 2, HARDY_COMPONENT_MISSING, NULL);
    assert_int_equal(hardy_gathered_level(s.got), HARDY_LEVEL_MODERATE);
    end(&s);
    s.config.fresh = true;
    gather(&s, HARDY_OK);
    is(&s, 0, HARDY_COMPONENT_MISSING, NULL);
    is(&s, 1, HARDY_COMPONENT_MISSING, NULL);
    end(&s);
    s.config.fresh = false;
    assert_int_equal(hardy_lru_remove(lru, "a"), 1);
    gather(&s, HARDY_OK);
    is(&s, 0, HARDY_COMPONENT_MISSING, NULL);
    end(&s);
    hardy_lru_free(lru);
}

static void within_its_refresh_nothing_is_asked(void **state) {
    struct stage s;
    hardy_lru *lru;
    (void)state;
    begin(&s, 1);
    assert_int_equal(hardy_lru_new(10, 1000, NULL, &lru, NULL), HARDY_OK);
    hardy_cache cache = hardy_lru_cache(lru);
    s.config.cache = &cache;
    s.components[0].refresh = HARDY_HOUR;
    for (int n = 0; n < 3; n++) {
        gather(&s, HARDY_OK);
        is(&s, 0, HARDY_COMPONENT_FRESH, "a");
        assert_int_equal(s.far[0][0].calls, 1);
        end(&s);
    }
    hardy_lru_free(lru);
}

/* Time stands still until the second is asked and the third has answered, and then is over: that a
 * machine is busy changes nothing. */
static int64_t when_they_have(void *ctx) {
    struct stage *s = ctx;
    bool have = word_load(&s->far[1][0].calls) > 0 && word_load(s->far[2][0].gone);
    return have ? 2 * HARDY_HOUR : HARDY_HOUR;
}

static void it_returns_in_time_whatever_a_function_does(void **state) {
    struct stage s;
    hardy_env env;
    atomic_word answered = 0;
    (void)state;
    assert_int_equal(pthread_key_create(&leaving, note_gone), 0);
    hardy_env_system(&env, sizeof env);
    env.now = when_they_have;
    env.ctx = &s;
    begin(&s, 3);
    s.config.deadline = 20 * MS;
    s.far[2][0].gone = &answered;
    s.far[0][0].hangs = true;
    s.far[1][0].deaf = true; /* until after it has returned */
    s.components[1].fixed = "x";
    s.components[1].fixed_len = 1;
    assert_int_equal(hardy_gather(&s.config, &env, &s.got, &s.error), HARDY_OK);
    is(&s, 0, HARDY_COMPONENT_MISSING, NULL);
    is(&s, 1, HARDY_COMPONENT_STATIC, "x");
    assert_string_equal(at(&s, 1)->error, "no answer within 20ms, the time for all together");
    is(&s, 2, HARDY_COMPONENT_FRESH, "c");
    assert_int_equal(word_load(&s.far[1][0].done), 0);
    word_store(&s.far[1][0].go, 1);
    end(&s); /* waits for it */
    assert_int_equal(word_load(&s.far[1][0].done), 1);
    pthread_key_delete(leaving);
}

static void fail_fast_stops_the_others_and_what_they_would_do(void **state) {
    struct stage s;
    hardy_retry_config retry;
    pthread_barrier_t together;
    (void)state;
    hardy_retry_config_init(&retry, sizeof retry);
    retry.base_delay = retry.max_delay = HARDY_HOUR; /* somebody has to wake it */
    retry.jitter = HARDY_JITTER_NONE;
    hardy_guard *patient = make_guard(&retry, NULL);
    pthread_barrier_init(&together, NULL, 3);
    begin(&s, 3);
    s.config.deadline = HARDY_NEVER;
    for (size_t i = 0; i < 3; i++) /* all have begun when the first fails */
        s.far[i][0].together = &together;
    s.components[0].fail_fast = true;
    s.far[0][0].data = NULL;
    s.far[1][0].hangs = true;
    s.components[1].source_count = 2;
    s.far[1][1].data = "never asked";
    s.components[1].fixed = "not used";
    s.components[1].fixed_len = 8;
    s.far[2][0].fails = 1;
    s.sources[2][0].guard = patient;
    gather(&s, HARDY_OK);
    assert_int_equal(hardy_gathered_level(s.got), HARDY_LEVEL_FAILED);
    is(&s, 1, HARDY_COMPONENT_MISSING, NULL);
    assert_string_equal(at(&s, 1)->error, "stopped, because a has failed");
    end(&s);
    assert_int_equal(word_load(&s.far[1][1].calls), 0);
    assert_int_equal(word_load(&s.far[2][0].calls), 1);
    hardy_guard_free(patient);
    pthread_barrier_destroy(&together);
}

static void beyond_what_is_allowed_it_is_an_error_with_names(void **state) {
    struct stage s;
    (void)state;
    begin(&s, 4);
    s.config.max_degradation = HARDY_LEVEL_SLIGHT;
    s.far[1][0].data = s.far[3][0].data = NULL;
    gather(&s, HARDY_E_DEGRADED);
    assert_string_equal(s.error.message,
                        "the level is minimal, at worst slight is allowed; failed: b, d");
    is(&s, 0, HARDY_COMPONENT_FRESH, "a"); /* what there is can be had all the same */
    end(&s);
    s.components[0].weight = 100;
    gather(&s, HARDY_OK);
    end(&s);
    s.components[3].critical = true;
    gather(&s, HARDY_E_DEGRADED);
    assert_int_equal(hardy_gathered_level(s.got), HARDY_LEVEL_FAILED);
    end(&s);
}

static void refused(struct stage *s, const char *why) {
    gather(s, HARDY_E_INVALID);
    assert_null(s->got);
    if (!strstr(s->error.message, why))
        fail_msg("%s; expected %s", s->error.message, why);
    begin(s, 2);
}

static void wrong_settings_are_named(void **state) {
    struct stage s;
    (void)state;
    begin(&s, 2);
    s.components[1].name = NULL;
    refused(&s, "component 1 has no name");
    s.components[0].source_count = 0;
    refused(&s, "it has no source");
    s.components[0].weight = 0;
    refused(&s, "weight is 0, expected above 0");
    s.components[0].ttl = -1;
    refused(&s, "ttl is negative");
    s.config.deadline = 0;
    refused(&s, "deadline is 0 ns");
    s.config.count = 65;
    refused(&s, "at most 64");
    s.config.size = 0;
    refused(&s, "hardy_gather_config");
    begin(&s, 0);
    gather(&s, HARDY_OK);
    assert_int_equal(hardy_gathered_level(s.got), HARDY_LEVEL_FULL);
    end(&s);
    hardy_gathered_free(NULL);
}

/* --- answers in memory ------------------------------------------------------------------------ */

static int64_t time_now = HARDY_HOUR;

static int64_t virtual_now(void *ctx) {
    (void)ctx;
    return time_now;
}

static bool has(hardy_lru *lru, const char *key, const char *data, int64_t age) {
    hardy_cache cache = hardy_lru_cache(lru);
    size_t len;
    int64_t told;
    char *got = cache.get(cache.ctx, key, &len, &told);
    bool as_told =
        data ? got && strcmp(got, data) == 0 && len == strlen(data) && told == age : !got;
    free(got);
    return as_told;
}

static void remember(hardy_lru *lru, const char *key, const char *data) {
    hardy_cache cache = hardy_lru_cache(lru);
    cache.put(cache.ctx, key, data, strlen(data));
}

static void note_dropped(void *ctx, const char *key) {
    char *told = ctx;
    size_t used = strlen(told);
    assert_true(str_copy(told + used, DROPPED - used, key));
}

static void what_was_not_used_for_longest_goes_first(void **state) {
    hardy_lru *lru;
    hardy_env env;
    char dropped[DROPPED] = "";
    (void)state;
    hardy_env_system(&env, sizeof env);
    env.now = virtual_now;
    assert_int_equal(hardy_lru_new(3, 40, &env, &lru, NULL), HARDY_OK);
    lru_on_dropped(lru, note_dropped, dropped);
    remember(lru, "a", "1");
    remember(lru, "b", "2");
    remember(lru, "c", "3");
    time_now += HARDY_MINUTE;
    assert_true(has(lru, "a", "1", HARDY_MINUTE));
    remember(lru, "d", "4");
    assert_string_equal(dropped, "b");
    assert_true(has(lru, "b", NULL, 0));
    remember(lru, "a", "newer");
    assert_true(has(lru, "a", "newer", 0));
    remember(lru, "e", "thirty bytes are a great deal.");
    assert_string_equal(dropped, "bcd"); /* by bytes */
    assert_int_equal(lru_used(lru).count, 2);
    assert_true(lru_used(lru).bytes <= 40);
    remember(lru, "a", "what is larger than all of it is not kept, nor what was there before it");
    assert_true(has(lru, "a", NULL, 0));
    lru_put_aged(lru, "old", "x", 1, HARDY_HOUR);
    assert_true(has(lru, "old", "x", HARDY_HOUR));
    lru_resize(lru, 1, 40);
    assert_true(has(lru, "e", NULL, 0));
    hardy_lru_free(lru);
    hardy_lru_free(NULL);
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(hardy_lru_new(0, 1, NULL, &lru, &error), HARDY_E_INVALID);
    assert_int_equal(hardy_lru_new(1, 0, NULL, &lru, &error), HARDY_E_INVALID);
}

static void answers_are_forgotten_by_prefix(void **state) {
    hardy_lru *lru;
    (void)state;
    assert_int_equal(hardy_lru_new(10, 1000, NULL, &lru, NULL), HARDY_OK);
    remember(lru, "web/a", "1");
    remember(lru, "web/b", "2");
    remember(lru, "webs/a", "3");
    assert_int_equal(hardy_lru_remove(lru, "web/"), 2);
    assert_int_equal(hardy_lru_remove(lru, "web/"), 0);
    assert_int_equal(lru_used(lru).count, 1);
    assert_int_equal(hardy_lru_remove(lru, ""), 1);
    assert_int_equal(lru_used(lru).bytes, 0);
    hardy_lru_free(lru);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_asked_at_once),
        cmocka_unit_test(a_guard_retries_and_its_breaker_refuses),
        cmocka_unit_test(alternates_are_asked_in_their_order),
        cmocka_unit_test(the_last_good_answer_then_the_static_one),
        cmocka_unit_test(within_its_refresh_nothing_is_asked),
        cmocka_unit_test(it_returns_in_time_whatever_a_function_does),
        cmocka_unit_test(fail_fast_stops_the_others_and_what_they_would_do),
        cmocka_unit_test(beyond_what_is_allowed_it_is_an_error_with_names),
        cmocka_unit_test(wrong_settings_are_named),
        cmocka_unit_test(what_was_not_used_for_longest_goes_first),
        cmocka_unit_test(answers_are_forgotten_by_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
