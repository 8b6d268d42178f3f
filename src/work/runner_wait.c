/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of a run that wait: for time, for a condition, for a person. They have no effect, so their
 * start is not waited for until it is durable; what must not begin anew after a restart, the moment
 * at which they end, is in their record.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "durable/seeded.h"
#include "durable/signal.h"
#include "work/runner_parts.h"
#include <stdlib.h>
#include <string.h>

bool runner_waits(const struct run_step *step) {
    const struct workflow_step *from = step->says;
    return from->kind == STEP_SLEEP || from->kind == STEP_UNTIL || from->kind == STEP_APPROVE;
}

static const struct workflow_step *says(const struct driven *d) {
    return d->step->says;
}

static int64_t left(const struct driven *d) {
    const struct runner *r = d->runner;
    return moment_left(&d->step->record.until, r->boot, loop_now(r->options.loop),
                       loop_wall(r->options.loop));
}

/* --- the end ------------------------------------------------------------------------------------
 */

static void settle(struct driven *d, enum record_state state, const char *output, size_t len,
                   hardy_status status, const hardy_error *error) {
    struct record *r = &d->step->record;
    struct runner *runner = d->runner;
    int64_t before = r->fence++;
    r->state = state;
    r->ended = loop_wall(runner->options.loop);
    r->code = status == HARDY_OK ? 0 : 1;
    record_set_output(r, output ? str_ndup(output, len) : NULL, len);
    if (r->output) {
        secrets_mask(runner->secrets, r->output, &r->output_len);
    }
    if (status != HARDY_OK) {
        free(r->detail);
        r->detail = str_dup(error->message);
    }
    runner_add_record(runner, r, before);
    runner_step_ended(d, status, error);
}

static void succeed(struct driven *d, const char *output, size_t len) {
    hardy_error none;
    hardy_error_init(&none, sizeof none);
    settle(d, RECORD_DONE, output, len, HARDY_OK, &none);
}

static void give_up(struct driven *d, hardy_status status, const char *why) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    fail(&error, status, NULL, "%s", why);
    settle(d, RECORD_FAILED, NULL, 0, status, &error);
}

/* --- until --------------------------------------------------------------------------------------
 */

static void go_on(struct driven *d);

static void on_looked(void *ctx, enum probe_answer answer, const struct buf *output,
                      const char *detail) {
    struct driven *d = ctx;
    (void)detail;
    d->probe = NULL;
    if (answer == PROBE_DONE) {
        succeed(d, output->data ? output->data : "", output->len);
    } else {
        hardy_poll_report(&d->poll,
                          answer == PROBE_NOT_DONE ? HARDY_LOOK_NOT_YET : HARDY_LOOK_UNKNOWN, 0,
                          loop_now(d->runner->options.loop));
        go_on(d);
    }
}

/* A command that cannot even be run will not hold later either. */
static void look(struct driven *d, int64_t deadline) {
    struct runner *r = d->runner;
    int64_t patience = deadline == HARDY_NEVER ? HARDY_NEVER : deadline - loop_now(r->options.loop);
    const struct probe_options options = {.argv = (const char *const *)d->words.argv,
                                          .env = (const char *const *)d->words.env,
                                          .cwd = says(d)->workflow->folder,
                                          .max_output = COMMAND_KEPT,
                                          .patience = patience};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (probe_start(r->options.loop, &options, on_looked, d, &d->probe, &error) != HARDY_OK) {
        d->probe = NULL;
        give_up(d, HARDY_E_FAILED, error.message);
    }
}

static void go_on(struct driven *d) {
    struct loop *loop = d->runner->options.loop;
    hardy_poll_step step = hardy_poll_next(&d->poll, loop_now(loop));
    switch (step.kind) {
    case HARDY_POLL_LOOK:
        look(d, step.deadline);
        break;
    case HARDY_POLL_WAIT:
        loop_timer_start(loop, &d->timer, step.until);
        break;
    default:
        give_up(d, step.status,
                step.last == HARDY_LOOK_UNKNOWN
                    ? "the condition did not hold in time; the last look could not tell"
                    : "the condition did not hold in time");
        break;
    }
}

/* Without `every` it grows from one second; nobody else looks at the same time, so no jitter. */
static hardy_status begin_to_look(struct driven *d, hardy_error *error) {
    int64_t now = loop_now(d->runner->options.loop), every = says(d)->s.every;
    hardy_poll_config config;
    hardy_poll_config_init(&config, sizeof config);
    config.jitter = HARDY_JITTER_NONE;
    if (every > 0) {
        config.base_delay = config.max_delay = every;
    }
    return hardy_poll_begin(&d->poll, sizeof d->poll, &config, time_add(now, left(d)), 0, now,
                            error);
}

/* --- people -------------------------------------------------------------------------------------
 */

static void answer(struct driven *d, const struct signal *said) {
    struct buf output;
    struct json_out j;
    char at[40];
    if (said->what != SIGNAL_APPROVE) {
        char *why = str_format("refused by %s%s%s", said->who, said->comment ? ": " : "",
                               said->comment ? said->comment : "");
        give_up(d, HARDY_E_REFUSED, why ? why : "refused");
        free(why);
        return;
    }
    clock_format_wall(said->at, at);
    buf_init(&output, (size_t)1 << 20);
    json_out_init(&j, &output, 0);
    json_out_object(&j);
    json_out_member_string(&j, "approved_by", said->who);
    json_out_member_string(&j, "at", at);
    json_out_member_string(&j, "comment", said->comment);
    json_out_object_end(&j);
    free(d->step->record.detail);
    d->step->record.detail = str_format("approved by %s", said->who);
    succeed(d, output.data, output.len);
    buf_free(&output);
}

/* Whether somebody has said something to it; then it is answered. */
static bool hear(struct driven *d) {
    struct runner *r = d->runner;
    struct signal said;
    if (signal_load(r->options.store, d->step->key, &said, NULL) != HARDY_OK) {
        return false;
    }
    if (said.fence != d->step->record.fence) { /* that was the time it was asked before */
        signal_free(&said);
        return false;
    }
    /* The next one is heard at once; `r` may be gone behind the answer. */
    loop_timer_start(r->options.loop, &r->listen, loop_now(r->options.loop));
    answer(d, &said);
    signal_free(&said);
    return true;
}

/* --- what all of them share ---------------------------------------------------------------------
 */

static void wait_on(struct driven *d) {
    struct runner *r = d->runner;
    loop_timer_start(r->options.loop, &d->timer, time_add(loop_now(r->options.loop), left(d)));
}

static void on_timer(struct loop_timer *timer) {
    struct driven *d = timer->ctx;
    switch (says(d)->kind) {
    case STEP_UNTIL:
        go_on(d);
        break;
    case STEP_APPROVE: /* perhaps nobody drove it when it was approved */
        if (hear(d)) {
            break;
        }
        if (left(d) <= 0) {
            give_up(d, HARDY_E_REFUSED, "nobody approved it in time");
        } else {
            wait_on(d);
        }
        break;
    default:
        if (left(d) <= 0) {
            succeed(d, "", 0);
        } else { /* the clocks of two boots: it is looked at again */
            wait_on(d);
        }
        break;
    }
}

static hardy_status span_of(struct driven *d, int64_t *span, char **message, hardy_error *error) {
    const struct step_settings *s = &says(d)->s;
    struct scope scope;
    char *text = NULL;
    hardy_status status = HARDY_OK;
    *span = says(d)->kind == STEP_UNTIL ? s->timeout : s->approve.expires;
    scope_init(&scope, &d->runner->run, d->step, d->runner->options.env);
    if (says(d)->kind == STEP_SLEEP) {
        status = scope_text(&scope, s->sleep, &text, error);
        if (status == HARDY_OK) {
            status = parse_duration(text, span, error);
        }
    } else if (says(d)->kind == STEP_UNTIL) {
        status = step_expand_until(&scope, &d->words, error);
    } else if (s->approve.message) {
        status = scope_text(&scope, s->approve.message, message, error);
        if (status == HARDY_OK) {
            size_t len = strlen(*message);
            secrets_mask(d->runner->secrets, *message, &len);
        }
    }
    if (status != HARDY_OK && says(d)->kind != STEP_UNTIL) {
        error_prefix(error, "step `%s`", d->step->name);
    }
    free(text);
    scope_free(&scope);
    return status;
}

/* Its record, as it begins to wait. */
static bool begin(struct driven *d, int64_t span, const char *message) {
    struct runner *runner = d->runner;
    struct record *r = &d->step->record;
    int64_t before = r->fence > 0 ? r->fence : -1;
    free(r->row_kind);
    free(r->key);
    free(r->name);
    free(r->params);
    free(r->detail);
    r->row_kind = str_dup("step");
    r->key = str_dup(d->step->key);
    r->name = str_dup(d->step->name);
    r->params = step_params(says(d), false);
    r->detail = str_dup(message);
    r->state = RECORD_WAITING;
    r->fence++;
    r->attempt++;
    r->started = loop_wall(runner->options.loop);
    r->created = r->created ? r->created : r->started;
    r->ended = 0;
    str_copy(r->boot, sizeof r->boot, runner->boot);
    r->until = moment_after(runner->boot, loop_now(runner->options.loop), r->started, span);
    if (!r->row_kind || !r->key || !r->name || !r->params || !d->step->definition[0]) {
        return false;
    }
    runner_add_record(runner, r, before);
    return true;
}

hardy_status runner_start_wait(struct driven *d, hardy_error *error) {
    static const enum runner_note notes[] = {
        [STEP_UNTIL] = NOTE_LOOKING, [STEP_SLEEP] = NOTE_SLEEPING, [STEP_APPROVE] = NOTE_ASKING};
    struct runner *r = d->runner;
    int64_t span;
    char *message = NULL;
    hardy_status status = span_of(d, &span, &message, error);
    bool fresh = d->step->record.state != RECORD_WAITING || SEEDED_BUG(BUG_SLEEP_ANEW);
    bool at_once = says(d)->kind == STEP_UNTIL || (says(d)->kind == STEP_APPROVE && !fresh);
    if (status == HARDY_OK && fresh && !begin(d, span, message)) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for step %s", d->step->name);
    }
    if (status == HARDY_OK && says(d)->kind == STEP_UNTIL) {
        status = begin_to_look(d, error);
    }
    if (status == HARDY_OK) {
        char text[48] = "";
        int64_t rest = left(d);
        if (rest != HARDY_NEVER && rest > 0) {
            format_duration_short(rest, text);
        }
        runner_note(d, notes[says(d)->kind],
                    says(d)->kind == STEP_APPROVE ? message
                    : rest > 0                    ? text
                                                  : "0s");
        loop_timer_init(&d->timer, on_timer, d);
        int64_t now = loop_now(r->options.loop);
        loop_timer_start(r->options.loop, &d->timer,
                         at_once ? now : time_add(now, rest > 0 ? rest : 0));
    }
    free(message);
    return status;
}

void runner_hear(struct runner *r) {
    for (struct list *l = r->driven.next; l != &r->driven; l = l->next) {
        struct driven *d = LIST_ITEM(l, struct driven, link);
        if (!d->undo && says(d)->kind == STEP_APPROVE && hear(d)) {
            return; /* the list is another one now */
        }
    }
}
