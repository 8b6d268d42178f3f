/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's loop. libuv waits for descriptors, signals and finished work; time and order are
 * ours. One turn: wait, what the kernel reported, posts, timers that are due. The clock is read
 * once a turn, at the first question after the wait.
 */
#include "io/loop_uv.h"
#include "base/clock.h"
#include "base/error.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* libuv waits on a clock that stops while the machine sleeps; ours goes on. Looking at it now and
 * then bounds how late a timer is after that. */
#define LONGEST_WAIT_MS 60000

struct signal_uv {
    struct loop_signal base;
    uv_signal_t handle;
    void (*fn)(void *ctx, int signum);
    void *ctx;
};
struct watch_uv {
    struct loop_watch base;
    uv_poll_t handle;
    void (*fn)(void *ctx);
    void *ctx;
};
struct work_uv {
    uv_work_t request;
    struct loop_work *work;
};

static uint64_t this_thread(void) {
    return (uint64_t)(uintptr_t)pthread_self();
}

static int64_t now_uv(struct loop *loop) {
    struct loop_uv *l = uv_of(loop);
    if (!l->now_known || word_load(&l->runner) == 0) {
        int64_t now = clock_now();
        l->now = now > l->now ? now : l->now;
        l->now_known = true;
    }
    return l->now;
}

static int64_t clock_uv(struct loop *loop) {
    int64_t now = clock_now(), turn = now_uv(loop);
    return now > turn ? now : turn;
}

static int64_t wall_uv(struct loop *loop) {
    (void)loop;
    return clock_wall();
}

static int64_t env_now_uv(void *loop) {
    (void)loop;
    return clock_now();
}

static int64_t env_wall_uv(void *loop) {
    (void)loop;
    return clock_wall();
}

static void on_wake(uv_timer_t *wake) {
    (void)wake; /* the wait is over: that is all */
}

static void on_async(uv_async_t *async) {
    (void)async;
}

static void arm_wake(struct loop_uv *l) {
    const struct heap_node *next = heap_min(&l->base.timers);
    uint64_t delay = 0;
    if (!loop_has_posts(&l->base)) {
        if (!next) {
            uv_timer_stop(&l->wake);
            return;
        }
        int64_t left = next->at - clock_now();
        int64_t ms = left > 0 ? left / HARDY_MILLISECOND + (left % HARDY_MILLISECOND != 0) : 0;
        delay = (uint64_t)(ms < LONGEST_WAIT_MS ? ms : LONGEST_WAIT_MS);
    }
    uv_timer_start(&l->wake, on_wake, delay, 0);
}

static void on_prepare(uv_prepare_t *prepare) {
    struct loop_uv *l = prepare->data;
    arm_wake(l);
    l->now_known = false;
}

/* What was posted or armed meanwhile has its turn next time, so that no two things that call one
 * another keep the rest waiting. */
static void run_due(struct loop_uv *l) {
    struct loop_post *post;
    loop_posts_due(&l->base);
    while (!l->stopped && (post = loop_next_post(&l->base)) != NULL) {
        post->fn(post);
    }
    uint64_t later = l->base.timers.sequence;
    int64_t now = now_uv(&l->base);
    struct heap_node *node;
    while (!l->stopped && (node = heap_min(&l->base.timers)) != NULL && node->at <= now &&
           node->sequence < later) {
        struct loop_timer *timer = (struct loop_timer *)node;
        heap_remove(&l->base.timers, node);
        timer->fn(timer);
    }
}

static void on_check(uv_check_t *check) {
    run_due(check->data);
}

static void run_uv(struct loop *loop) {
    struct loop_uv *l = uv_of(loop);
    word_store(&l->runner, this_thread());
    l->now_known = false;
    while (!l->stopped) {
        arm_wake(l);
        if (!uv_loop_alive(&l->uv)) {
            break;
        }
        uv_run(&l->uv, UV_RUN_DEFAULT);
    }
    l->stopped = false;
    word_store(&l->runner, 0);
}

static void stop_uv(struct loop *loop) {
    struct loop_uv *l = uv_of(loop);
    l->stopped = true;
    uv_stop(&l->uv);
}

static void hold_uv(struct loop *loop, int change) {
    struct loop_uv *l = uv_of(loop);
    l->holds += change;
    if (l->holds > 0) {
        uv_ref((uv_handle_t *)&l->async);
    } else {
        uv_unref((uv_handle_t *)&l->async);
    }
}

/* The loop's own thread looks at the posts before it waits: only others have to wake it. */
static void posted_uv(struct loop *loop) {
    struct loop_uv *l = uv_of(loop);
    if (word_load(&l->runner) != this_thread()) {
        uv_async_send(&l->async);
    }
}

static void on_work(uv_work_t *request) {
    struct loop_work *work = ((struct work_uv *)request->data)->work;
    work->fn(work);
}

static void on_work_done(uv_work_t *request, int status) {
    (void)status;
    struct work_uv *w = request->data;
    struct loop_work *work = w->work;
    free(w);
    work->internal = NULL;
    work->done(work);
}

static hardy_status work_uv(struct loop *loop, struct loop_work *work) {
    struct work_uv *w = calloc(1, sizeof *w);
    if (!w) {
        return HARDY_E_NOMEM;
    }
    w->work = work;
    w->request.data = w;
    work->internal = w;
    if (uv_queue_work(&uv_of(loop)->uv, &w->request, on_work, on_work_done) != 0) {
        free(w);
        return HARDY_E_NOMEM;
    }
    return HARDY_OK;
}

/* --- work in a thread of its own: after it is left, that thread alone owns it ------------------
 */

struct apart {
    struct loop *loop;
    struct loop_work *work;
    struct loop_post post;
    void (*gone)(struct loop_work *work); /* not NULL: it was left while it ran */
    bool posted, left;
};

/* Between a thread that ends and a loop that leaves it: of several threads only one is asked which.
 */
static pthread_mutex_t apart_lock = PTHREAD_MUTEX_INITIALIZER;

static void on_apart_done(struct loop_post *post) {
    struct apart *a = post->ctx;
    struct loop_work *work = a->work;
    bool left = a->left;
    if (!left) {
        loop_release(a->loop);
    }
    free(a);
    if (!left) {
        work->internal = NULL;
        work->done(work);
    }
}

static void *apart_main(void *ctx) {
    struct apart *a = ctx;
    a->work->fn(a->work);
    pthread_mutex_lock(&apart_lock);
    struct loop_work *work = a->work;
    void (*gone)(struct loop_work *) = a->gone;
    if (!a->left) {
        a->posted = true;
        loop_post(a->loop, &a->post); /* which may free it at once */
    }
    pthread_mutex_unlock(&apart_lock);
    if (gone) {
        free(a);
        gone(work);
    }
    return NULL;
}

static hardy_status work_apart_uv(struct loop *loop, struct loop_work *work) {
    struct apart *a = calloc(1, sizeof *a);
    pthread_t thread;
    sigset_t all, before;
    if (!a) {
        return HARDY_E_NOMEM;
    }
    *a = (struct apart){.loop = loop, .work = work};
    a->post = (struct loop_post){.fn = on_apart_done, .ctx = a};
    work->internal = a;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
    int failed = pthread_create(&thread, NULL, apart_main, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        free(a);
        return HARDY_E_NOMEM;
    }
    pthread_detach(thread);
    loop_hold(loop);
    return HARDY_OK;
}

static void work_leave_uv(struct loop_work *work, void (*gone)(struct loop_work *)) {
    struct apart *a = work->internal;
    loop_release(a->loop);
    pthread_mutex_lock(&apart_lock);
    bool ended = a->posted;
    a->left = true;
    a->gone = ended ? NULL : gone; /* which the thread calls; from here on it may free both */
    pthread_mutex_unlock(&apart_lock);
    if (ended) {
        gone(work);
    }
}

static void on_signal(uv_signal_t *handle, int signum) {
    struct signal_uv *s = handle->data;
    s->fn(s->ctx, signum);
}

static void on_data_closed(uv_handle_t *handle) {
    free(handle->data);
}

static struct loop_signal *signal_start_uv(struct loop *loop, int signum, void (*fn)(void *, int),
                                           void *ctx) {
    struct signal_uv *s = calloc(1, sizeof *s);
    if (!s) {
        return NULL;
    }
    s->base.loop = loop;
    s->fn = fn;
    s->ctx = ctx;
    s->handle.data = s;
    uv_signal_init(&uv_of(loop)->uv, &s->handle);
    if (uv_signal_start(&s->handle, on_signal, signum) != 0) {
        uv_close((uv_handle_t *)&s->handle, on_data_closed);
        return NULL;
    }
    uv_unref((uv_handle_t *)&s->handle);
    return &s->base;
}

static void signal_stop_uv(struct loop_signal *signal) {
    struct signal_uv *s = (struct signal_uv *)signal;
    uv_close((uv_handle_t *)&s->handle, on_data_closed);
}

static void on_watch(uv_poll_t *handle, int status, int events) {
    struct watch_uv *w = handle->data;
    (void)status; /* an error is found by whoever reads */
    (void)events;
    w->fn(w->ctx);
}

static struct loop_watch *watch_start_uv(struct loop *loop, int fd, void (*fn)(void *), void *ctx) {
    struct watch_uv *w = calloc(1, sizeof *w);
    if (!w) {
        return NULL;
    }
    w->base.loop = loop;
    w->fn = fn;
    w->ctx = ctx;
    w->handle.data = w;
    if (uv_poll_init(&uv_of(loop)->uv, &w->handle, fd) != 0) {
        free(w);
        return NULL;
    }
    if (uv_poll_start(&w->handle, UV_READABLE, on_watch) != 0) {
        uv_close((uv_handle_t *)&w->handle, on_data_closed);
        return NULL;
    }
    return &w->base;
}

static void watch_pause_uv(struct loop_watch *watch, bool pause) {
    struct watch_uv *w = (struct watch_uv *)watch;
    if (pause) {
        uv_poll_stop(&w->handle);
    } else {
        uv_poll_start(&w->handle, UV_READABLE, on_watch);
    }
}

static void watch_stop_uv(struct loop_watch *watch) {
    struct watch_uv *w = (struct watch_uv *)watch;
    uv_close((uv_handle_t *)&w->handle, on_data_closed);
}

static void close_left(uv_handle_t *handle, void *ctx) {
    (void)ctx;
    if (!uv_is_closing(handle)) {
        bool ours = handle->type == UV_POLL || (handle->type == UV_SIGNAL && handle->data);
        uv_close(handle, ours ? on_data_closed : NULL);
    }
}

static void free_uv(struct loop *loop) {
    struct loop_uv *l = uv_of(loop);
    l->closing = true;
    uv_prepare_stop(&l->prepare); /* no turns any more: posts and timers keep still */
    uv_check_stop(&l->check);
    stream_uv_close_all(l);
    process_uv_close_all(l);
    uv_walk(&l->uv, close_left, NULL);
    while (uv_loop_close(&l->uv) != 0) {
        uv_run(&l->uv, UV_RUN_ONCE);
    }
    loop_close(&l->base);
    free(l->buffer);
    free(l);
}

static const struct loop_ops ops = {
    .free = free_uv,
    .now = now_uv,
    .clock = clock_uv,
    .wall = wall_uv,
    .env_now = env_now_uv,
    .env_wall = env_wall_uv,
    .run = run_uv,
    .stop = stop_uv,
    .hold = hold_uv,
    .posted = posted_uv,
    .work = work_uv,
    .work_apart = work_apart_uv,
    .work_leave = work_leave_uv,
    .signal_start = signal_start_uv,
    .signal_stop = signal_stop_uv,
    .watch_start = watch_start_uv,
    .watch_pause = watch_pause_uv,
    .watch_stop = watch_stop_uv,
    .stream_connect = stream_uv_connect,
    .stream_write = stream_uv_write,
    .stream_unsent = stream_uv_unsent,
    .stream_read_pause = stream_uv_read_pause,
    .stream_close = stream_uv_close,
    .stream_peer = stream_uv_peer,
    .listener_open = listener_uv_open,
    .listener_port = listener_uv_port,
    .listener_close = listener_uv_close,
    .process_start = process_uv_start,
    .process_signal = process_uv_signal,
    .process_pause_output = process_uv_pause_output,
    .process_free = process_uv_free,
    .process_adopt_orphans = process_uv_adopt_orphans,
    .process_identify = process_uv_identify,
    .process_attach = process_uv_attach,
    .process_signal_itself = process_uv_signal_itself,
    .process_family_signal = process_uv_family_signal,
    .process_find = process_uv_find,
    .shim_lock = shim_uv_lock,
    .shim_unlock = shim_uv_unlock,
    .shim_look = shim_uv_look,
    .shim_forget = shim_uv_forget,
    .shim_start = shim_uv_start,
    .shim_attach = shim_uv_attach,
    .shim_cancel = shim_uv_cancel,
    .shim_free = shim_uv_free,
};

struct loop *loop_uv_new(hardy_error *error) {
    struct loop_uv *l = calloc(1, sizeof *l);
    char *buffer = malloc(READ_SIZE);
    if (!l || !buffer) {
        free(buffer);
        free(l);
        (void)fail(error, HARDY_E_NOMEM, NULL, "no memory for the event loop");
        return NULL;
    }
    int failed = uv_loop_init(&l->uv);
    if (failed) {
        (void)fail(error, HARDY_E_IO, NULL, "cannot start the event loop: %s", uv_strerror(failed));
        free(buffer);
        free(l);
        return NULL;
    }
    hardy_env system;
    hardy_env_system(&system, sizeof system);
    loop_init(&l->base, &ops, system.random(system.ctx));
    l->buffer = buffer;
    l->uv.data = l;
    list_init(&l->streams);
    list_init(&l->listeners);
    list_init(&l->processes.running);
    list_init(&l->processes.ended);
    uv_timer_init(&l->uv, &l->wake);
    failed = uv_async_init(&l->uv, &l->async, on_async);
    uv_prepare_init(&l->uv, &l->prepare);
    uv_check_init(&l->uv, &l->check);
    uv_signal_init(&l->uv, &l->processes.child);
    if (failed) {
        (void)fail(error, HARDY_E_IO, NULL, "cannot start the event loop: %s", uv_strerror(failed));
        free_uv(&l->base);
        return NULL;
    }
    l->prepare.data = l;
    l->check.data = l;
    uv_prepare_start(&l->prepare, on_prepare);
    uv_check_start(&l->check, on_check);
    uv_unref((uv_handle_t *)&l->async);
    uv_unref((uv_handle_t *)&l->prepare);
    uv_unref((uv_handle_t *)&l->check);
    return &l->base;
}
