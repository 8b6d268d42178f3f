/* SPDX-License-Identifier: Apache-2.0 */
/* What an attempt is told besides its deadline. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hardy/hardy.h>
#include <string.h>

#define PARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static void reads_what_it_writes(void **state) {
    (void)state;
    hardy_trace trace;
    char text[HARDY_TRACEPARENT_SIZE];
    assert_true(hardy_trace_parse(PARENT, &trace));
    assert_int_equal(trace.trace_id[0], 0x4b);
    assert_int_equal(trace.trace_id[15], 0x36);
    assert_int_equal(trace.span_id[7], 0xb7);
    assert_int_equal(trace.flags, 1);
    hardy_trace_format(&trace, text);
    assert_string_equal(text, PARENT);
    assert_true(
        hardy_trace_parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more", &trace));
    assert_int_equal(trace.flags, 0);
}

static void what_is_no_trace_is_none(void **state) {
    (void)state;
    static const char *const wrong[] = {
        NULL,
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        PARENT "-more",
        PARENT "0",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    };
    const hardy_trace none = {0};
    char text[HARDY_TRACEPARENT_SIZE];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        hardy_trace trace = {.flags = 1};
        assert_false(hardy_trace_parse(wrong[i], &trace));
        assert_memory_equal(&trace, &none, sizeof none);
    }
    hardy_trace_format(&none, text);
    assert_string_equal(text, "");
}

struct seen {
    hardy_call calls[3];
    uint32_t count;
};

static void fail_twice(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    struct seen *seen = ctx;
    seen->calls[seen->count++] = *call;
    if (call->attempt < 3) {
        *outcome = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN};
    }
}

static hardy_guard *make(void) {
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_guard *guard = NULL;
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    retry.base_delay = retry.max_delay = 0;
    config.name = "context";
    config.retry = &retry;
    assert_int_equal(hardy_guard_new(&config, NULL, &guard, NULL), HARDY_OK);
    return guard;
}

static void each_attempt_is_a_span_of_its_own(void **state) {
    (void)state;
    hardy_guard *guard = make();
    hardy_context context;
    hardy_run_options options;
    struct seen seen = {.count = 0};
    hardy_context_init(&context, sizeof context);
    hardy_run_options_init(&options, sizeof options);
    assert_true(hardy_trace_parse(PARENT, &context.trace));
    context.idempotency_key = "order-7";
    context.operation = 12;
    options.context = &context;
    options.repeatable = true;
    assert_int_equal(hardy_guard_run_with(guard, fail_twice, &seen, &options, NULL, NULL),
                     HARDY_OK);
    assert_int_equal(seen.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const hardy_call *call = &seen.calls[i];
        assert_int_equal(call->attempt, i + 1);
        assert_int_equal(call->operation, 12);
        assert_string_equal(call->idempotency_key, "order-7");
        assert_int_equal(call->trace.flags, 1);
        assert_memory_equal(call->trace.trace_id, context.trace.trace_id, 16);
        assert_memory_not_equal(call->trace.span_id, context.trace.span_id, 8);
        assert_memory_not_equal(call->trace.span_id, seen.calls[(i + 1) % 3].trace.span_id, 8);
    }
    hardy_guard_free(guard);
}

static void an_operation_gets_a_number(void **state) {
    (void)state;
    hardy_guard *guard = make();
    hardy_context context;
    hardy_run_options options;
    struct seen first = {.count = 0}, second = {.count = 0};
    hardy_context_init(&context, sizeof context);
    hardy_run_options_init(&options, sizeof options);
    options.context = &context;
    options.repeatable = true;
    assert_int_equal(hardy_guard_run_with(guard, fail_twice, &first, &options, NULL, NULL),
                     HARDY_OK);
    assert_int_equal(hardy_guard_run_with(guard, fail_twice, &second, &options, NULL, NULL),
                     HARDY_OK);
    assert_int_not_equal(first.calls[0].operation, 0);
    assert_int_equal(first.calls[0].operation, first.calls[2].operation);
    assert_int_not_equal(first.calls[0].operation, second.calls[0].operation);
    assert_null(first.calls[0].idempotency_key);
    hardy_guard_free(guard);
}

static void repeatable_is_of_one_operation(void **state) {
    (void)state;
    hardy_guard *guard = make();
    hardy_run_options options;
    hardy_error error;
    struct seen seen = {.count = 0};
    hardy_run_options_init(&options, sizeof options);
    assert_int_equal(hardy_guard_run_with(guard, fail_twice, &seen, &options, NULL, NULL),
                     HARDY_E_IN_DOUBT);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.calls[0].operation, 0);
    hardy_error_init(&error, sizeof error);
    options.size = 1;
    assert_int_equal(hardy_guard_run_with(guard, fail_twice, &seen, &options, NULL, &error),
                     HARDY_E_INVALID);
    assert_non_null(strstr(error.message, "hardy_run_options_init"));
    hardy_guard_free(guard);
}

/* Whoever drives operations itself asks after CALL. */
static void a_driver_asks(void **state) {
    (void)state;
    hardy_guard *guard = make();
    hardy_context context;
    hardy_op_options options;
    hardy_op op;
    hardy_call call;
    hardy_context_init(&context, sizeof context);
    hardy_op_options_init(&options, sizeof options);
    context.idempotency_key = "k";
    options.context = &context;
    options.deadline = 1000;
    assert_int_equal(hardy_op_begin(&op, sizeof op, guard, &options, 5), HARDY_OK);
    hardy_step step = hardy_op_next(&op, 5);
    assert_int_equal(step.kind, HARDY_STEP_CALL);
    hardy_op_describe_call(&op, &call);
    assert_int_equal(call.attempt, step.attempt);
    assert_int_equal(call.deadline, 1000);
    assert_string_equal(call.idempotency_key, "k");
    hardy_op_end(&op);
    hardy_guard_free(guard);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(what_is_no_trace_is_none),
        cmocka_unit_test(each_attempt_is_a_span_of_its_own),
        cmocka_unit_test(an_operation_gets_a_number),
        cmocka_unit_test(repeatable_is_of_one_operation),
        cmocka_unit_test(a_driver_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
