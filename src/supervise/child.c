/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise/child.h"
#include "base/clock.h"
#include "durable/seeded.h"
#include <math.h>
#include <signal.h>
#include <string.h>

/* Whoever was well for so long is started again at once, the first time. */
static const int64_t well = HARDY_SECOND;
static const int64_t kill_again = HARDY_SECOND;

bool child_ends_code(const struct child_ends *e, int code) {
    return code >= 0 && code < 256 && (e->codes[code / 64] >> (code % 64) & 1);
}

bool child_ends_signal(const struct child_ends *e, int signal) {
    return signal > 0 && signal < 64 && (e->signals >> signal & 1);
}

const char *child_state_text(enum child_state state) {
    static const char *const words[] = {"stopped",  "waiting", "starting", "ready",
                                        "stopping", "resting", "failed",   "done"};
    return words[state];
}

void child_init(struct child *c, const struct child_rules *rules) {
    *c = (struct child){.rules = rules,
                        .allowed = true,
                        .ready = HARDY_NEVER,
                        .until = HARDY_NEVER,
                        .watchdog = HARDY_NEVER};
}

/* --- how often, how soon ---------------------------------------------------------------------- */

int64_t child_delay(const struct child_rules *r, uint32_t step, uint64_t random) {
    double low = (double)r->backoff_min, high = (double)r->backoff_max;
    double share = r->backoff_steps > 0 ? (double)step / r->backoff_steps : 1;
    double delay = share >= 1 ? high : low * pow(high / low, share);
    double unit = (double)(random >> 11) / (double)(UINT64_MAX >> 11);
    /* The jitter is drawn below the maximum: at it, all would start together again. */
    double capped = fmin(delay, high / (1 + r->jitter));
    return llround(capped * (1 + unit * r->jitter));
}

static void remember(int64_t *times, uint32_t *count, int64_t now) {
    if (*count == CHILD_COUNTED_MAX)
        memmove(times, times + 1, --*count * sizeof *times);
    times[(*count)++] = now;
}

static uint32_t since(const int64_t *times, uint32_t count, int64_t now, int64_t span) {
    uint32_t found = 0;
    for (uint32_t n = 0; n < count; n++)
        found += times[n] > now - span;
    return found;
}

uint32_t child_restarts(const struct child *c, int64_t now) {
    return since(c->restarts, c->restart_count, now, c->rules->within);
}

static void begin_anew(struct child *c) {
    c->step = 0;
    c->fast_used = false;
}

/* --- starting --------------------------------------------------------------------------------- */

static void start(struct child *c, int64_t now, struct child_todo *todo) {
    const struct child_rules *r = c->rules;
    if (!c->allowed || (c->paused && c->restarting)) {
        c->state = CHILD_WAITING;
        return;
    }
    if (c->restarting)
        remember(c->restarts, &c->restart_count, now);
    c->restarting = c->exhausted = false;
    c->state = CHILD_STARTING;
    c->why = CHILD_WHY_NONE;
    c->running = c->alive = true;
    c->asked = c->killing = false;
    c->started = now;
    c->ready = HARDY_NEVER;
    c->until = time_add(now, r->announced ? r->start_timeout : r->min_uptime);
    todo->start = true;
}

static void is_ready(struct child *c, int64_t now) {
    c->state = CHILD_READY;
    /* Without an announcement it was so from the start, as is known now. */
    c->ready = c->rules->announced ? now : c->started;
    c->watchdog = c->rules->watchdog > 0 ? time_add(now, c->rules->watchdog) : HARDY_NEVER;
}

/* --- ending ----------------------------------------------------------------------------------- */

static void end(struct child *c, int64_t now, enum child_why why, struct child_todo *todo) {
    c->state = CHILD_STOPPING;
    c->why = why;
    c->watchdog = HARDY_NEVER;
    c->until = time_add(now, c->rules->stop_timeout);
    if (why == CHILD_WHY_HUNG) {
        todo->signal = SIGABRT; /* it leaves a core: what it hung in is to be seen */
        todo->itself = true;
    } else if (why != CHILD_WHY_ITSELF) {
        todo->signal = c->rules->stop_signal;
    }
    c->asked = todo->signal > 0;
}

/* The next rung of the ladder. */
static void end_harder(struct child *c, int64_t now, struct child_todo *todo) {
    if (!c->asked && !SEEDED_BUG(BUG_CHILD_LADDER)) {
        end(c, now, CHILD_WHY_LATE, todo);
    } else {
        c->killing = true;
        todo->signal = SIGKILL;
        c->until = time_add(now, kill_again); /* it may have been forking */
    }
}

static void give_up(struct child *c, enum child_why why) {
    c->state = CHILD_FAILED;
    c->why = why;
    c->wanted = false;
}

static bool ended_well(const struct child *c) {
    return !c->unknown && c->signal == 0 && c->code == 0 && c->why != CHILD_WHY_HUNG &&
           c->why != CHILD_WHY_LATE;
}

static bool crashed_too_often(struct child *c, int64_t now) {
    const struct child_rules *r = c->rules;
    bool crash = !c->unknown && (c->signal ? child_ends_signal(&r->crash, c->signal)
                                           : child_ends_code(&r->crash, c->code));
    if (!crash)
        return false;
    remember(c->crashes, &c->crash_count, now);
    return since(c->crashes, c->crash_count, now, r->crash_within) >= r->crashes;
}

static void rest(struct child *c, int64_t now, uint64_t random, struct child_todo *todo) {
    const struct child_rules *r = c->rules;
    int64_t delay = 0;
    if (c->was_ready >= r->reset_after || (SEEDED_BUG(BUG_CHILD_RESET) && c->was_ready > 0))
        begin_anew(c);
    if (!c->fast_used && c->step == 0 && c->was_ready >= well) {
        c->fast_used = true;
    } else {
        delay = child_delay(r, c->step, random);
        c->step += c->step < r->backoff_steps;
    }
    c->restarting = true;
    if (delay == 0) {
        start(c, now, todo);
    } else {
        c->state = CHILD_RESTING;
        c->until = time_add(now, delay);
    }
}

/* It ended though it was to run. */
static void died(struct child *c, int64_t now, uint64_t random, struct child_todo *todo) {
    const struct child_rules *r = c->rules;
    uint32_t limit = r->restarts + (SEEDED_BUG(BUG_CHILD_INTENSITY) ? 1 : 0);
    if (r->restart == RESTART_NEVER || (r->restart == RESTART_ON_FAILURE && ended_well(c))) {
        c->state = CHILD_DONE;
        c->wanted = false;
    } else if (!c->unknown && c->signal == 0 && child_ends_code(&r->never, c->code)) {
        give_up(c, CHILD_WHY_CODE);
    } else if (crashed_too_often(c, now)) {
        give_up(c, CHILD_WHY_CRASHES);
    } else if (child_restarts(c, now) < limit) {
        rest(c, now, random, todo);
    } else {
        c->exhausted = true;
        begin_anew(c);
        c->restarting = true;
        if (r->on_exhausted == EXHAUSTED_FAIL) {
            give_up(c, CHILD_WHY_INTENSITY);
        } else {
            c->state = CHILD_RESTING;
            c->why = CHILD_WHY_INTENSITY;
            c->until = time_add(now, r->retry_after);
        }
    }
}

/* Nothing of it lives any more. */
static void gone(struct child *c, int64_t now, uint64_t random, struct child_todo *todo) {
    c->running = false;
    if (!c->wanted) {
        c->state = CHILD_STOPPED;
    } else if (c->again) {
        c->again = c->restarting = false;
        start(c, now, todo);
    } else {
        died(c, now, random, todo);
    }
}

static void exited(struct child *c, int64_t now, const struct child_event *e,
                   struct child_todo *todo) {
    c->alive = false;
    c->code = e->code;
    c->signal = e->signal;
    c->unknown = e->unknown;
    c->lived = now - c->started;
    c->was_ready = c->ready == HARDY_NEVER ? 0 : now - c->ready;
    c->ready = c->watchdog = HARDY_NEVER;
    if (!e->left || SEEDED_BUG(BUG_CHILD_LEFT)) {
        gone(c, now, e->random, todo);
    } else if (c->state != CHILD_STOPPING || !c->asked) {
        c->state = CHILD_STOPPING;
        c->until = time_add(now, c->rules->stop_timeout);
        todo->signal = c->rules->stop_signal;
        c->asked = true;
    }
}

/* --- what people and the clock say ------------------------------------------------------------ */

static void wanted(struct child *c, int64_t now, bool anew, struct child_todo *todo) {
    c->wanted = true;
    if (c->running) {
        c->again = c->again || anew || c->state == CHILD_STOPPING;
        if (anew && c->state != CHILD_STOPPING)
            end(c, now, CHILD_WHY_ASKED, todo);
    } else if (anew || c->state == CHILD_STOPPED || c->state == CHILD_FAILED ||
               c->state == CHILD_DONE) {
        begin_anew(c);
        c->restarting = false;
        start(c, now, todo);
    }
}

static void unwanted(struct child *c, int64_t now, struct child_todo *todo) {
    c->wanted = c->again = c->exhausted = false;
    if (!c->running)
        c->state = CHILD_STOPPED;
    else if (c->state != CHILD_STOPPING || !c->asked)
        end(c, now, CHILD_WHY_ASKED, todo);
}

static void adopted(struct child *c, int64_t now, const struct child_event *e) {
    c->wanted = c->running = c->alive = true;
    c->restarting = false;
    c->started = e->at;
    c->why = CHILD_WHY_NONE;
    if (e->ready != HARDY_NEVER) {
        is_ready(c, now);
        c->ready = e->ready;
    } else {
        c->state = CHILD_STARTING;
        c->until =
            time_add(now, c->rules->announced ? c->rules->start_timeout : c->rules->min_uptime);
    }
}

static void time_came(struct child *c, int64_t now, struct child_todo *todo) {
    const struct child_rules *r = c->rules;
    if (c->state == CHILD_READY && now >= c->watchdog) {
        if (c->paused)
            c->watchdog = time_add(now, r->watchdog);
        else
            end(c, now, CHILD_WHY_HUNG, todo);
        return;
    }
    if (c->state == CHILD_READY || now < c->until)
        return;
    if (c->state == CHILD_STARTING && !r->announced)
        is_ready(c, now);
    else if (c->state == CHILD_STARTING && c->paused)
        c->until = time_add(now, r->start_timeout);
    else if (c->state == CHILD_STARTING)
        end(c, now, CHILD_WHY_LATE, todo);
    else if (c->state == CHILD_STOPPING)
        end_harder(c, now, todo);
    else if (c->state == CHILD_RESTING)
        start(c, now, todo);
}

static int64_t next_time(const struct child *c) {
    switch (c->state) {
    case CHILD_READY:
        return c->watchdog;
    case CHILD_STARTING:
    case CHILD_STOPPING:
    case CHILD_RESTING:
        return c->until;
    default:
        return HARDY_NEVER;
    }
}

void child_decide(struct child *c, int64_t now, const struct child_event *e,
                  struct child_todo *todo) {
    *todo = (struct child_todo){.at = HARDY_NEVER};
    switch (e->kind) {
    case CHILD_WANT:
    case CHILD_RENEW:
        wanted(c, now, e->kind == CHILD_RENEW, todo);
        break;
    case CHILD_UNWANT:
        unwanted(c, now, todo);
        break;
    case CHILD_ALLOW:
    case CHILD_HOLD:
        c->allowed = e->kind == CHILD_ALLOW;
        if (c->state == CHILD_WAITING)
            start(c, now, todo);
        break;
    case CHILD_PAUSE:
    case CHILD_UNPAUSE:
        c->paused = e->kind == CHILD_PAUSE;
        if (c->state == CHILD_WAITING)
            start(c, now, todo);
        break;
    case CHILD_ADOPT:
        adopted(c, now, e);
        break;
    case CHILD_IS_READY:
        if (c->state == CHILD_STARTING && c->rules->announced)
            is_ready(c, now);
        break;
    case CHILD_PING:
        if (c->state == CHILD_READY && c->watchdog != HARDY_NEVER)
            c->watchdog = time_add(now, c->rules->watchdog);
        break;
    case CHILD_EXTEND:
        if (c->state == CHILD_STARTING && c->rules->announced && time_add(now, e->span) > c->until)
            c->until = time_add(now, e->span);
        break;
    case CHILD_ENDS_ITSELF:
        if (c->state == CHILD_STARTING || c->state == CHILD_READY)
            end(c, now, CHILD_WHY_ITSELF, todo);
        break;
    case CHILD_EXITED:
        if (c->alive)
            exited(c, now, e, todo);
        break;
    case CHILD_CLEARED:
        if (c->running && !c->alive)
            gone(c, now, e->random, todo);
        break;
    case CHILD_TIME:
        time_came(c, now, todo);
        break;
    }
    todo->at = next_time(c);
}

void child_schedule(const struct child_rules *rules, int64_t life, uint64_t random,
                    struct child_schedule *out) {
    struct child c;
    struct child_todo todo;
    int64_t now = 0;
    *out = (struct child_schedule){.rest = HARDY_NEVER};
    child_init(&c, rules);
    child_decide(&c, now, &(struct child_event){.kind = CHILD_WANT}, &todo);
    for (;;) {
        int64_t death = time_add(now, life);
        if (!rules->announced && todo.at <= death)
            child_decide(&c, todo.at, &(struct child_event){.kind = CHILD_TIME}, &todo);
        else if (rules->announced)
            child_decide(&c, now, &(struct child_event){.kind = CHILD_IS_READY}, &todo);
        now = death;
        child_decide(&c, now,
                     &(struct child_event){.kind = CHILD_EXITED, .code = 1, .random = random},
                     &todo);
        if (c.state == CHILD_FAILED || c.state == CHILD_DONE || c.exhausted) {
            out->ends = true;
            out->exhausted_at = now;
            out->rest = c.state == CHILD_RESTING ? c.until - now : HARDY_NEVER;
            return;
        }
        if (out->count == CHILD_COUNTED_MAX)
            return;
        int64_t begin = c.state == CHILD_RESTING ? c.until : now;
        out->restarts[out->count].delay = begin - now;
        out->restarts[out->count++].at = begin;
        now = begin;
        if (c.state == CHILD_RESTING)
            child_decide(&c, now, &(struct child_event){.kind = CHILD_TIME}, &todo);
    }
}
