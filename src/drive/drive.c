/* SPDX-License-Identifier: Apache-2.0 */
#include "drive/drive.h"
#include "base/atomic.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>

struct drive {
    hardy_op op;
    struct loop *loop;
    const struct drive_events *events;
    void *ctx;
    struct loop_timer timer;
    struct loop_post post;
    atomic_word woken; /* 1 = the post is on its way */
    bool stepping, done;
    hardy_reason waits_for;
};

/* Asks for a turn: from any thread, and under the lock of a queue that the operation stands in. */
static void wake(void *ctx) {
    struct drive *d = ctx;
    if (word_exchange(&d->woken, 1) == 0) {
        loop_post(d->loop, &d->post);
    }
}

static void finish(struct drive *d) {
    loop_timer_stop(d->loop, &d->timer);
    hardy_op_end(&d->op); /* no wake after this; one that came before may still be posted */
    d->done = true;
    if (d->events->done) {
        d->events->done(d->ctx, d);
    }
    loop_release(d->loop);
    if (word_load(&d->woken) == 0) {
        free(d);
    }
}

static void wait(struct drive *d, const hardy_step *step) {
    d->stepping = false;
    loop_timer_start(d->loop, &d->timer, step->until);
    if (step->reason != d->waits_for) {
        d->waits_for = step->reason;
        if (d->events->waiting) {
            d->events->waiting(d->ctx, d, step);
        }
    }
}

static void run(struct drive *d) {
    d->stepping = true;
    for (;;) {
        hardy_step step = hardy_op_next(&d->op, loop_now(d->loop));
        switch (step.kind) {
        case HARDY_STEP_CALL:
            d->events->call(d->ctx, d, step.attempt, step.deadline);
            break;
        case HARDY_STEP_STOP:
            d->events->stop(d->ctx, d, step.attempt);
            break;
        case HARDY_STEP_WAIT:
            wait(d, &step);
            return;
        case HARDY_STEP_RESULT:
            d->events->result(d->ctx, d, &step);
            break;
        case HARDY_STEP_DONE:
            finish(d);
            return;
        }
    }
}

static void on_timer(struct loop_timer *timer) {
    run(timer->ctx);
}

static void on_post(struct loop_post *post) {
    struct drive *d = post->ctx;
    word_store(&d->woken, 0);
    if (d->done) {
        free(d);
    } else {
        run(d);
    }
}

hardy_status drive_start(struct loop *loop, hardy_guard *guard, const hardy_op_options *options,
                         const struct drive_events *events, void *ctx, struct drive **out,
                         hardy_error *error) {
    struct drive *d = calloc(1, sizeof *d);
    if (!d) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for an operation");
    }
    d->loop = loop;
    d->events = events;
    d->ctx = ctx;
    d->post.fn = on_post;
    d->post.ctx = d;
    loop_timer_init(&d->timer, on_timer, d);
    hardy_op_options own;
    hardy_op_options_init(&own, sizeof own);
    if (options) {
        memcpy(&own, options, options->size < sizeof own ? options->size : sizeof own);
        own.size = sizeof own;
    }
    own.wake = (hardy_wake){wake, d};
    hardy_status status = hardy_op_begin(&d->op, sizeof d->op, guard, &own, loop_now(loop));
    if (status != HARDY_OK) {
        free(d);
        return fail(error, status, NULL, "the operation cannot begin");
    }
    loop_hold(loop);
    wake(d);
    *out = d;
    return HARDY_OK;
}

/* Inside run() the next step is asked for anyway. */
static void step_again(struct drive *d) {
    if (!d->stepping) {
        wake(d);
    }
}

void drive_report(struct drive *d, uint32_t attempt, const hardy_outcome *outcome) {
    if (!d->done) {
        hardy_op_report(&d->op, attempt, outcome, loop_now(d->loop));
        step_again(d);
    }
}

void drive_report_progress(struct drive *d, uint32_t attempt, hardy_progress what) {
    if (!d->done) {
        hardy_op_report_progress(&d->op, attempt, what, loop_now(d->loop));
        step_again(d);
    }
}

void drive_cancel(struct drive *d) {
    if (!d->done) {
        hardy_op_cancel(&d->op);
        step_again(d);
    }
}
