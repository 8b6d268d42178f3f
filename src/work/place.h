/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_PLACE_H
#define WORK_PLACE_H
/*
 * Where the locks and files of a record's runs lie: in the folder `STATE-steps`. One byte of
 * `keys.lock` for each key, held by the process that decides about it; files of run number F under
 * the stem `HASH.F`, see io/shim.h.
 */
#include <hardy/env.h>

struct step_place {
    char *lock_path;
    int64_t lock_byte;
    char *stem;
};
/* Makes the folder. The lock needs step_place_free(). */
hardy_status step_place_find(const char *state, const char *row_kind, const char *key,
                             struct step_place *out, hardy_error *error);
/* The same without making the folder: for what may lie there. */
hardy_status step_place_name(const char *state, const char *row_kind, const char *key,
                             struct step_place *out, hardy_error *error);
void step_place_free(struct step_place *p);
/* The files of one run: malloc'd, NULL = no memory. */
char *step_place_run(const struct step_place *p, int64_t fence);
/* The key's lock: *fd holds it until closed. E_RUNNING: another process decides. */
hardy_status step_place_lock(const struct step_place *p, int *fd, hardy_error *error);
#endif
