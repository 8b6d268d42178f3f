/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/batch.h"
#include "base/error.h"

static void on_post(struct loop_post *post) {
    struct batch *b = post->ctx;
    loop_release(b->loop);
    b->busy = false;
    b->done(b, b->status);
}

static void on_stored(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct batch *b = ctx;
    (void)failed;
    b->status = status;
    if (status != HARDY_OK && error) {
        b->error = *error;
    }
    loop_post(b->loop, &b->post);
}

static void prepare(struct batch *b, struct loop *loop,
                    void (*done)(struct batch *b, hardy_status status), void *ctx) {
    *b = (struct batch){
        .loop = loop, .post = {.fn = on_post, .ctx = b}, .done = done, .ctx = ctx, .busy = true};
    hardy_error_init(&b->error, sizeof b->error);
    loop_hold(loop);
}

void batch_submit(struct batch *b, struct loop *loop, struct store *store,
                  const struct store_op *ops, size_t count,
                  void (*done)(struct batch *b, hardy_status status), void *ctx) {
    prepare(b, loop, done, ctx);
    store_submit(store, ops, count, on_stored, b);
}

void batch_refuse(struct batch *b, struct loop *loop, hardy_status status, const char *why,
                  void (*done)(struct batch *b, hardy_status status), void *ctx) {
    prepare(b, loop, done, ctx);
    on_stored(b, fail(&b->error, status, NULL, "%s", why), -1, &b->error);
}
