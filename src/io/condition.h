/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_CONDITION_H
#define IO_CONDITION_H
/* A condition variable whose deadlines are times of clock_now(). */
#include <hardy/env.h>
#include <pthread.h>
#include <stdbool.h>

struct condition {
    pthread_cond_t cond;
};
void condition_init(struct condition *c);
void condition_free(struct condition *c);
/* With `mutex` held. False when `until` has passed; true says nothing: look, and wait again. */
bool condition_wait(struct condition *c, pthread_mutex_t *mutex, int64_t until);
void condition_wake(struct condition *c);     /* one waiter */
void condition_wake_all(struct condition *c); /* every waiter */
#endif
