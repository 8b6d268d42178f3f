/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/action.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/sha256.h"
#include "base/str.h"
#include <stdlib.h>
#include <string.h>

enum { CODE_FAILED = 1, CODE_PASSING = 75, SPAN_TEXT = 48, WALL_TEXT = 40 };

/* --- requests --------------------------------------------------------------------------------- */

hardy_status action_check_key(const char *key, hardy_error *error) {
    size_t len = strlen(key);
    bool good = len > 0 && len <= ACTION_KEY_MAX && str_valid_utf8(key, len);
    for (size_t i = 0; i < len && good; i++) {
        good = (unsigned char)key[i] >= 0x20 && key[i] != 0x7f;
    }
    return good ? HARDY_OK
                : fail(error, HARDY_E_INVALID, "key",
                       "\"%.60s\" (%zu bytes) is no key: 1 to %d bytes of UTF-8 without control "
                       "characters",
                       str_valid_utf8(key, len) ? key : "?", len, ACTION_KEY_MAX);
}

static hardy_status check_lease(int64_t lease, hardy_error *error) {
    char text[SPAN_TEXT];
    if (lease >= ACTION_LEASE_MIN && lease <= ACTION_LEASE_MAX) {
        return HARDY_OK;
    }
    format_duration_short(lease, text);
    return fail(error, HARDY_E_INVALID, "lease", "%s is not between 100ms and 24h", text);
}

static hardy_status check_json(const char *what, const char *text, size_t max, hardy_error *error) {
    size_t len = strlen(text);
    if (len > max) {
        return fail(error, HARDY_E_TOO_LARGE, what, "%zu bytes are more than the %zu there may be",
                    len, max);
    }
    hardy_status status = json_check(text, len, error);
    if (status != HARDY_OK) {
        error_prefix(error, "%s", what);
    }
    return status;
}

static const char *params_of(const struct action_request *q) {
    return q->params ? q->params : "null";
}

static const char *name_of(const struct action_request *q) {
    return q->name ? q->name : q->key;
}

static hardy_status check_begin(struct action *a, hardy_error *error) {
    const struct action_request *q = a->request;
    size_t name = strlen(name_of(q));
    if (name == 0 || name > ACTION_KEY_MAX || !str_valid_utf8(name_of(q), name)) {
        return fail(error, HARDY_E_INVALID, "name", "is not 1 to %d bytes of UTF-8",
                    ACTION_KEY_MAX);
    }
    if (q->claim && (strlen(q->claim) > ACTION_KEY_MAX || strlen(q->claim) < ACTION_CLAIM_MIN)) {
        return fail(error, HARDY_E_INVALID, "claim", "is not %d to %d bytes that nobody else uses",
                    ACTION_CLAIM_MIN, ACTION_KEY_MAX);
    }
    if (q->ttl <= 0) {
        return fail(error, HARDY_E_INVALID, "ttl", "is not above 0");
    }
    hardy_status status = check_lease(q->lease, error);
    if (status == HARDY_OK) {
        status = check_json("params", params_of(q), ACTION_PARAMS_MAX, error);
    }
    return status == HARDY_OK
               ? record_fingerprint(q->scope, name_of(q), params_of(q), a->fingerprint, error)
               : status;
}

hardy_status action_init(struct action *a, const struct action_request *request,
                         hardy_error *error) {
    *a = (struct action){.request = request};
    record_init(&a->record);
    hardy_status status = action_check_key(request->key, error);
    if (status != HARDY_OK) {
        return status;
    }
    switch (request->verb) {
    case ACTION_BEGIN:
        return check_begin(a, error);
    case ACTION_RENEW:
        return check_lease(request->lease, error);
    case ACTION_COMPLETE:
    case ACTION_SETTLE:
        return request->result ? check_json("result", request->result, ACTION_RESULT_MAX, error)
                               : HARDY_OK;
    case ACTION_FAIL:
        break;
    }
    return HARDY_OK;
}

void action_free(struct action *a) {
    record_free(&a->record);
}

/* --- looking ---------------------------------------------------------------------------------- */

static int64_t lease_left(const struct record *r, const struct moment *now) {
    return moment_left(&r->lease, now->boot, now->monotonic, now->wall);
}

bool action_runs(const struct record *r, const struct moment *now, int64_t *left) {
    int64_t span = r->state == RECORD_STARTED && moment_is_set(&r->lease) ? lease_left(r, now) : 0;
    if (left) {
        *left = span > 0 ? span : 0;
    }
    return span > 0;
}

static const char *owner_of(const struct record *r) {
    return r->owner ? r->owner : "hardy exec";
}

static char *lost_text(const struct record *r) {
    char text[WALL_TEXT];
    clock_format_wall(r->lease.wall, text);
    return str_format("%s began it and was silent until its lease ran out at %s", owner_of(r),
                      text);
}

void action_look(struct record *r, const struct moment *now) {
    if (r->state == RECORD_STARTED && moment_is_set(&r->lease) && lease_left(r, now) <= 0) {
        r->state = RECORD_IN_DOUBT;
        free(r->detail);
        r->detail = lost_text(r);
    }
}

const char *const action_kinds[ACTION_KINDS + 1] = {ACTION_ROW, "remedy", NULL};

hardy_status action_find(struct store *store, const char *key, struct record *out,
                         hardy_error *error) {
    for (size_t i = 0; i < ACTION_KINDS; i++) {
        hardy_status status = record_load(store, action_kinds[i], key, out, error);
        if (status != HARDY_E_NOT_FOUND) {
            return status;
        }
    }
    return fail(error, HARDY_E_NOT_FOUND, "", "there is no action `%s`", key);
}

/* --- writing ---------------------------------------------------------------------------------- */

static hardy_status no_memory(const struct action *a, hardy_error *error) {
    return fail(error, HARDY_E_NOMEM, NULL, "no memory for the record of %s", a->request->key);
}

/* The record as it stands is to be written over the row (NULL: there is none). */
static hardy_status want(struct action *a, const struct store_row *row, struct change_write *write,
                         hardy_status answer) {
    write->wanted = true;
    record_op(&a->record, row ? row->fence : -1, &write->value, &write->op);
    return answer;
}

static void set_output(struct record *r, const char *result) {
    record_set_output(r, str_dup(result), result ? strlen(result) : 0);
}

static void set_detail(struct record *r, const char *detail) {
    free(r->detail);
    r->detail = detail ? str_ndup(detail, strnlen(detail, ACTION_DETAIL_MAX)) : NULL;
    if (r->detail) {
        str_make_printable(r->detail);
    }
}

static void note_end(struct record *r, enum record_state state, int code, int64_t wall) {
    r->state = state;
    r->code = code;
    r->ended = wall;
    r->lease = (struct moment){0};
    r->expires = r->ttl == 0 || r->ttl == HARDY_NEVER ? 0 : time_add(wall, r->ttl);
}

/* --- begin ------------------------------------------------------------------------------------ */

/* Its own: two keys of the same parameters are two effects, wherever the far side remembers keys.
 */
static char *idempotency_key(const struct action *a) {
    struct sha256 hash;
    char hex[65];
    sha256_init(&hash);
    sha256_add_part(&hash, a->request->key, strlen(a->request->key));
    sha256_add_part(&hash, a->fingerprint, strlen(a->fingerprint));
    sha256_done_hex(&hash, hex);
    return str_ndup(hex, 32);
}

/* What is known of something that has not been done yet. */
static bool fresh_record(struct action *a, int64_t fence, uint32_t attempt) {
    const struct action_request *q = a->request;
    struct record *r = &a->record;
    record_free(r);
    r->fence = fence;
    r->attempt = attempt;
    r->row_kind = str_dup(ACTION_ROW);
    r->key = str_dup(q->key);
    r->name = str_dup(name_of(q));
    r->params = record_params(params_of(q));
    r->idempotency_key = idempotency_key(a);
    str_copy(r->fingerprint, sizeof r->fingerprint, a->fingerprint);
    return r->row_kind && r->key && r->name && r->params && r->idempotency_key;
}

static hardy_status start(struct action *a, const struct store_row *row, struct change_write *write,
                          hardy_error *error) {
    const struct action_request *q = a->request;
    struct record *r = &a->record;
    r->state = RECORD_STARTED;
    r->attempt++;
    r->fence = change_next_fence(row, q->now.wall);
    r->started = q->now.wall;
    r->created = r->created ? r->created : r->started;
    r->ended = r->expires = r->ended_by = 0;
    r->code = r->signal = 0;
    r->timed_out = r->truncated = false;
    r->ttl = q->ttl;
    r->lease = moment_after(q->now.boot, q->now.monotonic, q->now.wall, q->lease);
    str_copy(r->boot, sizeof r->boot, q->now.boot);
    set_output(r, NULL);
    set_detail(r, NULL);
    free(r->owner);
    free(r->claim);
    r->claim = str_dup(q->claim);
    r->owner = str_dup(q->owner ? q->owner : "not named");
    if (!r->owner || (q->claim && !r->claim)) {
        return no_memory(a, error);
    }
    str_make_printable(r->owner);
    return want(a, row, write, HARDY_OK);
}

static hardy_status running(const struct action *a, int64_t left, hardy_error *error) {
    const struct record *r = &a->record;
    char text[SPAN_TEXT];
    if (!moment_is_set(&r->lease)) {
        return fail(error, HARDY_E_RUNNING, NULL, "%s is being run by hardy exec", r->key);
    }
    format_duration_short(left, text);
    (void)fail(error, HARDY_E_RUNNING, NULL, "%s is being run by %s; its lease runs for another %s",
               r->key, owner_of(r), text);
    if (error) {
        error->retry_after = left;
    }
    return HARDY_E_RUNNING;
}

static hardy_status renew(struct action *a, const struct store_row *row,
                          struct change_write *write) {
    const struct action_request *q = a->request;
    struct record *r = &a->record;
    r->state = RECORD_STARTED;
    set_detail(r, NULL);
    r->lease = moment_after(q->now.boot, q->now.monotonic, q->now.wall, q->lease);
    return want(a, row, write, HARDY_OK);
}

static hardy_status in_doubt(const struct action *a, hardy_error *error) {
    const struct record *r = &a->record;
    return fail(
        error, HARDY_E_IN_DOUBT, NULL,
        "%s is in doubt: %s; find out whether it took effect, then settle it: hardy actions "
        "resolve KEY --done, --retry or --fail",
        r->key, r->detail ? r->detail : "nobody knows how it ended");
}

static hardy_status begin(struct action *a, const struct store_row *row, struct change_write *write,
                          hardy_error *error) {
    const struct action_request *q = a->request;
    struct record *r = &a->record;
    int64_t left = 0;
    bool expired = row && r->expires != 0 && r->expires <= q->now.wall;
    bool other = row && r->state == RECORD_PENDING && !str_eq(r->fingerprint, a->fingerprint);
    if (!row || expired || other) {
        if (!fresh_record(a, 0, other ? r->attempt : 0)) {
            return no_memory(a, error);
        }
    }
    bool runs =
        r->state == RECORD_STARTED && (!moment_is_set(&r->lease) || action_runs(r, &q->now, &left));
    switch (record_decide(r, a->fingerprint, runs ? WORLD_RUNNING : WORLD_LOST, q->in_doubt)) {
    case NEXT_RUN:
        return start(a, row, write, error);
    case NEXT_REPLAY:
        a->replayed = true;
        return HARDY_OK;
    case NEXT_ATTACH:
        if (q->claim && str_eq(q->claim, r->claim)) {
            return renew(a, row, write); /* this very begin, whose answer was lost */
        }
        return running(a, left, error);
    case NEXT_MISMATCH:
        return record_mismatch(r, params_of(q), error);
    case NEXT_FAIL:
        action_look(r, &q->now);
        note_end(r, RECORD_FAILED, CODE_FAILED, q->now.wall);
        r->fence = change_next_fence(row, q->now.wall);
        return want(a, row, write,
                    fail(error, HARDY_E_FAILED, NULL, "%s counts as failed: %s", r->key,
                         r->detail ? r->detail : "nobody knows how it ended"));
    case NEXT_COLLECT:
    case NEXT_PROBE:
    case NEXT_ASK:
        break;
    }
    action_look(r, &q->now);
    return in_doubt(a, error);
}

/* --- what its owner says ---------------------------------------------------------------------- */

/* Whether it was ended by this owner in just this way. */
static bool same_end(const struct record *r, const struct action_request *q) {
    if (q->verb == ACTION_FAIL) {
        return r->state == RECORD_FAILED;
    }
    return q->verb == ACTION_COMPLETE && r->state == RECORD_DONE &&
           str_eq(r->output ? r->output : "null", q->result ? q->result : "null");
}

static hardy_status fenced(const struct record *r, int64_t fence, hardy_error *error) {
    char text[WALL_TEXT];
    if (r->state == RECORD_STARTED && fence < r->fence) {
        clock_format_wall(r->started, text);
        return fail(error, HARDY_E_FENCED, NULL,
                    "%s was taken over by %s at %s: its fence is %lld now, this one is %lld",
                    r->key, owner_of(r), text, (long long)r->fence, (long long)fence);
    }
    return fail(error, HARDY_E_FENCED, NULL,
                "%s is not run under the fence %lld: it is %s%s%s, with the fence %lld", r->key,
                (long long)fence, record_state_text(r->state), r->detail ? ": " : "",
                r->detail ? r->detail : "", (long long)r->fence);
}

static hardy_status go_on(struct action *a, const struct store_row *row, struct change_write *write,
                          hardy_error *error) {
    const struct action_request *q = a->request;
    struct record *r = &a->record;
    if (!row || (r->expires != 0 && r->expires <= q->now.wall)) {
        return fail(error, HARDY_E_NOT_FOUND, NULL, "there is no action %s", q->key);
    }
    if (r->ended_by == q->fence && (r->state == RECORD_DONE || r->state == RECORD_FAILED)) {
        return same_end(r, q) ? HARDY_OK
                              : fail(error, HARDY_E_CLOSED, NULL, "%s has ended already: it is %s",
                                     r->key, record_state_text(r->state));
    }
    bool open = r->state == RECORD_STARTED || r->state == RECORD_IN_DOUBT;
    if (!open || r->fence != q->fence || !r->owner) {
        return fenced(r, q->fence, error);
    }
    if (q->verb == ACTION_RENEW) {
        return renew(a, row, write);
    }
    bool done = q->verb == ACTION_COMPLETE;
    note_end(r, done ? RECORD_DONE : RECORD_FAILED,
             done           ? 0
             : q->retryable ? CODE_PASSING
                            : CODE_FAILED,
             q->now.wall);
    r->ended_by = q->fence;
    r->fence = change_next_fence(row, q->now.wall);
    set_output(r, done ? (q->result ? q->result : "null") : NULL);
    set_detail(r, done ? NULL : q->detail);
    return done && !r->output ? no_memory(a, error) : want(a, row, write, HARDY_OK);
}

static hardy_status settle(struct action *a, const struct store_row *row,
                           struct change_write *write, hardy_error *error) {
    const struct action_request *q = a->request;
    struct record *r = &a->record;
    int64_t left;
    if (!row) {
        return fail(error, HARDY_E_NOT_FOUND, NULL, "there is no action %s", q->key);
    }
    if (!r->owner) {
        return fail(error, HARDY_E_UNSUPPORTED, NULL,
                    "%s ran under hardy exec: hardy actions resolve settles it", r->key);
    }
    if (action_runs(r, &q->now, &left)) {
        return running(a, left, error);
    }
    if (r->state != RECORD_STARTED && r->state != RECORD_IN_DOUBT) {
        return fail(error, HARDY_E_CLOSED, NULL, "%s is %s, not in doubt", r->key,
                    record_state_text(r->state));
    }
    record_settle(r, q->how, q->result ? q->result : "null", q->owner ? q->owner : "its program",
                  q->now.wall);
    r->fence = change_next_fence(row, q->now.wall);
    return want(a, row, write, HARDY_OK);
}

hardy_status action_decide(void *ctx, const struct store_row *row, struct change_write *write,
                           hardy_error *error) {
    struct action *a = ctx;
    record_free(&a->record);
    a->replayed = false;
    hardy_status status = row ? record_decode(row, &a->record, error) : HARDY_OK;
    if (status != HARDY_OK) {
        return status;
    }
    switch (a->request->verb) {
    case ACTION_BEGIN:
        return begin(a, row, write, error);
    case ACTION_SETTLE:
        return settle(a, row, write, error);
    default:
        return go_on(a, row, write, error);
    }
}
