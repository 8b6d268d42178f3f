/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"
#include "base/log.h"
#include "base/prng.h"
#include "io/loop_impl.h"
#include <stdlib.h>
#include <string.h>

void loop_init(struct loop *loop, const struct loop_ops *ops, uint64_t seed) {
    loop->ops = ops;
    heap_init(&loop->timers);
    word_store(&loop->posts, 0);
    loop->taken = NULL;
    loop->seed = seed;
    word_store(&loop->drawn, 0);
}

void loop_close(struct loop *loop) {
    heap_free(&loop->timers);
}

void loop_free(struct loop *loop) {
    if (loop) {
        loop->ops->free(loop);
    }
}

int64_t loop_now(struct loop *loop) {
    return loop->ops->now(loop);
}

int64_t loop_clock(struct loop *loop) {
    return loop->ops->clock(loop);
}

int64_t loop_wall(struct loop *loop) {
    return loop->ops->wall(loop);
}

/* The n-th number of a counter, well mixed: any thread may draw, and one thread's run repeats. */
uint64_t loop_random(struct loop *loop) {
    return prng_mix(loop->seed + word_add(&loop->drawn, 1) * UINT64_C(0x9E3779B97F4A7C15));
}

static uint64_t env_random(void *ctx) {
    return loop_random(ctx);
}

static void env_log(void *ctx, hardy_log_level level, const char *line) {
    (void)ctx;
    log_event(level, line, NULL);
}

hardy_env loop_env(struct loop *loop) {
    return (hardy_env){.size = sizeof(hardy_env),
                       .ctx = loop,
                       .now = loop->ops->env_now,
                       .wall = loop->ops->env_wall,
                       .random = env_random,
                       .log = env_log};
}

void loop_run(struct loop *loop) {
    loop->ops->run(loop);
}

void loop_stop(struct loop *loop) {
    loop->ops->stop(loop);
}

void loop_timer_init(struct loop_timer *timer, void (*fn)(struct loop_timer *), void *ctx) {
    *timer = (struct loop_timer){.fn = fn, .ctx = ctx};
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t at) {
    heap_remove(&loop->timers, &timer->node);
    if (at == HARDY_NEVER) {
        return;
    }
    /* A past time counts as now: a timer that is armed for the past again and again must not push
     * itself before the others for ever. */
    int64_t now = loop_now(loop);
    timer->outside = loop->ops->outside && loop->ops->outside(loop);
    if (heap_insert(&loop->timers, &timer->node, at > now ? at : now) != HARDY_OK) {
        /* A timer that is lost is a wait that never ends. */
        log_event(HARDY_LOG_ERROR, "out of memory for a timer", NULL);
        abort();
    }
}

void loop_timer_start_by(struct loop *loop, struct loop_timer *timer, int64_t at) {
    if (!heap_contains(&timer->node) || timer->node.at > at) {
        loop_timer_start(loop, timer, at);
    }
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer) {
    heap_remove(&loop->timers, &timer->node);
}

void loop_post(struct loop *loop, struct loop_post *post) {
    post->outside = loop->ops->outside && loop->ops->outside(loop);
    uint64_t head = word_load(&loop->posts);
    do {
        post->next = (struct loop_post *)(uintptr_t)head;
    } while (!word_cas(&loop->posts, &head, (uint64_t)(uintptr_t)post));
    loop->ops->posted(loop);
}

bool loop_has_posts(const struct loop *loop) {
    return loop->taken || word_load(&loop->posts) != 0;
}

void loop_posts_due(struct loop *loop) {
    struct loop_post *newest = (struct loop_post *)(uintptr_t)word_exchange(&loop->posts, 0);
    struct loop_post *due = NULL;
    while (newest) {
        struct loop_post *older = newest->next;
        newest->next = due;
        due = newest;
        newest = older;
    }
    struct loop_post **end = &loop->taken;
    while (*end) {
        end = &(*end)->next;
    }
    *end = due;
}

struct loop_post *loop_next_post(struct loop *loop) {
    struct loop_post *post = loop->taken;
    if (post) {
        loop->taken = post->next;
    }
    return post;
}

void loop_hold(struct loop *loop) {
    loop->ops->hold(loop, 1);
}

void loop_release(struct loop *loop) {
    loop->ops->hold(loop, -1);
}

hardy_status loop_work(struct loop *loop, struct loop_work *work) {
    return loop->ops->work(loop, work);
}

hardy_status loop_work_apart(struct loop *loop, struct loop_work *work) {
    return loop->ops->work_apart(loop, work);
}

void loop_work_leave(struct loop *loop, struct loop_work *work, void (*gone)(struct loop_work *)) {
    loop->ops->work_leave(work, gone);
}

struct loop_signal *loop_signal_start(struct loop *loop, int signum, void (*fn)(void *, int),
                                      void *ctx) {
    return loop->ops->signal_start(loop, signum, fn, ctx);
}

void loop_signal_stop(struct loop_signal *signal) {
    if (signal) {
        signal->loop->ops->signal_stop(signal);
    }
}

struct loop_watch *loop_watch_start(struct loop *loop, int fd, void (*fn)(void *), void *ctx) {
    return loop->ops->watch_start(loop, fd, fn, ctx);
}

void loop_watch_pause(struct loop_watch *watch, bool pause) {
    watch->loop->ops->watch_pause(watch, pause);
}

void loop_watch_stop(struct loop_watch *watch) {
    if (watch) {
        watch->loop->ops->watch_stop(watch);
    }
}

const char *close_reason_text(enum close_reason reason) {
    switch (reason) {
    case CLOSE_LOCAL:
        return "closed here";
    case CLOSE_EOF:
        return "closed by the far side";
    case CLOSE_REFUSED:
        return "connection refused";
    case CLOSE_RESET:
        return "connection reset";
    case CLOSE_UNREACHABLE:
        return "unreachable";
    case CLOSE_RESOLVE:
        return "name not resolved";
    case CLOSE_TIMEOUT:
        return "timed out";
    case CLOSE_TOO_LARGE:
        return "too large";
    case CLOSE_PROTOCOL:
        return "protocol broken";
    case CLOSE_TLS:
        return "TLS failed";
    case CLOSE_SHUTDOWN:
        return "shutting down";
    case CLOSE_ERROR:
        break;
    }
    return "input or output error";
}

struct stream *stream_connect(struct loop *loop, const char *host, uint16_t port,
                              const struct stream_events *events, void *ctx) {
    return loop->ops->stream_connect(loop, host, port, events, ctx);
}

bool stream_write(struct stream *s, const void *data, size_t len) {
    return stream_writev(s, &(struct stream_piece){data, len}, 1);
}

bool stream_writev(struct stream *s, const struct stream_piece *pieces, size_t count) {
    return s->loop->ops->stream_write(s, pieces, count);
}

size_t stream_unsent(const struct stream *s) {
    return s->loop->ops->stream_unsent(s);
}

void stream_read_pause(struct stream *s) {
    s->loop->ops->stream_read_pause(s, true);
}

void stream_read_resume(struct stream *s) {
    s->loop->ops->stream_read_pause(s, false);
}

void stream_close(struct stream *s, enum close_reason reason) {
    s->loop->ops->stream_close(s, reason);
}

void stream_set_events(struct stream *s, const struct stream_events *events, void *ctx) {
    s->events = events;
    s->ctx = ctx;
}

const char *stream_peer(const struct stream *s) {
    return s->loop->ops->stream_peer(s);
}

struct listener *listener_open(struct loop *loop, const char *host, uint16_t port,
                               const struct listener_events *events, void *ctx,
                               hardy_error *error) {
    return loop->ops->listener_open(loop, host, port, events, ctx, error);
}

uint16_t listener_port(const struct listener *l) {
    return l->loop->ops->listener_port(l);
}

void listener_close(struct listener *l) {
    if (l) {
        l->loop->ops->listener_close(l);
    }
}

void process_options_init(struct process_options *o) {
    *o = (struct process_options){.stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
}

hardy_status process_start(struct loop *loop, const struct process_options *options,
                           const struct process_events *events, void *ctx, struct process **out,
                           hardy_error *error) {
    return loop->ops->process_start(loop, options, events, ctx, out, error);
}

int process_pid(const struct process *p) {
    return p->pid;
}

void process_signal(struct process *p, int signum) {
    p->loop->ops->process_signal(p, signum);
}

void process_pause_output(struct process *p, bool pause) {
    p->loop->ops->process_pause_output(p, pause);
}

void process_free(struct process *p) {
    if (p) {
        p->loop->ops->process_free(p);
    }
}

void process_adopt_orphans(struct loop *loop) {
    loop->ops->process_adopt_orphans(loop);
}

hardy_status process_identify(struct loop *loop, int pid, struct process_identity *out) {
    return loop->ops->process_identify(loop, pid, out);
}

hardy_status process_attach(struct loop *loop, const struct process_identity *who,
                            const struct process_events *events, void *ctx, struct process **out,
                            hardy_error *error) {
    return loop->ops->process_attach(loop, who, events, ctx, out, error);
}

void process_signal_itself(struct process *p, int signum) {
    p->loop->ops->process_signal_itself(p, signum);
}

size_t process_family_signal(struct loop *loop, const struct process_family *family, int signum) {
    return loop->ops->process_family_signal(loop, family, signum);
}

bool process_find(struct loop *loop, const char *mark, struct process_identity *out, char *rest,
                  size_t size) {
    return loop->ops->process_find(loop, mark, out, rest, size);
}

hardy_status shim_lock(struct loop *loop, const char *base, int *lock_fd, hardy_error *error) {
    return loop->ops->shim_lock(loop, base, lock_fd, error);
}

void shim_unlock(struct loop *loop, int lock_fd) {
    loop->ops->shim_unlock(loop, lock_fd);
}

hardy_status shim_look(struct loop *loop, const char *base, const char *boot_id,
                       enum shim_state *state, struct shim_result *result, hardy_error *error) {
    return loop->ops->shim_look(loop, base, boot_id, state, result, error);
}

void shim_result_free(struct shim_result *result) {
    buf_free(&result->output);
}

void shim_forget(struct loop *loop, const char *base) {
    loop->ops->shim_forget(loop, base);
}

hardy_status shim_start(struct loop *loop, const struct shim_options *options,
                        const struct shim_events *events, void *ctx, struct shim **out,
                        hardy_error *error) {
    return loop->ops->shim_start(loop, options, events, ctx, out, error);
}

hardy_status shim_attach(struct loop *loop, const char *base, const struct shim_events *events,
                         void *ctx, struct shim **out, hardy_error *error) {
    return loop->ops->shim_attach(loop, base, events, ctx, out, error);
}

void shim_cancel(struct shim *s) {
    s->loop->ops->shim_cancel(s);
}

void shim_free(struct shim *s) {
    if (s) {
        s->loop->ops->shim_free(s);
    }
}
