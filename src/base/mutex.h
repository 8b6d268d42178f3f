/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_MUTEX_H
#define BASE_MUTEX_H
/* Locks of code that the interleaving explorer runs: there a waiting thread must give way instead
 * of blocking the only real thread. */
#include <pthread.h>

#ifdef HARDY_EXPLORE
void explore_lock(pthread_mutex_t *m);
void explore_unlock(pthread_mutex_t *m);
#define mutex_lock(m) explore_lock(m)
#define mutex_unlock(m) explore_unlock(m)
#else
static inline void mutex_lock(pthread_mutex_t *m) {
    pthread_mutex_lock(m);
}
static inline void mutex_unlock(pthread_mutex_t *m) {
    pthread_mutex_unlock(m);
}
#endif
#endif
