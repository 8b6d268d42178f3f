/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_CHILD_RECORD_H
#define SUPERVISE_CHILD_RECORD_H
/*
 * What outlives hardy of a child: which process it is, so that the next hardy adopts it instead of
 * starting it twice; how often it was started again; how it died, the last hundred times. One row
 * of the store, kind "child", its key the name.
 */
#include "io/family.h"
#include "store/store.h"
#include "supervise/child.h"

#define CHILD_DEATHS_MAX 100
#define CHILD_KEYS_MAX 16
#define CHILD_NUMBER_SIZE 17

struct child_death {
    int64_t at; /* wall */
    int code, signal;
    bool unknown;
    int64_t lived;
};
struct child_record {
    char boot[37];                               /* in which the times and the process below are */
    char number[CHILD_NUMBER_SIZE];              /* of the last start; "" = never started */
    struct process_identity process;             /* pid 0 = it does not run */
    char command[65];                            /* SHA-256 of what it was started with */
    int64_t since;                               /* wall of the last start */
    bool left;                                   /* hardy was not stopped, but killed */
    bool paged;                                  /* somebody was told that it was given up */
    uint64_t starts, died;                       /* in all */
    struct child_death deaths[CHILD_DEATHS_MAX]; /* newest last */
    size_t death_count;
    struct { /* restarts that were asked for by a key, and which life they were to end */
        char key[128], number[CHILD_NUMBER_SIZE];
    } keys[CHILD_KEYS_MAX];
    size_t key_count;
};

/* E_NOT_FOUND; E_CORRUPT. What is of the machine goes into `c`, unless the host was started again
 * meanwhile. */
hardy_status child_record_load(struct store *store, const char *name, const char *boot,
                               struct child_record *out, struct child *c, hardy_error *error);
void child_record_encode(const struct child_record *r, const struct child *c, struct buf *out);
void child_record_add_death(struct child_record *r, const struct child_death *death);
/* Remembers that this life is to be ended for `key`. The number of the life that it is already
 * remembered with; NULL = it is new. */
const char *child_record_find_key(const struct child_record *r, const char *key);
void child_record_add_key(struct child_record *r, const char *key);
/* "exited with 1", "was ended by KILL", "has ended, nobody knows how". */
void child_end_text(int code, int signal, bool unknown, char *out, size_t size);
#endif
