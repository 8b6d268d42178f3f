/* SPDX-License-Identifier: Apache-2.0 */
#include "explore.h"
#include "base/atomic.h"
#include "base/mutex.h"
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#define STACK (64 * 1024)
#define MOST_CHOICES 4096
#define NOBODY (-1)

struct thread {
    ucontext_t context;
    void (*body)(void);
    bool finished;
    const volatile void *address; /* of its next operation; NULL: counts against all */
    bool writes;
    const void *lock; /* waited for */
    bool (*ready)(const void *);
    const void *arg;
    char stack[STACK];
};

/* A place where more than one thread could go on. */
struct choice {
    unsigned enabled, tried; /* bit sets */
    int taken, running;      /* running: who would go on if nobody interfered; NOBODY */
    int preemptions;         /* up to here */
};

static struct thread threads[EXPLORE_THREADS];
static struct choice choices[MOST_CHOICES];
static int count, current = NOBODY, preemptions;
static unsigned asleep; /* going on with these now would only repeat what has been seen */
static bool bounded, abandoned;
static unsigned depth, length, steps;
static const void *locked; /* the one mutex of a scenario, while somebody holds it */
static ucontext_t outside;
static struct exploration *result;

static void breach(const char *what) {
    if (!result->breach) {
        result->breach = what;
    }
    if (current != NOBODY) {
        setcontext(&outside); /* the threads are left where they are; nobody will run them again */
    }
}

void explore_expect(bool holds, const char *what) {
    if (!holds) {
        breach(what);
    }
}

static bool enabled(const struct thread *t) {
    return !t->finished && (!t->lock || t->lock != locked) && (!t->ready || t->ready(t->arg));
}

static void note_step(int thread) {
    if (steps < sizeof result->schedule - 1) {
        result->schedule[steps] = (char)('A' + thread);
        result->schedule[steps + 1] = '\0';
    }
    steps++;
}

static bool touch(const struct thread *a, const struct thread *b) {
    if (!a->address || !b->address) {
        return true;
    }
    return a->address == b->address && (a->writes || b->writes);
}

/* Who went on, instead of those that had their turn here before. */
static void put_to_sleep(unsigned before, int taken) {
    if (bounded) {
        return;
    }
    unsigned candidates = asleep | before;
    asleep = 0;
    for (int i = 0; i < count; i++) {
        if (candidates & 1u << i && i != taken && !touch(&threads[i], &threads[taken])) {
            asleep |= 1u << i;
        }
    }
}

static int decide(unsigned mask) {
    if ((mask & (mask - 1)) == 0) {
        int only = __builtin_ctz(mask);
        put_to_sleep(0, only);
        return only;
    }
    if (depth == MOST_CHOICES) {
        breach("does not come to an end");
    }
    struct choice *c = &choices[depth++];
    if (depth > length) {
        int running = current != NOBODY && mask & 1u << current ? current : NOBODY;
        int taken = running != NOBODY ? running : __builtin_ctz(mask);
        *c = (struct choice){.enabled = mask,
                             .tried = 1u << taken,
                             .taken = taken,
                             .running = running,
                             .preemptions = preemptions};
        length = depth;
    } else if (c->enabled != mask) {
        breach("the scenario does not repeat itself");
    }
    preemptions += c->running != NOBODY && c->taken != c->running;
    put_to_sleep(c->tried & ~(1u << c->taken), c->taken);
    return c->taken;
}

/* Lets somebody go on; returns when it is the caller's turn again. */
static void go_on(void) {
    unsigned mask = 0, unfinished = 0;
    for (int i = 0; i < count; i++) {
        mask |= enabled(&threads[i]) ? 1u << i : 0;
        unfinished += !threads[i].finished;
    }
    int before = current;
    ucontext_t *from = before == NOBODY ? &outside : &threads[before].context;
    if (unfinished == 0) {
        current = NOBODY;
        swapcontext(from, &outside);
        return;
    }
    if (mask == 0) {
        breach("everybody waits and nobody can go on");
    }
    if ((mask & ~asleep) == 0) {
        abandoned = true;
        setcontext(&outside);
    }
    current = decide(mask & ~asleep);
    note_step(current);
    if (current != before) {
        swapcontext(from, &threads[current].context);
    }
}

static void point(const volatile void *address, bool writes) {
    threads[current].address = address;
    threads[current].writes = writes;
    go_on();
}

void explore_point(const volatile void *address, bool writes) {
    if (current != NOBODY) {
        point(address, writes);
    }
}

void explore_look(void) {
    explore_point(NULL, true);
}

void explore_lock(pthread_mutex_t *m) {
    if (current == NOBODY) {
        return;
    }
    struct thread *self = &threads[current];
    self->lock = m;
    point(m, true);
    self->lock = NULL;
    locked = m;
}

void explore_unlock(pthread_mutex_t *m) {
    if (current != NOBODY) {
        point(m, true);
        locked = NULL;
    }
}

void explore_wait(bool (*ready)(const void *), const void *arg) {
    struct thread *self = &threads[current];
    self->ready = ready;
    self->arg = arg;
    point(NULL, true);
    self->ready = NULL;
}

static void run_bodies(void) {
    for (;;) {
        struct thread *self = &threads[current];
        self->body();
        self->finished = true;
        self->address = NULL;
        go_on();
    }
}

/* The last choice that has an alternative takes it; what came after is forgotten. */
static bool next_schedule(int most) {
    for (; length > 0; length--) {
        struct choice *c = &choices[length - 1];
        unsigned left = c->enabled & ~c->tried;
        if (c->running != NOBODY && most != EXPLORE_ALL && c->preemptions >= most) {
            left = 0;
        }
        if (left != 0) {
            c->taken = __builtin_ctz(left);
            c->tried |= 1u << c->taken;
            return true;
        }
    }
    return false;
}

static void make_threads(const struct scenario *scenario) {
    for (count = 0; count < EXPLORE_THREADS && scenario->bodies[count]; count++) {
        struct thread *t = &threads[count];
        t->body = scenario->bodies[count];
        t->lock = NULL;
        t->ready = NULL;
        t->address = NULL;
        getcontext(&t->context);
        t->context.uc_stack.ss_sp = t->stack;
        t->context.uc_stack.ss_size = sizeof t->stack;
        t->context.uc_link = NULL;
        makecontext(&t->context, run_bodies, 0);
    }
}

/* Not inlined: what setcontext() comes back to must be found where it was. */
__attribute__((noinline)) static void run_once(const struct scenario *scenario) {
    current = NOBODY;
    preemptions = 0;
    depth = steps = asleep = 0;
    locked = NULL;
    abandoned = false;
    for (int i = 0; i < count; i++) {
        threads[i].finished = false;
    }
    scenario->setup();
    if (!result->breach) {
        go_on();
    }
    current = NOBODY;
    if (!result->breach && !abandoned) {
        scenario->check();
    }
}

void explore(const struct scenario *scenario, struct exploration *out) {
    result = out;
    *out = (struct exploration){0};
    length = 0;
    bounded = scenario->preemptions != EXPLORE_ALL;
    do {
        if (out->schedules == 0 || abandoned) {
            make_threads(scenario);
        }
        run_once(scenario);
        out->schedules += !abandoned;
        out->left_out += abandoned;
        out->longest = length > out->longest ? length : out->longest;
    } while (!out->breach && next_schedule(scenario->preemptions));
}
