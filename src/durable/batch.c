/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/batch.h"
#include "base/atomic.h"
#include "base/clock.h"
#include "base/error.h"
#include <stdlib.h>

#define PATIENCE (10 * HARDY_SECOND)

/* What the store calls back with; it outlives a batch that has given it up. */
struct flight {
    struct batch *batch;
    struct loop *loop;
    struct loop_post post;
    hardy_status status;
    hardy_error error;
    atomic_word state; /* enum flight_state: whoever changes it first decides */
};
enum flight_state { FLYING, LANDED, GIVEN_UP };

static bool decide(struct flight *f, enum flight_state state) {
    uint64_t flying = FLYING;
    return word_cas(&f->state, &flying, state);
}

/* --- its end, on the loop --------------------------------------------------------------------- */

static void end(struct batch *b, hardy_status status) {
    loop_timer_stop(b->loop, &b->timer);
    loop_release(b->loop);
    b->status = status;
    b->busy = false;
    b->done(b, status);
}

static void on_landed(struct loop_post *post) {
    struct flight *f = post->ctx;
    struct batch *b = f->batch;
    hardy_status status = f->status;
    if (status != HARDY_OK) {
        b->error = f->error;
    }
    b->flight = NULL;
    free(f);
    end(b, status);
}

static void on_refused(struct loop_post *post) {
    struct batch *b = post->ctx;
    end(b, b->status);
}

static void on_patience(struct loop_timer *timer) {
    struct batch *b = timer->ctx;
    char holder[128];
    if (!store_holder(b->store, holder, sizeof holder)) { /* it is slow, or waits for space */
        loop_timer_start(b->loop, timer, time_add(loop_now(b->loop), PATIENCE));
        return;
    }
    if (!decide(b->flight, GIVEN_UP)) {
        return; /* it has just landed */
    }
    b->flight = NULL;
    end(b, fail(&b->error, HARDY_E_IO, NULL,
                "the state cannot be written: %s has kept its writer lease for more than ten "
                "seconds; when it is stopped, let it go on (kill -CONT) or end it",
                holder));
}

/* --- on the store's thread -------------------------------------------------------------------- */

static void on_stored(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct flight *f = ctx;
    (void)failed;
    f->status = status;
    if (status != HARDY_OK && error) {
        f->error = *error;
    }
    if (decide(f, LANDED)) {
        loop_post(f->loop, &f->post);
    } else {
        free(f);
    }
}

/* ---------------------------------------------------------------------------------------------- */

static void prepare(struct batch *b, struct loop *loop,
                    void (*done)(struct batch *b, hardy_status status), void *ctx) {
    *b = (struct batch){
        .loop = loop, .post = {.fn = on_refused, .ctx = b}, .done = done, .ctx = ctx, .busy = true};
    loop_timer_init(&b->timer, on_patience, b);
    hardy_error_init(&b->error, sizeof b->error);
    loop_hold(loop);
}

static void refuse(struct batch *b, hardy_status status, const char *why) {
    b->status = fail(&b->error, status, NULL, "%s", why);
    loop_post(b->loop, &b->post);
}

void batch_submit(struct batch *b, struct loop *loop, struct store *store,
                  const struct store_op *ops, size_t count,
                  void (*done)(struct batch *b, hardy_status status), void *ctx) {
    struct flight *f = calloc(1, sizeof *f);
    prepare(b, loop, done, ctx);
    if (!f) {
        refuse(b, HARDY_E_NOMEM, "no memory for a batch");
        return;
    }
    f->batch = b;
    f->loop = loop;
    f->post = (struct loop_post){.fn = on_landed, .ctx = f};
    hardy_error_init(&f->error, sizeof f->error);
    b->store = store;
    b->flight = f;
    loop_timer_start(loop, &b->timer, time_add(loop_now(loop), PATIENCE));
    store_submit(store, ops, count, on_stored, f);
}

void batch_refuse(struct batch *b, struct loop *loop, hardy_status status, const char *why,
                  void (*done)(struct batch *b, hardy_status status), void *ctx) {
    prepare(b, loop, done, ctx);
    refuse(b, status, why);
}
