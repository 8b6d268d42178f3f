/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_LOAD_H
#define TESTS_LOAD_H
/*
 * Durable runs as the program has them, with everything that was acknowledged remembered: each run
 * is a row and its steps, each batch finishes a step and starts the next, and what is found in a
 * store must be exactly the state after the last acknowledged batch, or after the one under way.
 *
 * The batches follow one another inside their `done`, on the store's thread, so that groups form in
 * the same way each time a seed is used.
 */
#include "base/prng.h"
#include "store/store.h"
#include <pthread.h>

#define LOAD_RUNS 4
#define LOAD_STEPS 20

struct load_run {
    struct load *load;
    int number;         /* of this run: it is in all keys */
    int acknowledged;   /* batches; -1 = not even the first */
    bool under_way;     /* one more may be there */
    bool tries_refused; /* the batch under way is one whose condition fails */
};

struct load {
    struct prng random;
    uint64_t seed;
    int64_t wall; /* goes on by ten seconds at every look */
    struct load_run run[LOAD_RUNS];
    int runs;
    int next_number;
    size_t value_max;
    uint64_t acknowledged; /* batches in all */
    char wrong[640];       /* the first thing that was not as it must be; "" */

    struct store *store; /* of this life */
    pthread_mutex_t mutex;
    pthread_cond_t idle;
    int active; /* runs with a batch under way */
    int left;   /* batches until the runs stop by themselves */
    hardy_status stopped_by;
};

void load_init(struct load *l, uint64_t seed, int runs, size_t value_max);
void load_free(struct load *l);
int64_t load_wall(void *load);
/* Everything in the store is as it must be; what was under way is settled. False: see `wrong`. */
bool load_verify(struct load *l, struct store *store);
/* Goes on with all runs until `batches` were submitted or one failed: OK, or how it failed. */
hardy_status load_go(struct load *l, struct store *store, int batches);
#endif
