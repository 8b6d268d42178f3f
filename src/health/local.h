/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HEALTH_LOCAL_H
#define HEALTH_LOCAL_H
/*
 * Looking at this host itself: memory, disk, processes, guards, files. It may block as long as a
 * file system does, so it is done off the loop, with copies of all it needs: who asked may be gone.
 */
#include "health/check.h"

struct local_look {
    enum check_kind kind;
    char *path; /* disk, pid file, file with a number or a password, state of guards */
    char *name; /* of the process, of the guard */
    double memory_below;
    uint64_t disk_free;
    int64_t now;
    /* what was seen */
    enum check_result result;
    char message[200];
    struct buf text; /* of the file */
};
/* `now` monotonic. False: no memory. */
bool local_look_init(struct local_look *l, const struct check_settings *c, int64_t now);
void local_look(struct local_look *l);
void local_look_free(struct local_look *l);
/* Whether the check is looked at here, first or only. */
bool check_is_local(const struct check_settings *c);
#endif
