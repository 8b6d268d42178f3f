/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/slot.h"
#include "base/error.h"
#include "cli/say.h"
#include <unistd.h>

/* Who waits looks again after this long, doubled up to the second one. */
#define LOOK_FIRST (5 * HARDY_MILLISECOND)
#define LOOK_LAST (100 * HARDY_MILLISECOND)

/* Whether the breaker would refuse anyway: then there is nothing to wait for. */
static bool breaker_refuses(const struct slot_wait *w) {
    const hardy_guard_config *config = &w->plan->settings.config;
    int64_t at;
    return w->plan->slot.breaker && config->breaker && !config->wait_when_open &&
           !breaker_peek(w->plan->slot.breaker, config->breaker, loop_now(w->loop), &at);
}

static void look(struct loop_timer *timer) {
    struct slot_wait *w = timer->ctx;
    const struct exec_plan *plan = w->plan;
    int64_t now = loop_now(w->loop);
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = HARDY_OK;
    if (plan->max_concurrent > 0 && !breaker_refuses(w)) {
        status = host_take_slot(plan->host, &plan->slot, plan->max_concurrent, &w->fd, &error);
    }
    if (status == HARDY_E_FULL && !plan->settings.rate.reject) {
        if (now < w->deadline) {
            if (!w->told) {
                say(plan->o, HARDY_LOG_INFO, "waiting for one of the %u slots of %s",
                    plan->max_concurrent, plan->name);
            }
            w->told = true;
            int64_t next = hardy_time_add(now, w->look);
            loop_timer_start(w->loop, timer, next < w->deadline ? next : w->deadline);
            w->look = w->look < LOOK_LAST ? 2 * w->look : w->look;
            return;
        }
        status = fail(&error, HARDY_E_DEADLINE, NULL, "all %u slots of %s stay taken",
                      plan->max_concurrent, plan->name);
    }
    w->done(w->ctx, status, &error);
}

void slot_wait_start(struct slot_wait *w, const struct exec_plan *plan, struct loop *loop,
                     int64_t deadline,
                     void (*done)(void *ctx, hardy_status status, const hardy_error *error),
                     void *ctx) {
    *w = (struct slot_wait){.plan = plan,
                            .loop = loop,
                            .deadline = deadline,
                            .look = LOOK_FIRST,
                            .fd = -1,
                            .done = done,
                            .ctx = ctx};
    loop_timer_init(&w->timer, look, w);
    loop_timer_start(loop, &w->timer, loop_now(loop));
}

void slot_wait_end(struct slot_wait *w) {
    if (w->loop) {
        loop_timer_stop(w->loop, &w->timer);
        if (w->fd >= 0) {
            close(w->fd);
        }
        w->loop = NULL;
    }
}
