/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "health/check.h"
#include <stdlib.h>

/* One check that runs by itself. */
struct watched {
    struct health *owner;
    const struct check_settings *check;
    struct check_state state;
    struct check_probe *probe;
    struct loop_timer timer;
    int64_t next;
};

struct health {
    struct loop *loop;
    struct http_client *client;
    const struct health_events *events;
    void *ctx;
    struct watched *checks;
    size_t count;
};

static void on_done(void *ctx, enum check_result result, const char *message, int64_t took) {
    struct watched *w = ctx;
    struct health *h = w->owner;
    w->probe = NULL;
    loop_timer_start(h->loop, &w->timer, w->next);
    bool changed = check_state_add(&w->state, w->check, result, message, took, loop_now(h->loop),
                                   loop_wall(h->loop));
    if (h->events->result)
        h->events->result(h->ctx, w->check, &w->state, changed);
}

static void on_due(struct loop_timer *timer) {
    struct watched *w = timer->ctx;
    struct health *h = w->owner;
    w->next = time_add(loop_now(h->loop), w->check->interval);
    w->probe = check_probe_start(h->loop, h->client, w->check, on_done, w);
    if (!w->probe)
        loop_timer_start(h->loop, timer, w->next); /* no memory now: the next time then */
}

struct health *health_start(struct loop *loop, struct http_client *client,
                            const struct schema_list *checks, const struct health_events *events,
                            void *ctx, hardy_error *error) {
    const struct check_settings *settings = checks->items;
    struct health *h = calloc(1, sizeof *h);
    if (h)
        h->checks = calloc(checks->count + 1, sizeof *h->checks);
    if (!h || !h->checks) {
        free(h);
        fail(error, HARDY_E_NOMEM, NULL, "no memory for %zu checks", checks->count);
        return NULL;
    }
    h->loop = loop;
    h->client = client;
    h->events = events;
    h->ctx = ctx;
    h->count = checks->count;
    for (size_t i = 0; i < h->count; i++) {
        struct watched *w = &h->checks[i];
        w->owner = h;
        w->check = &settings[i];
        w->state.since = loop_wall(loop);
        w->state.watched_since = loop_now(loop);
        loop_timer_init(&w->timer, on_due, w);
        loop_timer_start(loop, &w->timer, loop_now(loop));
    }
    return h;
}

const struct check_state *health_at(const struct health *h, size_t n,
                                    const struct check_settings **settings) {
    if (n >= h->count)
        return NULL;
    *settings = h->checks[n].check;
    return &h->checks[n].state;
}

struct loop *health_loop(const struct health *h) {
    return h->loop;
}

const struct check_state *health_find(const struct health *h, const char *name,
                                      const struct check_settings **settings) {
    for (size_t i = 0; i < h->count; i++)
        if (str_eq(h->checks[i].check->name, name)) {
            if (settings)
                *settings = h->checks[i].check;
            return &h->checks[i].state;
        }
    return NULL;
}

void health_halt(struct health *h) {
    for (size_t i = 0; i < h->count; i++) {
        loop_timer_stop(h->loop, &h->checks[i].timer);
        if (h->checks[i].probe)
            check_probe_cancel(h->checks[i].probe);
        h->checks[i].probe = NULL;
    }
}

void health_stop(struct health *h) {
    health_halt(h);
    free(h->checks);
    free(h);
}

struct health *health_keep(const struct health *h) {
    struct health *kept = calloc(1, sizeof *kept);
    if (kept)
        kept->checks = calloc(h->count + 1, sizeof *kept->checks);
    if (!kept || !kept->checks) {
        free(kept);
        return NULL;
    }
    kept->loop = h->loop;
    kept->count = h->count;
    for (size_t i = 0; i < h->count; i++) {
        kept->checks[i] = (struct watched){
            .owner = kept, .check = h->checks[i].check, .state = h->checks[i].state};
        loop_timer_init(&kept->checks[i].timer, on_due, &kept->checks[i]);
    }
    return kept;
}

void health_take_over(struct health *h, const struct health *from) {
    for (size_t i = 0; i < h->count; i++) {
        const struct check_state *known = health_find(from, h->checks[i].check->name, NULL);
        if (known)
            h->checks[i].state = *known;
    }
}
