/* SPDX-License-Identifier: Apache-2.0 */
/* Actions under a lease, on both stores: begin, renew, the ends, and every way to be taken over. */
#include "../cmocka_all.h"
#include "base/str.h"
#include "durable/action.h"
#include "stores.h"
#include <stdlib.h>
#include <string.h>

#define BOOT "01234567-89ab-cdef-0123-456789abcdef"
#define LEASE (30 * HARDY_SECOND)

static int64_t wall, now;
static const char *boot;
static struct store *store;
static struct action last; /* what the latest request came to */
static hardy_error error;

static hardy_status ask(struct action_request q) {
    action_free(&last);
    hardy_error_init(&error, sizeof error);
    q.now.monotonic = now;
    q.now.wall = wall;
    str_copy(q.now.boot, sizeof q.now.boot, boot);
    q.key = q.key ? q.key : "order-1";
    hardy_status status = action_init(&last, &q, &error);
    const struct change change = {ACTION_ROW, q.key, action_decide, &last};
    if (status == HARDY_OK) {
        status = change_apply(&change, store, HARDY_NEVER, &error);
    }
    if (status != HARDY_OK && (error.status != status || !error.message[0])) {
        fail_msg("%s without its reason: \"%s\"", hardy_status_name(status), error.message);
    }
    last.request = NULL;
    return status;
}

static struct action_request beginning(const char *params) {
    return (struct action_request){.verb = ACTION_BEGIN,
                                   .scope = "action",
                                   .params = params,
                                   .owner = "agent.py",
                                   .lease = LEASE,
                                   .ttl = HARDY_HOUR};
}

static hardy_status begin_under(enum in_doubt_policy policy) {
    struct action_request q = beginning("{\"amount\":5}");
    q.in_doubt = policy;
    return ask(q);
}

static hardy_status begin(void) {
    return begin_under(IN_DOUBT_ASK);
}

static hardy_status renew(int64_t fence) {
    return ask((struct action_request){.verb = ACTION_RENEW, .fence = fence, .lease = LEASE});
}

static hardy_status complete(int64_t fence, const char *result) {
    return ask((struct action_request){.verb = ACTION_COMPLETE, .fence = fence, .result = result});
}

static hardy_status give_up(int64_t fence, bool retryable) {
    return ask((struct action_request){
        .verb = ACTION_FAIL, .fence = fence, .detail = "no\nfunds", .retryable = retryable});
}

static void pass(int64_t span) {
    now += span;
    wall += span;
}

static void open_one(enum store_kind kind) {
    wall = 1700000000123456789;
    now = 5 * HARDY_HOUR;
    boot = BOOT;
    store = stores_open(kind, &wall);
}

static void close_one(void) {
    action_free(&last);
    stores_close(store);
}

/* Each test on both stores. */
#define ON_BOTH(name)                                                                              \
    static void name##_once(void);                                                                 \
    static void name(void **state) {                                                               \
        (void)state;                                                                               \
        for (int kind = IN_MEMORY; kind <= ON_SQLITE; kind++) {                                    \
            open_one((enum store_kind)kind);                                                       \
            name##_once();                                                                         \
            close_one();                                                                           \
        }                                                                                          \
    }                                                                                              \
    static void name##_once(void)

ON_BOTH(a_success_is_replayed) {
    assert_int_equal(begin(), HARDY_OK);
    assert_false(last.replayed);
    assert_int_equal(last.record.attempt, 1);
    assert_int_equal(strlen(last.record.idempotency_key), 32);
    int64_t fence = last.record.fence;
    assert_true(fence > 0 && fence < INT64_C(1) << 53); /* any language can hold it */
    pass(LEASE - 1);
    assert_int_equal(renew(fence), HARDY_OK);
    assert_int_equal(last.record.fence, fence);
    pass(LEASE - 1);
    assert_int_equal(complete(fence, "{\"id\": 7}"), HARDY_OK);
    assert_int_equal(begin(), HARDY_OK);
    assert_true(last.replayed);
    assert_string_equal(last.record.output, "{\"id\": 7}");
    assert_false(moment_is_set(&last.record.lease));
}

ON_BOTH(parameters_are_told_apart) {
    assert_int_equal(begin(), HARDY_OK);
    int64_t fence = last.record.fence;
    assert_int_equal(ask(beginning("{\"amount\":6}")), HARDY_E_MISMATCH); /* also while it runs */
    assert_non_null(strstr(error.message, "{\"amount\":5}; now: {\"amount\":6}"));
    assert_int_equal(complete(fence, NULL), HARDY_OK);
    assert_int_equal(ask(beginning("{\"amount\":6}")), HARDY_E_MISMATCH);
    assert_int_equal(ask(beginning("{ \"amount\" : 5.0 }")),
                     HARDY_OK); /* the same, in other words */
    assert_true(last.replayed);
    assert_string_equal(last.record.output, "null");
    struct action_request named = beginning("{\"amount\":5}");
    named.name = "refund";
    assert_int_equal(ask(named), HARDY_E_MISMATCH);
}

ON_BOTH(one_owner_at_a_time) {
    assert_int_equal(begin(), HARDY_OK);
    pass(10 * HARDY_SECOND);
    for (int policy = IN_DOUBT_ASK; policy <= IN_DOUBT_FAIL; policy++) {
        assert_int_equal(begin_under((enum in_doubt_policy)policy), HARDY_E_RUNNING);
        assert_int_equal(error.retry_after, 20 * HARDY_SECOND);
        assert_non_null(strstr(error.message, "agent.py"));
    }
    pass(20 * HARDY_SECOND - 1);
    assert_int_equal(begin_under(IN_DOUBT_RERUN), HARDY_E_RUNNING);
    pass(1);
    assert_int_equal(begin_under(IN_DOUBT_RERUN), HARDY_OK);
}

ON_BOTH(a_lost_owner_is_asked_about) {
    assert_int_equal(begin(), HARDY_OK);
    int64_t fence = last.record.fence;
    pass(LEASE);
    assert_int_equal(begin(), HARDY_E_IN_DOUBT);
    assert_non_null(strstr(error.message, "agent.py"));
    assert_int_equal(last.record.state, RECORD_IN_DOUBT); /* for whoever looks; */
    assert_int_equal(begin_under(IN_DOUBT_PROBE), HARDY_E_IN_DOUBT);
    /* nobody has taken it over, and its owner knows how it went. */
    assert_int_equal(renew(fence), HARDY_OK);
    assert_int_equal(begin(), HARDY_E_RUNNING);
    pass(2 * LEASE);
    assert_int_equal(complete(fence, "1"), HARDY_OK);
    assert_int_equal(begin(), HARDY_OK);
    assert_true(last.replayed);
}

ON_BOTH(who_was_taken_over_is_fenced) {
    assert_int_equal(begin(), HARDY_OK);
    int64_t first = last.record.fence;
    char key[40];
    str_copy(key, sizeof key, last.record.idempotency_key);
    pass(LEASE);
    assert_int_equal(begin_under(IN_DOUBT_RERUN), HARDY_OK);
    int64_t second = last.record.fence;
    assert_int_equal(second, first + 1);
    assert_int_equal(last.record.attempt, 2);
    assert_string_equal(last.record.idempotency_key, key); /* the far side can tell */
    assert_int_equal(renew(first), HARDY_E_FENCED);
    assert_non_null(strstr(error.message, "taken over by agent.py"));
    assert_int_equal(complete(first, "1"), HARDY_E_FENCED);
    assert_int_equal(give_up(first, false), HARDY_E_FENCED);
    assert_int_equal(complete(second, "2"), HARDY_OK);
    assert_int_equal(complete(first, "2"), HARDY_E_FENCED);
    assert_int_equal(renew(second + 7), HARDY_E_FENCED); /* never handed out */
    assert_int_equal(begin(), HARDY_OK);
    assert_string_equal(last.record.output, "2");
}

ON_BOTH(an_end_is_one_end) {
    assert_int_equal(begin(), HARDY_OK);
    int64_t fence = last.record.fence;
    assert_int_equal(complete(fence, "{\"a\":1}"), HARDY_OK);
    assert_int_equal(complete(fence, "{\"a\":1}"), HARDY_OK); /* its answer was lost */
    assert_int_equal(complete(fence, "{\"a\":2}"), HARDY_E_CLOSED);
    assert_int_equal(give_up(fence, false), HARDY_E_CLOSED);
    assert_int_equal(renew(fence), HARDY_E_CLOSED);
    assert_int_equal(complete(fence, "{\"a\":1}"), HARDY_OK);
    assert_int_equal(begin(), HARDY_OK);
    assert_string_equal(last.record.output, "{\"a\":1}");
}

/* Read before the end, written after it: the condition must not hold any more. */
ON_BOTH(a_late_renewal_undoes_nothing) {
    struct change_write write = {0};
    struct store_row row;
    assert_int_equal(begin(), HARDY_OK);
    const struct action_request q = {.verb = ACTION_RENEW,
                                     .key = "order-1",
                                     .fence = last.record.fence,
                                     .lease = LEASE,
                                     .now = {BOOT, now, wall}};
    struct action late;
    buf_init(&write.value, STORE_VALUE_MAX);
    assert_int_equal(action_init(&late, &q, NULL), HARDY_OK);
    assert_int_equal(store_get(store, ACTION_ROW, "order-1", &row, NULL), HARDY_OK);
    assert_int_equal(action_decide(&late, &row, &write, NULL), HARDY_OK);
    assert_true(write.wanted);
    store_row_free(&row);
    assert_int_equal(complete(q.fence, "1"), HARDY_OK);
    assert_int_equal(store_apply(store, &write.op, 1, HARDY_NEVER, NULL, NULL), HARDY_E_FENCED);
    buf_free(&write.value);
    action_free(&late);
    assert_int_equal(store_get(store, ACTION_ROW, "order-1", &row, NULL), HARDY_OK);
    assert_non_null(strstr(row.value, "\"done\""));
    store_row_free(&row);
}

ON_BOTH(a_failure_may_be_begun_again) {
    assert_int_equal(begin(), HARDY_OK);
    int64_t fence = last.record.fence;
    assert_int_equal(give_up(fence, true), HARDY_OK);
    assert_int_equal(last.record.code, 75);
    assert_string_equal(last.record.detail, "no?funds");
    assert_int_equal(give_up(fence, true), HARDY_OK);
    assert_int_equal(complete(fence, "1"), HARDY_E_CLOSED);
    assert_int_equal(begin(), HARDY_OK);
    assert_false(last.replayed);
    assert_int_equal(last.record.attempt, 2);
    assert_true(last.record.fence > fence);
    assert_null(last.record.detail);
    assert_int_equal(complete(fence, "1"), HARDY_E_FENCED);
    assert_int_equal(give_up(last.record.fence ? last.record.fence : 0, false), HARDY_OK);
    assert_int_equal(last.record.code, 1);
}

ON_BOTH(a_lost_one_may_count_as_failed) {
    assert_int_equal(begin_under(IN_DOUBT_FAIL), HARDY_OK);
    int64_t fence = last.record.fence;
    pass(LEASE);
    assert_int_equal(begin_under(IN_DOUBT_FAIL), HARDY_E_FAILED);
    assert_int_equal(complete(fence, "1"), HARDY_E_FENCED);
    assert_int_equal(begin_under(IN_DOUBT_FAIL), HARDY_OK);
    assert_int_equal(last.record.attempt, 2);
}

/* The same begin, whose answer was lost, is no second owner; another one is. */
ON_BOTH(a_begin_may_be_repeated) {
    struct action_request q = beginning("1");
    q.claim = "9c5b94b1-35ad-49bb-b118-8e8fc24abf80";
    assert_int_equal(ask(q), HARDY_OK);
    int64_t fence = last.record.fence;
    pass(LEASE / 2);
    assert_int_equal(ask(q), HARDY_OK);
    assert_int_equal(last.record.fence, fence);
    assert_int_equal(last.record.attempt, 1);
    assert_false(last.replayed);
    pass(LEASE - 1);
    assert_int_equal(ask(beginning("1")), HARDY_E_RUNNING);
    q.claim = "9c5b94b1-35ad-49bb-b118-8e8fc24abf81";
    assert_int_equal(ask(q), HARDY_E_RUNNING);
    q.claim = "too-short";
    assert_int_equal(ask(q), HARDY_E_INVALID);
}

/* Within a boot only the clock that nobody can set counts; after another, the wall clock. */
ON_BOTH(clocks_that_jump) {
    assert_int_equal(begin(), HARDY_OK);
    int64_t fence = last.record.fence;
    wall += HARDY_HOUR;
    assert_int_equal(begin_under(IN_DOUBT_RERUN), HARDY_E_RUNNING);
    wall -= 2 * HARDY_HOUR;
    assert_int_equal(begin_under(IN_DOUBT_RERUN), HARDY_E_RUNNING);
    now += LEASE;
    assert_int_equal(begin_under(IN_DOUBT_ASK), HARDY_E_IN_DOUBT);
    assert_int_equal(renew(fence), HARDY_OK);
    boot = "another boot";
    now = 0;
    assert_int_equal(begin_under(IN_DOUBT_ASK), HARDY_E_RUNNING);
    wall += LEASE;
    assert_int_equal(begin_under(IN_DOUBT_ASK), HARDY_E_IN_DOUBT);
}

ON_BOTH(what_has_expired_is_begun_anew) {
    assert_int_equal(begin(), HARDY_OK);
    int64_t fence = last.record.fence;
    assert_int_equal(complete(fence, "1"), HARDY_OK);
    pass(HARDY_HOUR - 1);
    assert_int_equal(begin(), HARDY_OK);
    assert_true(last.replayed);
    pass(1);
    assert_int_equal(renew(fence), HARDY_E_NOT_FOUND);
    assert_int_equal(ask(beginning("[]")), HARDY_OK); /* whatever it is now */
    assert_false(last.replayed);
    assert_int_equal(last.record.attempt, 1);
    assert_true(last.record.fence > fence + 1);
    /* Also when retention has taken the row: no old fence is handed out again. */
    int64_t second = last.record.fence;
    const struct store_op op = {
        .kind = STORE_DELETE, .row_kind = ACTION_ROW, .key = "order-1", .if_fence = second};
    assert_int_equal(store_apply(store, &op, 1, HARDY_NEVER, NULL, NULL), HARDY_OK);
    assert_int_equal(complete(second, "1"), HARDY_E_NOT_FOUND);
    assert_int_equal(begin(), HARDY_OK);
    assert_true(last.record.fence > second);
    assert_int_equal(complete(second, "1"), HARDY_E_FENCED);
}

ON_BOTH(it_is_seen_as_it_is) {
    int64_t left;
    struct record r;
    assert_int_equal(begin(), HARDY_OK);
    const struct moment early = {BOOT, now + LEASE - 5, wall}, late = {BOOT, now + LEASE, wall};
    assert_int_equal(record_load(store, ACTION_ROW, "order-1", &r, NULL), HARDY_OK);
    action_look(&r, &early);
    assert_int_equal(r.state, RECORD_STARTED);
    assert_true(action_runs(&r, &early, &left));
    assert_int_equal(left, 5);
    assert_false(action_runs(&r, &late, &left));
    assert_int_equal(left, 0);
    action_look(&r, &late);
    assert_int_equal(r.state, RECORD_IN_DOUBT);
    assert_non_null(strstr(r.detail, "agent.py"));
    record_free(&r);
}

static hardy_status settle(enum resolve_how how, const char *result) {
    return ask((struct action_request){
        .verb = ACTION_SETTLE, .how = how, .result = result, .owner = "mona"});
}

ON_BOTH(what_is_in_doubt_is_settled) {
    assert_int_equal(settle(RESOLVE_DONE, NULL), HARDY_E_NOT_FOUND);
    assert_int_equal(begin(), HARDY_OK);
    int64_t fence = last.record.fence;
    assert_int_equal(settle(RESOLVE_DONE, NULL), HARDY_E_RUNNING);
    assert_int_equal(error.retry_after, LEASE);
    pass(LEASE);
    assert_int_equal(settle(RESOLVE_RETRY, NULL), HARDY_OK);
    assert_int_equal(complete(fence, "1"), HARDY_E_FENCED); /* whatever it found out meanwhile */
    assert_int_equal(renew(fence), HARDY_E_FENCED);
    assert_int_equal(settle(RESOLVE_FAIL, NULL), HARDY_E_CLOSED);
    assert_int_equal(begin(), HARDY_OK);
    assert_int_equal(last.record.attempt, 2);
    pass(LEASE);
    assert_int_equal(settle(RESOLVE_FAIL, NULL), HARDY_OK);
    assert_int_equal(begin(), HARDY_OK);
    assert_false(last.replayed);
    fence = last.record.fence;
    pass(LEASE);
    assert_int_equal(settle(RESOLVE_DONE, "nonsense"), HARDY_E_SYNTAX);
    assert_int_equal(settle(RESOLVE_DONE, "[7]"), HARDY_OK);
    assert_non_null(strstr(last.record.detail, "mona"));
    assert_int_equal(complete(fence, "[7]"), HARDY_E_FENCED);
    assert_int_equal(begin(), HARDY_OK);
    assert_true(last.replayed);
    assert_string_equal(last.record.output, "[7]");
    pass(HARDY_HOUR);
    assert_int_equal(begin(), HARDY_OK); /* kept as long as it was to be */
    assert_false(last.replayed);
}

ON_BOTH(an_action_of_another_kind_is_left_alone) {
    struct buf value;
    struct store_op op;
    struct record r;
    record_init(&r);
    r.row_kind = str_dup(ACTION_ROW);
    r.key = str_dup("order-1");
    r.name = str_dup("./charge");
    r.params = str_dup("[\"./charge\"]");
    r.fence = 3;
    buf_init(&value, STORE_VALUE_MAX);
    for (int s = RECORD_STARTED; s <= RECORD_IN_DOUBT; s++) {
        r.state = (enum record_state)s;
        buf_reset(&value);
        record_op(&r, -1, &value, &op);
        op.kind = STORE_PUT;
        assert_int_equal(store_apply(store, &op, 1, HARDY_NEVER, NULL, NULL), HARDY_OK);
        assert_int_equal(begin_under(IN_DOUBT_RERUN), HARDY_E_MISMATCH);
        assert_int_equal(renew(3), HARDY_E_FENCED);
        assert_int_equal(complete(3, "1"), HARDY_E_FENCED);
        assert_int_equal(settle(RESOLVE_DONE, NULL), HARDY_E_UNSUPPORTED);
    }
    /* Settled as not done: whatever is done under the key next. */
    r.state = RECORD_PENDING;
    buf_reset(&value);
    record_op(&r, 3, &value, &op);
    assert_int_equal(store_apply(store, &op, 1, HARDY_NEVER, NULL, NULL), HARDY_OK);
    assert_int_equal(begin(), HARDY_OK);
    assert_int_equal(last.record.fence, 4);
    assert_string_equal(last.record.params, "{\"amount\":5}");
    buf_free(&value);
    record_free(&r);
}

static hardy_status refused(struct action_request q) {
    hardy_status status = ask(q);
    assert_true(status != HARDY_OK);
    struct store_row row;
    if (q.key && q.key[0]) {
        assert_int_equal(store_get(store, ACTION_ROW, "order-1", &row, NULL), HARDY_E_NOT_FOUND);
    }
    return status;
}

ON_BOTH(wrong_requests) {
    char long_key[ACTION_KEY_MAX + 2];
    memset(long_key, 'k', sizeof long_key - 1);
    long_key[sizeof long_key - 1] = '\0';
    const char *const keys[] = {"", "a\nb", "\xff", "a\x7f", long_key};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct action_request q = beginning("1");
        q.key = keys[i];
        assert_int_equal(refused(q), HARDY_E_INVALID);
    }
    struct action_request q = beginning("{");
    assert_int_equal(refused(q), HARDY_E_SYNTAX);
    q = beginning("{\"a\":1,\"a\":2}");
    assert_int_equal(refused(q), HARDY_E_SYNTAX);
    q = beginning("1");
    q.lease = ACTION_LEASE_MIN - 1;
    assert_int_equal(refused(q), HARDY_E_INVALID);
    q.lease = HARDY_NEVER;
    assert_int_equal(refused(q), HARDY_E_INVALID);
    q = beginning("1");
    q.ttl = 0;
    assert_int_equal(refused(q), HARDY_E_INVALID);
    char *large = malloc(ACTION_RESULT_MAX + 2);
    memset(large, '1', ACTION_RESULT_MAX + 1);
    large[ACTION_RESULT_MAX + 1] = '\0';
    assert_int_equal(refused(beginning(large)), HARDY_E_TOO_LARGE);
    assert_int_equal(complete(1, large), HARDY_E_TOO_LARGE);
    free(large);
    assert_int_equal(complete(1, "not json"), HARDY_E_SYNTAX);
    assert_int_equal(complete(1, "1"), HARDY_E_NOT_FOUND);
    assert_int_equal(renew(1), HARDY_E_NOT_FOUND);
    long_key[ACTION_KEY_MAX] = '\0';
    q = beginning("1");
    q.key = long_key;
    assert_int_equal(ask(q), HARDY_OK);
}

/* The largest result of the most expensive bytes fits its row, and comes back. */
ON_BOTH(the_largest_result) {
    char *large = malloc(ACTION_RESULT_MAX + 1);
    large[0] = '[';
    for (size_t i = 1; i < ACTION_RESULT_MAX; i++) {
        large[i] = '\n';
    }
    large[ACTION_RESULT_MAX - 1] = ']';
    large[ACTION_RESULT_MAX] = '\0';
    assert_int_equal(begin(), HARDY_OK);
    assert_int_equal(complete(last.record.fence, large), HARDY_OK);
    assert_int_equal(begin(), HARDY_OK);
    assert_string_equal(last.record.output, large);
    free(large);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_success_is_replayed),
        cmocka_unit_test(parameters_are_told_apart),
        cmocka_unit_test(one_owner_at_a_time),
        cmocka_unit_test(a_lost_owner_is_asked_about),
        cmocka_unit_test(who_was_taken_over_is_fenced),
        cmocka_unit_test(an_end_is_one_end),
        cmocka_unit_test(a_late_renewal_undoes_nothing),
        cmocka_unit_test(a_failure_may_be_begun_again),
        cmocka_unit_test(a_lost_one_may_count_as_failed),
        cmocka_unit_test(a_begin_may_be_repeated),
        cmocka_unit_test(clocks_that_jump),
        cmocka_unit_test(what_has_expired_is_begun_anew),
        cmocka_unit_test(it_is_seen_as_it_is),
        cmocka_unit_test(what_is_in_doubt_is_settled),
        cmocka_unit_test(an_action_of_another_kind_is_left_alone),
        cmocka_unit_test(wrong_requests),
        cmocka_unit_test(the_largest_result),
    };
    return cmocka_run_group_tests_name("action", tests, NULL, NULL);
}
