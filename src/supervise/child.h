/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_CHILD_H
#define SUPERVISE_CHILD_H
/*
 * A supervised process as a step machine: it is told the time and what happened, and answers what
 * to do. When it starts again and how long it waits before, when it gives up, how it is ended: all
 * of it is decided here.
 *
 *   stopped --wanted--> waiting --allowed--> starting --ready--> ready
 *                          ^                    |                  |
 *                          |                    +--- it ended -----+--> resting --> waiting
 *                          |                                       +--> failed, done
 *   stopping: it is being ended, or has ended and something that it started lives on
 */
#include <hardy/env.h>
#include <stdbool.h>

enum child_restart { RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NEVER };
enum child_exhausted { EXHAUSTED_DELAY, EXHAUSTED_FAIL };

struct child_ends { /* a set of ways to end */
    uint64_t codes[4];
    uint64_t signals;
};
bool child_ends_code(const struct child_ends *e, int code);
bool child_ends_signal(const struct child_ends *e, int signal);

#define CHILD_COUNTED_MAX 100 /* of restarts, of crashes */
struct child_rules {
    int restart;           /* enum child_restart */
    bool announced;        /* somebody tells when it is ready; else it is after min_uptime */
    int64_t start_timeout; /* announced: then it is ended and counts as failed */
    int64_t min_uptime;
    int64_t backoff_min, backoff_max;
    uint32_t backoff_steps;
    double jitter;           /* added to the delay, as a share of it */
    int64_t reset_after;     /* ready for so long: the delays begin anew */
    uint32_t restarts;       /* more than so many ... */
    int64_t within;          /* ... in this time are too many */
    int on_exhausted;        /* enum child_exhausted */
    int64_t retry_after;     /* EXHAUSTED_DELAY: the rest */
    struct child_ends never; /* codes that mean that starting again does not help */
    struct child_ends crash; /* so do `crashes` of these in `crash_within` */
    uint32_t crashes;
    int64_t crash_within;
    int stop_signal;
    int64_t stop_timeout; /* then KILL */
    int64_t watchdog;     /* it must be heard of within; 0 = none */
};

enum child_state {
    CHILD_STOPPED, /* nobody wants it to run */
    CHILD_WAITING, /* for what it depends on, or for the end of a pause */
    CHILD_STARTING,
    CHILD_READY,
    CHILD_STOPPING,
    CHILD_RESTING, /* until it is started again */
    CHILD_FAILED,  /* given up: somebody has to say how to go on */
    CHILD_DONE     /* it has ended, as it was to */
};
const char *child_state_text(enum child_state state);
enum child_why { /* it is being ended, or was given up */
                 CHILD_WHY_NONE,
                 CHILD_WHY_ASKED,
                 CHILD_WHY_LATE,     /* not ready within start_timeout */
                 CHILD_WHY_HUNG,     /* not heard of within watchdog */
                 CHILD_WHY_ITSELF,   /* it says that it is ending */
                 CHILD_WHY_CODE,     /* its exit code is among never_restart_on */
                 CHILD_WHY_CRASHES,  /* permanent_if */
                 CHILD_WHY_INTENSITY /* too many restarts */
};

struct child {
    const struct child_rules *rules; /* borrowed */
    enum child_state state;
    enum child_why why;
    bool wanted, allowed, paused;
    bool running;             /* it, or something that it started, lives */
    bool alive;               /* it lives itself */
    bool again;               /* stopping, to be started once more because somebody asked */
    bool restarting;          /* the next start is one that counts */
    bool exhausted;           /* too many restarts: it rests for retry_after, or was given up */
    bool fast_used;           /* the one restart without a delay */
    uint32_t step;            /* of the delays */
    int64_t started, ready;   /* of this life */
    int64_t until;            /* starting, stopping, resting: when to go on; HARDY_NEVER */
    int64_t watchdog;         /* when it must have been heard of; HARDY_NEVER */
    bool asked, killing;      /* stopping: it was sent its signal; KILL */
    int code, signal;         /* of the last end */
    bool unknown;             /* it is not known how it ended: it was no child of ours */
    int64_t lived, was_ready; /* spans, of the last life */
    int64_t restarts[CHILD_COUNTED_MAX], crashes[CHILD_COUNTED_MAX]; /* when; newest last */
    uint32_t restart_count, crash_count;
};
/* Stopped, nothing has happened, and it may start. */
void child_init(struct child *c, const struct child_rules *rules);

enum child_event_kind {
    CHILD_WANT,   /* also: try again what was given up */
    CHILD_UNWANT, /* end it, and leave it so */
    CHILD_RENEW,  /* somebody asks: end it, and start it again */
    CHILD_ALLOW,  /* what it depends on is ready */
    CHILD_HOLD,   /* is not ready: it must not start; when it runs it goes on */
    CHILD_PAUSE,  /* no restart by itself, nothing is ended for being late */
    CHILD_UNPAUSE,
    CHILD_ADOPT,    /* it runs already: since `at`, ready since `ready`, HARDY_NEVER = not yet */
    CHILD_IS_READY, /* so it was announced */
    CHILD_PING,
    CHILD_EXTEND,      /* starting: it needs `span` more */
    CHILD_ENDS_ITSELF, /* it says that it is ending */
    CHILD_EXITED,      /* or could not be started; `left`: something that it started lives on */
    CHILD_CLEARED,     /* nothing of it lives any more */
    CHILD_TIME         /* the time of `at` may have come */
};
struct child_event {
    enum child_event_kind kind;
    int code, signal; /* EXITED; signal 0 = it exited with `code` */
    bool unknown, left;
    int64_t at, ready; /* ADOPT */
    int64_t span;      /* EXTEND */
    uint64_t random;   /* EXITED, CLEARED: for the jitter */
};
struct child_todo {
    bool start;
    int signal;  /* to it and all that it has started, CONT with it; 0 = none */
    bool itself; /* `signal` only to the process itself */
    int64_t at;  /* CHILD_TIME is wanted then; HARDY_NEVER */
};
/* Pure; `todo` filled. After `start` it counts as running until CHILD_EXITED. */
void child_decide(struct child *c, int64_t now, const struct child_event *event,
                  struct child_todo *todo);

/* Restarts that count now: within the time that they are counted over. */
uint32_t child_restarts(const struct child *c, int64_t now);
/* The delay of a step, with the jitter that `random` draws; never above backoff_max. */
int64_t child_delay(const struct child_rules *rules, uint32_t step, uint64_t random);

/* What happens to one that lives for `life` and dies, each time: found by letting the machine run.
 */
struct child_schedule {
    uint32_t count; /* of restarts before the limit */
    struct {
        int64_t delay, at; /* since the first start */
    } restarts[CHILD_COUNTED_MAX];
    bool ends;            /* the limit is reached, at ... */
    int64_t exhausted_at; /* since the first start */
    int64_t rest;         /* then it rests so long and tries again; HARDY_NEVER = given up */
};
/* `random`: 0 for the shortest delays, UINT64_MAX for the longest. */
void child_schedule(const struct child_rules *rules, int64_t life, uint64_t random,
                    struct child_schedule *out);
#endif
