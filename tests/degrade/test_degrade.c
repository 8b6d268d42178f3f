/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "degrade/gather.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

/* One letter a component: f fresh, c cached, s static, m missing, M missing and critical. */
static enum degrade_level level_of(const char *states) {
    struct component list[16] = {0};
    size_t count = strlen(states);
    for (size_t i = 0; i < count; i++) {
        list[i].weight = 1;
        list[i].critical = states[i] == 'M';
        list[i].state = states[i] == 'f'   ? COMPONENT_FRESH
                        : states[i] == 'c' ? COMPONENT_CACHED
                        : states[i] == 's' ? COMPONENT_STATIC
                                           : COMPONENT_MISSING;
    }
    return degrade_level_of(list, count);
}

static void levels_follow_the_rule(void **state) {
    (void)state;
    assert_int_equal(level_of("fffff"), DEGRADE_FULL);
    assert_int_equal(level_of("ffffc"), DEGRADE_SLIGHT);
    assert_int_equal(level_of("ffffm"), DEGRADE_SLIGHT);
    assert_int_equal(level_of("fffcc"), DEGRADE_MODERATE);      /* 0.4 of it is old */
    assert_int_equal(level_of("fffffffccc"), DEGRADE_MODERATE); /* exactly 0.3 is too much */
    assert_int_equal(level_of("fffmm"), DEGRADE_MODERATE);
    assert_int_equal(level_of("ffmmm"), DEGRADE_MINIMAL);
    assert_int_equal(level_of("fmmmm"), DEGRADE_FAILED);
    assert_int_equal(level_of("fffffffffM"), DEGRADE_FAILED);
    assert_int_equal(level_of("ccccc"), DEGRADE_MODERATE); /* never above what fresh would give */
    assert_int_equal(level_of("sssss"), DEGRADE_MODERATE);
}

static void a_stale_answer_never_raises_the_level(void **state) {
    static const char letters[] = "fcsm";
    (void)state;
    for (unsigned mix = 0; mix < 1u << 10; mix++) {
        char states[6] = {0};
        for (unsigned i = 0; i < 5; i++)
            states[i] = letters[(mix >> (2 * i)) & 3];
        enum degrade_level before = level_of(states);
        for (unsigned i = 0; i < 5; i++) {
            if (states[i] != 'f')
                continue;
            for (const char *other = "cs"; *other; other++) {
                states[i] = *other;
                assert_true(level_of(states) >= before);
                states[i] = 'f';
            }
        }
    }
}

static void weights_count(void **state) {
    (void)state;
    struct component list[2] = {{.weight = 9, .state = COMPONENT_FRESH},
                                {.weight = 1, .state = COMPONENT_MISSING}};
    assert_int_equal(degrade_level_of(list, 2), DEGRADE_SLIGHT);
    list[0].weight = 1;
    list[1].weight = 9;
    assert_int_equal(degrade_level_of(list, 2), DEGRADE_FAILED);
}

struct memory {
    char *data;
    int64_t age;
};

static char *memory_get(void *ctx, const char *key, int64_t *age) {
    struct memory *m = ctx;
    assert_string_equal(key, "k");
    *age = m->age;
    return str_dup(m->data);
}

static void memory_put(void *ctx, const char *key, const char *data) {
    struct memory *m = ctx;
    assert_string_equal(key, "k");
    free(m->data);
    m->data = str_dup(data);
}

static void the_chain_prefers_fresh_then_cached_then_static(void **state) {
    (void)state;
    struct memory m = {NULL, 0};
    struct fallback_cache cache = {&m, memory_get, memory_put};
    struct chain chain = {
        .cache = &cache, .cache_key = "k", .ttl = HARDY_HOUR, .fixed = "{\"from\": \"static\"}"};
    struct component c = {.name = "x", .weight = 1};

    chain_settle(&chain, NULL, "refused", &c);
    assert_int_equal(c.state, COMPONENT_STATIC);
    assert_string_equal(c.error, "refused");
    free(c.data);

    chain_settle(&chain, str_dup("null"), NULL, &c);
    assert_int_equal(c.state, COMPONENT_FRESH);
    assert_string_equal(c.error, "");
    free(c.data);

    m.age = HARDY_MINUTE;
    chain_settle(&chain, NULL, "timed out", &c);
    assert_int_equal(c.state, COMPONENT_CACHED); /* a cached null is an answer */
    assert_string_equal(c.data, "null");
    assert_int_equal(c.age, HARDY_MINUTE);
    free(c.data);

    m.age = HARDY_HOUR + 1;
    chain_settle(&chain, NULL, "timed out", &c);
    assert_int_equal(c.state, COMPONENT_STATIC);
    free(c.data);
    c.data = NULL;

    m.age = 0;
    chain.fresh_only = true;
    chain_settle(&chain, NULL, "timed out", &c);
    assert_int_equal(c.state, COMPONENT_MISSING);
    assert_null(c.data);
    free(m.data);
}

static void the_answer_says_what_came(void **state) {
    (void)state;
    char fresh[] = "{\"a\":1}", cached[] = "[2]";
    struct component list[3] = {
        {.name = "metrics", .weight = 1, .state = COMPONENT_FRESH, .data = fresh},
        {.name = "logs",
         .weight = 1,
         .state = COMPONENT_CACHED,
         .data = cached,
         .age = 90 * HARDY_SECOND},
        {.name = "alerts", .weight = 1, .state = COMPONENT_MISSING, .error = "connection refused"}};
    struct buf out;
    buf_init(&out, 1 << 20);
    gather_to_json(list, 3, &out);
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
    assert_int_equal(json_integer_value(json_object_get(totals, "degraded_components")), 2);
    json_decref(answer);
    buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_follow_the_rule),
        cmocka_unit_test(a_stale_answer_never_raises_the_level),
        cmocka_unit_test(weights_count),
        cmocka_unit_test(the_chain_prefers_fresh_then_cached_then_static),
        cmocka_unit_test(the_answer_says_what_came),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
