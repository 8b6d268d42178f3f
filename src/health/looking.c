/* SPDX-License-Identifier: Apache-2.0 */
#include "health/looking.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "io/list.h"
#include <pthread.h>
#include <stdlib.h>

struct looking {
    struct list link; /* in `left` once it was */
    int64_t hangs_from;
    struct loop *loop;
    struct loop_work work;
    struct local_look look;
    void (*done)(void *ctx, const struct local_look *seen);
    void *ctx;
};

/* Of the process, for whoever asked may have gone, and threads end when they end. */
static struct list left = {&left, &left};
static pthread_mutex_t left_lock = PTHREAD_MUTEX_INITIALIZER;

static void free_looking(struct looking *l) {
    local_look_free(&l->look);
    free(l);
}

static void in_thread(struct loop_work *work) {
    struct looking *l = work->ctx;
    local_look(&l->look);
}

static void on_looked(struct loop_work *work) {
    struct looking *l = work->ctx;
    l->done(l->ctx, &l->look);
    free_looking(l);
}

static void on_gone(struct loop_work *work) {
    struct looking *l = work->ctx;
    pthread_mutex_lock(&left_lock);
    list_remove(&l->link);
    pthread_mutex_unlock(&left_lock);
    free_looking(l);
}

static bool hangs(const struct local_look *look) {
    bool found = false;
    pthread_mutex_lock(&left_lock);
    for (const struct list *at = left.next; at != &left && !found; at = at->next) {
        const struct looking *l = LIST_ITEM(at, const struct looking, link);
        found = look->now >= l->hangs_from && l->look.kind == look->kind &&
                str_eq(l->look.path, look->path);
    }
    pthread_mutex_unlock(&left_lock);
    return found;
}

hardy_status looking_start(struct loop *loop, const struct check_settings *what,
                           void (*done)(void *ctx, const struct local_look *seen), void *ctx,
                           struct looking **out, hardy_error *error) {
    struct looking *l = calloc(1, sizeof *l);
    if (!l)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory");
    l->loop = loop;
    l->hangs_from = time_add(loop_now(loop), what->timeout);
    l->work = (struct loop_work){.fn = in_thread, .done = on_looked, .ctx = l};
    l->done = done;
    l->ctx = ctx;
    hardy_status status = local_look_init(&l->look, what, loop_now(loop))
                              ? HARDY_OK
                              : fail(error, HARDY_E_NOMEM, NULL, "no memory");
    if (status == HARDY_OK && hangs(&l->look))
        status = fail(error, HARDY_E_FULL, NULL, "an earlier look at it still hangs");
    if (status == HARDY_OK && loop_work_apart(loop, &l->work) != HARDY_OK)
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory, or no thread, to look");
    if (status == HARDY_OK)
        *out = l;
    else
        free_looking(l);
    return status;
}

void looking_cancel(struct looking *l) {
    pthread_mutex_lock(&left_lock);
    list_append(&left, &l->link);
    pthread_mutex_unlock(&left_lock);
    loop_work_leave(l->loop, &l->work, on_gone);
}
