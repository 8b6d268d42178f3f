/* SPDX-License-Identifier: Apache-2.0 */
#include "io/condition.h"
#include "base/clock.h"
#include <time.h>

/* The kernel cannot wait on CLOCK_BOOTTIME here. The monotonic clock stands still while a machine
 * sleeps, so a long wait is made of slices, after each of which the right clock is read. */
#define SLICE HARDY_MINUTE

void condition_init(struct condition *c) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->cond, &attr);
    pthread_condattr_destroy(&attr);
}

void condition_free(struct condition *c) {
    pthread_cond_destroy(&c->cond);
}

bool condition_wait(struct condition *c, pthread_mutex_t *mutex, int64_t until) {
    if (until == HARDY_NEVER) {
        pthread_cond_wait(&c->cond, mutex);
        return true;
    }
    int64_t span = until - clock_now();
    if (span <= 0) {
        return false;
    }
    span = span < SLICE ? span : SLICE;
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    int64_t nanoseconds = at.tv_nsec + span % HARDY_SECOND;
    at.tv_sec += span / HARDY_SECOND + nanoseconds / HARDY_SECOND;
    at.tv_nsec = nanoseconds % HARDY_SECOND;
    pthread_cond_timedwait(&c->cond, mutex, &at);
    return clock_now() < until;
}

void condition_wake(struct condition *c) {
    pthread_cond_signal(&c->cond);
}

void condition_wake_all(struct condition *c) {
    pthread_cond_broadcast(&c->cond);
}
