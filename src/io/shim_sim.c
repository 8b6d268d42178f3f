/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated steps: what the shim's files would say is kept in the world's memory, and the shim and
 * its command live there, whatever becomes of the program. */
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "io/file.h"
#include "io/loop_sim.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

struct step_sim {
    struct list link;
    struct loop_sim *world;
    char *base;
    int token;          /* of the program's copy of the lock; 0 = it has none */
    bool token_outside; /* whose copy it is */
    bool shim_lives;    /* holds the lock */
    bool begun, ended;
    struct shim_result result;
    struct sim_process *command;
    struct loop_timer deadline, kill, loss;
    int64_t kill_after;
};
struct shim_sim {
    struct shim base;
    struct list link;
    struct step_sim *step; /* NULL = there is none */
    struct loop_timer timer;
    bool outside;
};

static struct step_sim *find_step(struct loop_sim *w, const char *base) {
    for (struct list *i = w->steps.next; i != &w->steps; i = i->next) {
        struct step_sim *s = LIST_ITEM(i, struct step_sim, link);
        if (str_eq(s->base, base)) {
            return s;
        }
    }
    return NULL;
}

static bool held(const struct step_sim *s) {
    return s->token || s->shim_lives;
}

/* Whoever waits for this step learns that its lock is free. */
static void tell_waiting(struct loop_sim *w, const struct step_sim *step) {
    for (struct list *i = w->shims.next; i != &w->shims; i = i->next) {
        struct shim_sim *s = LIST_ITEM(i, struct shim_sim, link);
        if (s->step == step) {
            sim_arm(w, &s->timer, w->now);
        }
    }
}

static void step_over(struct step_sim *s, bool ended) {
    s->shim_lives = false;
    s->ended = ended;
    s->result.ended = loop_wall(&s->world->base);
    loop_timer_stop(&s->world->base, &s->deadline);
    loop_timer_stop(&s->world->base, &s->kill);
    loop_timer_stop(&s->world->base, &s->loss);
    tell_waiting(s->world, s);
}

static void clear(struct step_sim *s) {
    shim_result_free(&s->result);
    s->result = (struct shim_result){0};
    s->begun = s->ended = false;
}

static void step_free(struct step_sim *s) {
    if (s->command) {
        sim_process_orphan(s->command);
    }
    loop_timer_stop(&s->world->base, &s->deadline);
    loop_timer_stop(&s->world->base, &s->kill);
    loop_timer_stop(&s->world->base, &s->loss);
    clear(s);
    list_remove(&s->link);
    free(s->base);
    free(s);
}

/* --- the shim --- */

static void on_output(void *ctx, int fd, const char *data, size_t len) {
    struct step_sim *s = ctx;
    if (fd == 1) {
        size_t room = s->result.output.max - s->result.output.len;
        s->result.truncated = s->result.truncated || len > room;
        (void)buf_append(&s->result.output, data, len < room ? len : room);
    }
}

static void on_exited(void *ctx, int code, int signal) {
    struct step_sim *s = ctx;
    s->command = NULL;
    s->result.code = code;
    s->result.signal = signal;
    step_over(s, true);
}

static void on_kill(struct loop_timer *timer) {
    struct step_sim *s = timer->ctx;
    if (s->command) {
        sim_process_signal(s->command, SIGKILL);
    }
}

static void end_command(struct step_sim *s) {
    if (s->command && !s->result.timed_out && !s->result.cancelled) {
        sim_process_signal(s->command, SIGTERM);
        sim_arm(s->world, &s->kill, time_add(s->world->now, s->kill_after));
    }
}

static void on_deadline(struct loop_timer *timer) {
    struct step_sim *s = timer->ctx;
    end_command(s);
    s->result.timed_out = !s->result.cancelled;
}

/* Kill -9 of the shim: the command dies with it, and nobody knows how far it was. */
static void on_loss(struct loop_timer *timer) {
    struct step_sim *s = timer->ctx;
    s->world->report.lost++;
    if (s->command) {
        sim_process_orphan(s->command);
        sim_process_signal(s->command, SIGKILL);
        s->command = NULL;
    }
    step_over(s, false);
}

static void start_shim(struct step_sim *s, const struct shim_options *o) {
    struct loop_sim *w = s->world;
    struct sim_parent parent = {on_output, on_exited, s};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    s->shim_lives = s->begun = true;
    s->kill_after = o->kill_after;
    s->result.started = loop_wall(&w->base);
    buf_init(&s->result.output, o->max_output < SIZE_MAX ? (size_t)o->max_output : SIZE_MAX);
    s->command = sim_process_new(w, o->argv, o->env, &parent, &error);
    if (!s->command) {
        s->result.not_started = error.status == HARDY_E_NOT_FOUND ? ENOENT : ENOMEM;
        s->result.code = error.status == HARDY_E_NOT_FOUND ? 127 : 126;
        step_over(s, true);
        return;
    }
    sim_arm(w, &s->deadline, o->deadline);
    if (sim_chance(w, w->options.lose)) {
        sim_arm(w, &s->loss, time_add(w->now, sim_between(w, 0, HARDY_SECOND)));
    }
}

/* --- the program's side --- */

hardy_status shim_sim_lock(struct loop *loop, const char *base, int *lock_fd, hardy_error *error) {
    struct loop_sim *w = sim_of(loop);
    struct step_sim *s = find_step(w, base);
    if (!s) {
        s = calloc(1, sizeof *s);
        char *copy = str_dup(base);
        if (!s || !copy) {
            free(s);
            free(copy);
            return fail(error, HARDY_E_NOMEM, base, "no memory for a step");
        }
        s->base = copy;
        s->world = w;
        loop_timer_init(&s->deadline, on_deadline, s);
        loop_timer_init(&s->kill, on_kill, s);
        loop_timer_init(&s->loss, on_loss, s);
        list_append(&w->steps, &s->link);
    } else if (held(s)) {
        return fail(error, HARDY_E_RUNNING, base, "locked by another process");
    }
    clear(s);
    *lock_fd = s->token = (int)(1000 + ++w->made);
    s->token_outside = w->outside;
    return HARDY_OK;
}

void shim_sim_unlock(struct loop *loop, int lock_fd) {
    struct loop_sim *w = sim_of(loop);
    for (struct list *i = w->steps.next; i != &w->steps; i = i->next) {
        struct step_sim *s = LIST_ITEM(i, struct step_sim, link);
        if (s->token == lock_fd) {
            s->token = 0;
            if (!held(s)) {
                tell_waiting(w, s);
            }
        }
    }
}

hardy_status shim_sim_look(struct loop *loop, const char *base, const char *boot_id,
                           enum shim_state *state, struct shim_result *result, hardy_error *error) {
    struct step_sim *s = find_step(sim_of(loop), base);
    char boot[37];
    file_boot_id(boot);
    *result = (struct shim_result){0};
    if (s && held(s)) {
        *state = SHIM_RUNNING;
    } else if (s && s->ended) {
        struct buf copy;
        buf_init(&copy, s->result.output.max);
        if (s->result.output.len > 0 &&
            !buf_append(&copy, s->result.output.data, s->result.output.len)) {
            buf_free(&copy);
            return fail(error, HARDY_E_NOMEM, base, "no memory for a step's result");
        }
        *result = s->result;
        result->output = copy;
        *state = SHIM_ENDED;
    } else {
        *state = s && !s->begun && str_eq(boot, boot_id) ? SHIM_NEVER_RAN : SHIM_LOST;
    }
    return HARDY_OK;
}

void shim_sim_forget(struct loop *loop, const char *base) {
    struct loop_sim *w = sim_of(loop);
    struct step_sim *s = find_step(w, base);
    if (!s || held(s)) {
        return;
    }
    for (struct list *i = w->shims.next; i != &w->shims; i = i->next) {
        struct shim_sim *shim = LIST_ITEM(i, struct shim_sim, link);
        shim->step = shim->step == s ? NULL : shim->step;
    }
    step_free(s);
}

static void on_free_lock(struct loop_timer *timer) {
    struct shim_sim *s = timer->ctx;
    struct loop_sim *w = sim_of(s->base.loop);
    if (s->step && held(s->step)) {
        return; /* begun anew meanwhile */
    }
    sim_enter(w, s->outside);
    s->base.events->ended(s->base.ctx, &s->base);
}

static struct shim_sim *shim_new(struct loop *loop, struct step_sim *step,
                                 const struct shim_events *events, void *ctx) {
    struct loop_sim *w = sim_of(loop);
    struct shim_sim *s = calloc(1, sizeof *s);
    if (s) {
        s->base = (struct shim){.loop = loop, .events = events, .ctx = ctx};
        s->step = step;
        s->outside = w->outside;
        loop_timer_init(&s->timer, on_free_lock, s);
        list_append(&w->shims, &s->link);
    }
    return s;
}

hardy_status shim_sim_start(struct loop *loop, const struct shim_options *options,
                            const struct shim_events *events, void *ctx, struct shim **out,
                            hardy_error *error) {
    struct step_sim *step = find_step(sim_of(loop), options->base);
    if (!step || step->token != options->lock_fd || step->shim_lives) {
        return fail(error, HARDY_E_INVALID, options->base, "a step is started under its lock");
    }
    struct shim_sim *s = shim_new(loop, step, events, ctx);
    if (!s) {
        return fail(error, HARDY_E_NOMEM, options->base, "no memory for a step");
    }
    start_shim(step, options);
    *out = &s->base;
    return HARDY_OK;
}

hardy_status shim_sim_attach(struct loop *loop, const char *base, const struct shim_events *events,
                             void *ctx, struct shim **out, hardy_error *error) {
    struct loop_sim *w = sim_of(loop);
    struct step_sim *step = find_step(w, base);
    struct shim_sim *s = shim_new(loop, step, events, ctx);
    if (!s) {
        return fail(error, HARDY_E_NOMEM, base, "no memory for a step");
    }
    if (!step || !held(step)) {
        sim_arm(w, &s->timer, w->now);
    }
    *out = &s->base;
    return HARDY_OK;
}

void shim_sim_cancel(struct shim *shim) {
    struct shim_sim *s = (struct shim_sim *)shim;
    if (s->step && s->step->shim_lives) {
        end_command(s->step);
        s->step->result.cancelled = !s->step->result.timed_out;
    }
}

void shim_sim_free(struct shim *shim) {
    struct shim_sim *s = (struct shim_sim *)shim;
    loop_timer_stop(s->base.loop, &s->timer);
    list_remove(&s->link);
    free(s);
}

void shim_sim_drop(struct loop_sim *w, bool all) {
    struct list *next;
    for (struct list *i = w->shims.next; i != &w->shims; i = next) {
        struct shim_sim *s = LIST_ITEM(i, struct shim_sim, link);
        next = i->next;
        if (all || !s->outside) {
            shim_sim_free(&s->base);
        }
    }
    for (struct list *i = w->steps.next; i != &w->steps; i = next) {
        struct step_sim *s = LIST_ITEM(i, struct step_sim, link);
        next = i->next;
        if (all) {
            step_free(s);
        } else if (s->token && !s->token_outside) {
            shim_sim_unlock(&w->base, s->token);
        }
    }
}
