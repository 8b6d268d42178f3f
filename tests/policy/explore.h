/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_POLICY_EXPLORE_H
#define TESTS_POLICY_EXPLORE_H
/*
 * The interleaving explorer: runs a scenario of two or three threads under every schedule there is,
 * a schedule being the order in which the threads' atomic operations happen. The threads are
 * coroutines that are stopped before each atomic operation and each lock; a depth-first search with
 * replay goes through all choices of who goes on. Where preemptions are not bounded, a schedule
 * that differs from an earlier one only in the order of operations that do not touch (another word,
 * or the same word but only reading) is left out: sleep sets, P. Godefroid 1996.
 *
 * It is sequentially consistent: weak memory orders are ThreadSanitizer's part.
 */
#include <stdbool.h>

#define EXPLORE_THREADS 3
#define EXPLORE_ALL (-1)

struct scenario {
    const char *name;
    int preemptions; /* at most so many; EXPLORE_ALL */
    void (*setup)(void);
    void (*bodies[EXPLORE_THREADS])(void); /* NULL behind the last */
    void (*check)(void);                   /* after all have ended */
};

/* Inside bodies and checks: what must hold. The first breach ends the scenario. */
void explore_expect(bool holds, const char *what);
/* Inside bodies, before they use variables that several threads share without an atomic operation:
 * a point whose order counts against every other. */
void explore_look(void);
/* Inside bodies: goes on when `ready` is true. Nobody left who can go on is a breach. */
void explore_wait(bool (*ready)(const void *), const void *arg);

struct exploration {
    unsigned long schedules, left_out;
    unsigned longest;   /* choices in one schedule */
    const char *breach; /* NULL: everything held */
    char schedule[512]; /* the threads of the breach in the order they ran, "AABAB" */
};
void explore(const struct scenario *scenario, struct exploration *out);

/* Lists that end with a row without a name. */
extern const struct scenario breaker_window_scenarios[], breaker_scenarios[], limit_scenarios[],
    bulkhead_scenarios[], edition_scenarios[];
#endif
