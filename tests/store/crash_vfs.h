/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASH_VFS_H
#define TESTS_CRASH_VFS_H
/*
 * A disk in memory behind a SQLite VFS, on which the power can fail. What was written since a
 * file's last sync is kept apart: when the power fails, any of it may have reached the disk or not,
 * in units of a sector, in any order, and the same holds for file sizes and for the creation and
 * deletion of names since the directory's last sync. What a sync has covered stays.
 *
 * It also fails calls (EIO, ENOSPC), and it lies, to show that the tests notice.
 *
 * One disk at a time, under the VFS called "crash". Its handles may be used by many threads.
 */
#include <stdbool.h>
#include <stdint.h>

void disk_new(uint64_t seed); /* empty; replaces the one before, of which nothing may be open */
void disk_free(void);

/* The power fails at the n-th change (write, truncate, sync, creation, deletion) from now; 0 = not.
 * From then on every call fails until the reboot. */
void disk_arm(uint64_t n);
bool disk_is_dead(void);
/* Decides what the disk has kept and makes it usable again. Every file must be closed. Without a
 * failure before it is one at rest. */
void disk_reboot(void);

enum disk_lie {                         /* bits */
                LIE_LOG_SYNC = 1,       /* syncs of the log are dropped */
                LIE_DATABASE_SYNC = 2,  /* syncs of the database are dropped */
                LIE_DIRECTORY_SYNC = 4, /* names are never synced */
};
void disk_lie(unsigned lies);

enum disk_fault { FAULT_NONE, FAULT_IO, FAULT_NOSPACE };
/* The n-th call that can fail in this way does, from now; `stays`: all later ones too. After a sync
 * that failed, what it should have written is readable but is not written by a later sync either.
 */
void disk_fail(enum disk_fault fault, uint64_t n, bool stays);
bool disk_has_failed(void); /* the fault was reached */

struct disk_report {
    uint64_t changes, syncs;
    uint64_t losses, at_open, at_write, at_truncate, at_sync, at_name, at_rest;
    uint64_t sectors_kept, sectors_lost, sizes_lost, names_lost, garbage;
};
struct disk_report disk_report(void);
#endif
