/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop_sim.h"
#include "base/clock.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>

#define BEGIN HARDY_HOUR
#define WALL_BEGIN (INT64_C(1767225600) * HARDY_SECOND) /* 2026-01-01 */

struct signal_sim {
    struct loop_signal base;
    struct list link;
    struct loop_timer timer;
    int signum;
    unsigned pending;
    bool outside;
    void (*fn)(void *ctx, int signum);
    void *ctx;
};
struct work_sim {
    struct list link;
    struct loop_timer timer;
    struct loop_work *work;
    struct loop_sim *world;
};

void sim_options_init(struct sim_options *o) {
    *o = (struct sim_options){.seed = 1,
                              .latency_min = HARDY_MILLISECOND,
                              .latency_max = HARDY_MILLISECOND,
                              .end = HARDY_HOUR};
}

void sim_arm(struct loop_sim *w, struct loop_timer *timer, int64_t at) {
    bool before = sim_enter(w, true);
    loop_timer_start(&w->base, timer, at);
    sim_enter(w, before);
}

bool sim_enter(struct loop_sim *w, bool outside) {
    bool before = w->outside;
    w->outside = outside;
    return before;
}

void sim_outside(struct loop *loop, bool outside) {
    sim_of(loop)->outside = outside;
}

void sim_trace(struct loop_sim *w, const char *what, uint64_t a, uint64_t b) {
    uint64_t h = w->report.hash;
    for (const char *c = what; *c; c++) {
        h = (h ^ (uint8_t)*c) * UINT64_C(0x100000001B3);
    }
    h = prng_mix(h ^ (uint64_t)w->now);
    h = prng_mix(h ^ a);
    w->report.hash = prng_mix(h ^ b);
}

bool sim_chance(struct loop_sim *w, double probability) {
    return probability > 0 && prng_unit(&w->faults) < probability;
}

int64_t sim_between(struct loop_sim *w, int64_t low, int64_t high) {
    return prng_range(prng_next(&w->faults), low, high);
}

static int64_t now_sim(struct loop *loop) {
    return sim_of(loop)->now;
}

static int64_t wall_sim(struct loop *loop) {
    return WALL_BEGIN + sim_of(loop)->now + sim_of(loop)->wall_set;
}

void sim_set_wall(struct loop *loop, int64_t by) {
    struct loop_sim *w = sim_of(loop);
    w->wall_set += by;
    sim_trace(w, "wall", (uint64_t)by, 0);
}

static int64_t env_now_sim(void *loop) {
    return now_sim(loop);
}

static int64_t env_wall_sim(void *loop) {
    return wall_sim(loop);
}

static bool outside_sim(struct loop *loop) {
    return sim_of(loop)->outside;
}

static void posted_sim(struct loop *loop) {
    (void)loop;
}

static void hold_sim(struct loop *loop, int change) {
    struct loop_sim *w = sim_of(loop);
    if (!w->outside) { /* the world waits for nobody */
        w->holds += change;
    }
}

static void stop_sim(struct loop *loop) {
    sim_of(loop)->stopped = true;
}

/* --- the run --- */

/* One post or one timer. False: there is none, or the end has come. */
static bool next_event(struct loop_sim *w) {
    struct loop *loop = &w->base;
    if (!loop->taken) {
        loop_posts_due(loop);
    }
    struct loop_post *post = loop_next_post(loop);
    if (post) {
        sim_trace(w, "post", post->outside, 0);
        w->outside = post->outside;
        post->fn(post);
        return true;
    }
    struct heap_node *node = heap_min(&loop->timers);
    if (!node) {
        w->report.stuck = w->holds > 0;
        return false;
    }
    int64_t end = time_add(w->start, w->options.end);
    if (node->at > end) {
        w->now = end;
        w->over = true;
        return false;
    }
    struct loop_timer *timer = (struct loop_timer *)node;
    w->now = node->at > w->now ? node->at : w->now;
    sim_trace(w, "timer", timer->outside, 0);
    heap_remove(&loop->timers, node);
    w->outside = timer->outside;
    timer->fn(timer);
    return true;
}

static void run_sim(struct loop *loop) {
    struct loop_sim *w = sim_of(loop);
    bool before = w->outside;
    w->report.stuck = false;
    while (!w->stopped && !w->over && !w->report.broken && next_event(w)) {
        w->report.events++;
        if (w->invariant && !w->invariant(w->invariant_ctx)) {
            w->report.broken = true;
        }
    }
    w->stopped = false;
    w->outside = before;
}

/* --- signals and work --- */

static void on_signal(struct loop_timer *timer) {
    struct signal_sim *s = timer->ctx;
    struct loop_sim *w = sim_of(s->base.loop);
    s->pending--;
    if (s->pending > 0) {
        sim_arm(w, timer, w->now);
    }
    sim_enter(w, s->outside);
    s->fn(s->ctx, s->signum);
}

static struct loop_signal *signal_start_sim(struct loop *loop, int signum, void (*fn)(void *, int),
                                            void *ctx) {
    struct signal_sim *s = calloc(1, sizeof *s);
    if (!s) {
        return NULL;
    }
    s->base.loop = loop;
    s->signum = signum;
    s->outside = sim_of(loop)->outside;
    s->fn = fn;
    s->ctx = ctx;
    loop_timer_init(&s->timer, on_signal, s);
    list_append(&sim_of(loop)->signals, &s->link);
    return &s->base;
}

static void signal_stop_sim(struct loop_signal *signal) {
    struct signal_sim *s = (struct signal_sim *)signal;
    loop_timer_stop(s->base.loop, &s->timer);
    list_remove(&s->link);
    free(s);
}

void sim_raise(struct loop *loop, int signum) {
    struct loop_sim *w = sim_of(loop);
    for (struct list *i = w->signals.next; i != &w->signals; i = i->next) {
        struct signal_sim *s = LIST_ITEM(i, struct signal_sim, link);
        if (s->signum == signum && !s->outside && s->pending++ == 0) {
            sim_arm(w, &s->timer, w->now);
        }
    }
}

static void work_free(struct work_sim *job) {
    loop_timer_stop(&job->world->base, &job->timer);
    list_remove(&job->link);
    free(job);
}

static void on_work(struct loop_timer *timer) {
    struct work_sim *job = timer->ctx;
    struct loop_work *work = job->work;
    sim_enter(job->world, work->outside);
    work_free(job);
    work->internal = NULL;
    work->fn(work);
    work->done(work);
}

static hardy_status work_sim(struct loop *loop, struct loop_work *work) {
    struct loop_sim *w = sim_of(loop);
    struct work_sim *job = calloc(1, sizeof *job);
    if (!job) {
        return HARDY_E_NOMEM;
    }
    job->work = work;
    job->world = w;
    work->internal = job;
    work->outside = w->outside;
    list_append(&w->works, &job->link);
    loop_timer_init(&job->timer, on_work, job);
    sim_arm(w, &job->timer, w->now + sim_between(w, 0, HARDY_MILLISECOND));
    return HARDY_OK;
}

static void work_leave_sim(struct loop_work *work, void (*gone)(struct loop_work *)) {
    work_free(work->internal);
    gone(work);
}

static struct loop_watch *watch_start_sim(struct loop *loop, int fd, void (*fn)(void *),
                                          void *ctx) {
    (void)loop;
    (void)fd;
    (void)fn;
    (void)ctx;
    return NULL; /* the kernel's descriptors are not of this world */
}

static void watch_pause_sim(struct loop_watch *watch, bool pause) {
    (void)watch;
    (void)pause;
}

static void watch_stop_sim(struct loop_watch *watch) {
    (void)watch;
}

/* --- kill -9 --- */

static void drop_timers(struct loop_sim *w) {
    struct heap *h = &w->base.timers;
    size_t count = 0;
    struct heap_node **gone = calloc(h->count + 1, sizeof(struct heap_node *));
    if (!gone) {
        abort(); /* a simulation that goes on half killed proves nothing */
    }
    for (size_t i = 0; i < h->count; i++) {
        if (!((struct loop_timer *)h->entries[i].node)->outside) {
            gone[count++] = h->entries[i].node;
        }
    }
    while (count > 0) {
        heap_remove(h, gone[--count]);
    }
    free(gone);
}

static void drop_posts(struct loop_sim *w) {
    loop_posts_due(&w->base);
    struct loop_post **at = &w->base.taken;
    while (*at) {
        if ((*at)->outside) {
            at = &(*at)->next;
        } else {
            *at = (*at)->next;
        }
    }
}

/* The program's own things; at the loop's end all things. */
static void drop(struct loop_sim *w, bool all) {
    struct list *next;
    for (struct list *i = w->signals.next; i != &w->signals; i = next) {
        struct signal_sim *s = LIST_ITEM(i, struct signal_sim, link);
        next = i->next;
        if (all || !s->outside) {
            signal_stop_sim(&s->base);
        }
    }
    for (struct list *i = w->works.next; i != &w->works; i = next) {
        struct work_sim *job = LIST_ITEM(i, struct work_sim, link);
        next = i->next;
        if (all || !job->work->outside) {
            work_free(job);
        }
    }
    stream_sim_drop(w, all);
    shim_sim_drop(w, all);
    process_sim_drop(w, all);
}

static void on_kill(struct loop_timer *timer) {
    struct loop_sim *w = timer->ctx;
    sim_trace(w, "kill", 0, 0);
    w->report.killed++;
    w->holds = 0;
    drop_timers(w);
    drop_posts(w);
    drop(w, false);
    if (w->restart) {
        sim_enter(w, false);
        w->restart(w->restart_ctx);
    }
}

void sim_kill_at(struct loop *loop, int64_t at, void (*restart)(void *ctx), void *ctx) {
    struct loop_sim *w = sim_of(loop);
    w->restart = restart;
    w->restart_ctx = ctx;
    sim_arm(w, &w->kill, at);
}

static void free_sim(struct loop *loop) {
    struct loop_sim *w = sim_of(loop);
    loop_timer_stop(loop, &w->kill);
    drop(w, true);
    loop_close(loop);
    free(w);
}

void sim_invariant(struct loop *loop, bool (*fn)(void *ctx), void *ctx) {
    struct loop_sim *w = sim_of(loop);
    w->invariant = fn;
    w->invariant_ctx = ctx;
}

void sim_report(const struct loop *loop, struct sim_report *out) {
    const struct loop_sim *w = (const struct loop_sim *)loop;
    *out = w->report;
    out->simulated = w->now - w->start;
}

static const struct loop_ops ops = {
    .free = free_sim,
    .now = now_sim,
    .clock = now_sim,
    .wall = wall_sim,
    .env_now = env_now_sim,
    .env_wall = env_wall_sim,
    .run = run_sim,
    .stop = stop_sim,
    .hold = hold_sim,
    .posted = posted_sim,
    .outside = outside_sim,
    .work = work_sim,
    .work_apart = work_sim,
    .work_leave = work_leave_sim,
    .signal_start = signal_start_sim,
    .signal_stop = signal_stop_sim,
    .watch_start = watch_start_sim,
    .watch_pause = watch_pause_sim,
    .watch_stop = watch_stop_sim,
    .stream_connect = stream_sim_connect,
    .stream_write = stream_sim_write,
    .stream_unsent = stream_sim_unsent,
    .stream_read_pause = stream_sim_read_pause,
    .stream_close = stream_sim_close,
    .stream_peer = stream_sim_peer,
    .listener_open = listener_sim_open,
    .listener_port = listener_sim_port,
    .listener_close = listener_sim_close,
    .process_start = process_sim_start,
    .process_signal = process_sim_signal,
    .process_pause_output = process_sim_pause_output,
    .process_free = process_sim_free,
    .process_adopt_orphans = process_sim_adopt_orphans,
    .process_identify = process_sim_identify,
    .process_attach = process_sim_attach,
    .process_signal_itself = process_sim_signal_itself,
    .process_family_signal = process_sim_family_signal,
    .process_find = process_sim_find,
    .shim_lock = shim_sim_lock,
    .shim_unlock = shim_sim_unlock,
    .shim_look = shim_sim_look,
    .shim_forget = shim_sim_forget,
    .shim_start = shim_sim_start,
    .shim_attach = shim_sim_attach,
    .shim_cancel = shim_sim_cancel,
    .shim_free = shim_sim_free,
};

struct loop *loop_sim_new(const struct sim_options *options, hardy_error *error) {
    struct loop_sim *w = calloc(1, sizeof *w);
    if (!w) {
        (void)fail(error, HARDY_E_NOMEM, NULL, "no memory for a simulated world");
        return NULL;
    }
    loop_init(&w->base, &ops, prng_mix(options->seed));
    w->options = *options;
    w->now = w->start = BEGIN;
    w->next_port = 40000;
    prng_seed(&w->faults, options->seed);
    loop_timer_init(&w->kill, on_kill, w);
    struct list *lists[] = {&w->signals,   &w->works,   &w->streams, &w->listeners, &w->programs,
                            &w->processes, &w->handles, &w->steps,   &w->shims};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        list_init(lists[i]);
    }
    return &w->base;
}
