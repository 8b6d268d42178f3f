/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
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
    bool changed = check_state_add(&w->state, w->check, result, message, took, loop_wall(h->loop));
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
        loop_timer_init(&w->timer, on_due, w);
        loop_timer_start(loop, &w->timer, loop_now(loop));
    }
    return h;
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

void health_stop(struct health *h) {
    for (size_t i = 0; i < h->count; i++) {
        loop_timer_stop(h->loop, &h->checks[i].timer);
        if (h->checks[i].probe)
            check_probe_cancel(h->checks[i].probe);
    }
    free(h->checks);
    free(h);
}

static const char *status_word(const struct watched *w) {
    if (w->state.level == LEVEL_UP)
        return w->state.last == CHECK_PASS ? "pass" : "warn";
    return w->check->critical ? "fail" : "warn";
}

static void put_check(struct json_out *j, const struct watched *w, int64_t wall) {
    char text[40];
    json_out_key(j, w->check->name);
    json_out_array(j);
    json_out_object(j);
    json_out_key(j, "status");
    json_out_string(j, status_word(w));
    if (w->state.last_at) {
        json_out_key(j, "observedValue");
        json_out_double(j, (double)w->state.took / (double)HARDY_SECOND);
        json_out_key(j, "observedUnit");
        json_out_string(j, "s");
        json_out_key(j, "time");
        clock_format_wall(w->state.last_at, text);
        json_out_string(j, text);
        json_out_key(j, "age");
        json_out_double(j, (double)(wall - w->state.last_at) / (double)HARDY_SECOND);
    }
    json_out_key(j, "output");
    json_out_string(j, w->state.last_at ? w->state.message : "has not run yet");
    json_out_object_end(j);
    json_out_array_end(j);
}

void health_take_over(struct health *h, const struct health *from) {
    for (size_t i = 0; i < h->count; i++) {
        const struct check_state *known = health_find(from, h->checks[i].check->name, NULL);
        if (known) {
            h->checks[i].state = *known;
        }
    }
}

void health_report(const struct health *h, const char *objection, bool details, struct buf *out,
                   bool *ready) {
    struct json_out j;
    size_t count = h ? h->count : 0;
    bool failed = objection != NULL, warned = false;
    for (size_t i = 0; i < count; i++) {
        const struct watched *w = &h->checks[i];
        failed |= str_eq(status_word(w), "fail");
        warned |= str_eq(status_word(w), "warn");
    }
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_key(&j, "status");
    json_out_string(&j, failed ? "fail" : warned ? "warn" : "pass");
    if (details && objection) {
        json_out_key(&j, "output");
        json_out_string(&j, objection);
    }
    if (details && count > 0) {
        json_out_key(&j, "checks");
        json_out_object(&j);
        for (size_t i = 0; i < count; i++)
            put_check(&j, &h->checks[i], loop_wall(h->loop));
        json_out_object_end(&j);
    }
    json_out_object_end(&j);
    *ready = !failed;
}
