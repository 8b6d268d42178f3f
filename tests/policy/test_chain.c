/* SPDX-License-Identifier: Apache-2.0 */
/* The level of what was gathered, and the chain of one component. */
#include "../cmocka_all.h"
#include "policy/chain.h"
#include <stdlib.h>
#include <string.h>

/* --- levels ----------------------------------------------------------------------------------- */

static hardy_component_state state_of(char letter) {
    return letter == 'f'   ? HARDY_COMPONENT_FRESH
           : letter == 'c' ? HARDY_COMPONENT_CACHED
           : letter == 's' ? HARDY_COMPONENT_STATIC
                           : HARDY_COMPONENT_MISSING;
}

/* One letter a component: f fresh, c cached, s static, m missing, M missing and critical. */
static hardy_level level_of(const char *states) {
    hardy_component list[16] = {0};
    size_t count = strlen(states);
    for (size_t i = 0; i < count; i++)
        list[i] = (hardy_component){
            .weight = 1, .critical = states[i] == 'M', .state = state_of(states[i])};
    return hardy_level_of(list, count);
}

static void levels_follow_the_rule(void **state) {
    (void)state;
    static const struct {
        const char *states;
        hardy_level level;
    } rows[] = {
        {"", HARDY_LEVEL_FULL},
        {"fffff", HARDY_LEVEL_FULL},
        {"ffffc", HARDY_LEVEL_SLIGHT},
        {"ffffs", HARDY_LEVEL_SLIGHT}, /* a static answer is no full one */
        {"ffffm", HARDY_LEVEL_SLIGHT},
        {"fffcc", HARDY_LEVEL_MODERATE},      /* 0.4 of it is old */
        {"fffffffccc", HARDY_LEVEL_MODERATE}, /* exactly 0.3 is too much */
        {"fffffffcsc", HARDY_LEVEL_MODERATE}, /* old and static ones together */
        {"fffmm", HARDY_LEVEL_MODERATE},
        {"ffmmm", HARDY_LEVEL_MINIMAL},
        {"cmm", HARDY_LEVEL_MINIMAL}, /* that it is old does not make it moderate */
        {"ccmmm", HARDY_LEVEL_MINIMAL},
        {"fmmmm", HARDY_LEVEL_FAILED},
        {"mmm", HARDY_LEVEL_FAILED},
        {"fffffffffM", HARDY_LEVEL_FAILED},
        {"ccccc", HARDY_LEVEL_MODERATE}, /* never above what fresh would give */
        {"sssss", HARDY_LEVEL_MODERATE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (level_of(rows[i].states) != rows[i].level)
            fail_msg("%s is %s, expected %s", rows[i].states,
                     hardy_level_text(level_of(rows[i].states)), hardy_level_text(rows[i].level));
}

/* Every mix of five: one that gets worse never makes the whole better. */
static void nothing_worse_raises_the_level(void **state) {
    static const char better[] = "fcs", worse[] = "csm";
    (void)state;
    for (unsigned mix = 0; mix < 1u << 10; mix++) {
        char states[6] = {0};
        for (unsigned i = 0; i < 5; i++)
            states[i] = "fcsm"[(mix >> (2 * i)) & 3];
        hardy_level before = level_of(states);
        for (unsigned i = 0; i < 5; i++) {
            char was = states[i];
            const char *from = strchr(better, was);
            for (const char *to = from ? worse + (from - better) : ""; *to; to++) {
                states[i] = *to;
                /* A stale one that goes missing is no longer among the stale: the rule's own. */
                if (was == 'f' || *to != 'm')
                    assert_true(level_of(states) >= before);
            }
            states[i] = was;
        }
    }
}

static void weights_count(void **state) {
    (void)state;
    hardy_component list[2] = {{.weight = 9, .state = HARDY_COMPONENT_FRESH},
                               {.weight = 1, .state = HARDY_COMPONENT_MISSING}};
    assert_int_equal(hardy_level_of(list, 2), HARDY_LEVEL_SLIGHT);
    list[0].weight = 1;
    list[1].weight = 9;
    assert_int_equal(hardy_level_of(list, 2), HARDY_LEVEL_FAILED);
    list[1].state = HARDY_COMPONENT_CACHED;
    assert_int_equal(hardy_level_of(list, 2), HARDY_LEVEL_MODERATE);
}

/* --- the chain -------------------------------------------------------------------------------- */

struct memory {
    char *data;
    int64_t age;
    int puts;
};

static char *memory_get(void *ctx, const char *key, size_t *len, int64_t *age) {
    struct memory *m = ctx;
    assert_string_equal(key, "k");
    *age = m->age;
    *len = m->data ? strlen(m->data) : 0;
    return m->data ? strdup(m->data) : NULL;
}

static void memory_put(void *ctx, const char *key, const void *data, size_t len) {
    struct memory *m = ctx;
    assert_string_equal(key, "k");
    free(m->data);
    m->data = strndup(data, len);
    m->puts++;
}

struct bench {
    struct memory memory;
    hardy_cache cache;
    struct chain chain;
    hardy_component c;
};

static void bench_begin(struct bench *b) {
    *b = (struct bench){.cache = {&b->memory, memory_get, memory_put}};
    b->chain = (struct chain){
        .cache = &b->cache, .key = "k", .ttl = HARDY_HOUR, .fixed = "{}", .fixed_len = 2};
}

static void falls_to(struct bench *b, hardy_component_state state, const char *data) {
    free(b->c.data);
    b->c = (hardy_component){.error = "refused"};
    chain_fall_back(&b->chain, &b->c);
    assert_int_equal(b->c.state, state);
    assert_string_equal(b->c.error, "refused");
    if (data)
        assert_string_equal(b->c.data, data);
    else
        assert_null(b->c.data);
}

static void answers(struct bench *b, const char *data) {
    free(b->c.data);
    b->c = (hardy_component){0};
    chain_answered(&b->chain, strdup(data), strlen(data), &b->c);
    assert_int_equal(b->c.state, HARDY_COMPONENT_FRESH);
    assert_int_equal(b->c.age, 0);
}

static void bench_end(struct bench *b) {
    free(b->c.data);
    free(b->memory.data);
}

static void fresh_then_cached_then_static_then_none(void **state) {
    struct bench b;
    (void)state;
    bench_begin(&b);
    falls_to(&b, HARDY_COMPONENT_STATIC, "{}");
    answers(&b, "null");
    b.memory.age = HARDY_MINUTE;
    falls_to(&b, HARDY_COMPONENT_CACHED, "null"); /* a cached null is an answer */
    assert_int_equal(b.c.age, HARDY_MINUTE);
    b.memory.age = HARDY_HOUR;
    falls_to(&b, HARDY_COMPONENT_CACHED, "null");
    b.memory.age = HARDY_HOUR + 1;
    falls_to(&b, HARDY_COMPONENT_STATIC, "{}");
    b.chain.fixed = NULL;
    falls_to(&b, HARDY_COMPONENT_MISSING, NULL);
    b.memory.age = -HARDY_MINUTE; /* the clock was set back */
    falls_to(&b, HARDY_COMPONENT_CACHED, "null");
    assert_int_equal(b.c.age, 0);
    bench_end(&b);
}

static void what_must_be_fresh_is_never_old_nor_static(void **state) {
    struct bench b;
    (void)state;
    bench_begin(&b);
    answers(&b, "1");
    b.chain.fresh_only = true;
    b.chain.refresh = HARDY_HOUR;
    falls_to(&b, HARDY_COMPONENT_MISSING, NULL);
    free(b.c.data);
    b.c = (hardy_component){0};
    assert_false(chain_reuse(&b.chain, &b.c));
    answers(&b, "2"); /* though it becomes the last good one for others */
    assert_string_equal(b.memory.data, "2");
    bench_end(&b);
}

static void within_its_refresh_an_answer_is_fresh_and_its_age_told(void **state) {
    struct bench b;
    (void)state;
    bench_begin(&b);
    b.chain.ttl = 0;
    b.chain.refresh = 5 * HARDY_SECOND;
    assert_false(chain_reuse(&b.chain, &b.c));
    answers(&b, "7");
    b.memory.age = 5 * HARDY_SECOND;
    free(b.c.data);
    b.c = (hardy_component){0};
    assert_true(chain_reuse(&b.chain, &b.c));
    assert_int_equal(b.c.state, HARDY_COMPONENT_FRESH);
    assert_int_equal(b.c.age, 5 * HARDY_SECOND);
    assert_string_equal(b.c.data, "7");
    free(b.c.data);
    b.c = (hardy_component){0};
    b.memory.age++;
    assert_false(chain_reuse(&b.chain, &b.c));
    falls_to(&b, HARDY_COMPONENT_STATIC, "{}"); /* for failures there is no cache */
    bench_end(&b);
}

static void without_a_cache_nothing_is_kept(void **state) {
    struct bench b;
    (void)state;
    bench_begin(&b);
    b.chain.ttl = 0;
    answers(&b, "1");
    assert_int_equal(b.memory.puts, 0);
    b.chain.cache = NULL;
    b.chain.ttl = HARDY_HOUR;
    answers(&b, "1");
    falls_to(&b, HARDY_COMPONENT_STATIC, "{}");
    bench_end(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_follow_the_rule),
        cmocka_unit_test(nothing_worse_raises_the_level),
        cmocka_unit_test(weights_count),
        cmocka_unit_test(fresh_then_cached_then_static_then_none),
        cmocka_unit_test(what_must_be_fresh_is_never_old_nor_static),
        cmocka_unit_test(within_its_refresh_an_answer_is_fresh_and_its_age_told),
        cmocka_unit_test(without_a_cache_nothing_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
