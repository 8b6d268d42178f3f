/* SPDX-License-Identifier: Apache-2.0 */
#include "selftest/syncs.h"
#include "base/atomic.h"
#include <sqlite3.h>
#include <stddef.h>

static atomic_word syncs;
static sqlite3_vfs counting;
static int (*real_sync)(sqlite3_file *file, int flags);

static int count_sync(sqlite3_file *file, int flags) {
    int rc = real_sync(file, flags);
    word_add(&syncs, 1);
    return rc;
}

/* The unix VFS has one table of methods for databases and one for other files, with one xSync. */
static int count_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out) {
    static sqlite3_io_methods counted[2];
    sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");
    (void)vfs;
    int rc = unix_vfs->xOpen(unix_vfs, name, file, flags, out);
    if (rc == SQLITE_OK) {
        sqlite3_io_methods *mine = &counted[flags & SQLITE_OPEN_MAIN_DB ? 1 : 0];
        real_sync = file->pMethods->xSync;
        *mine = *file->pMethods;
        mine->xSync = count_sync;
        file->pMethods = mine;
    }
    return rc;
}

void syncs_begin(void) {
    counting = *sqlite3_vfs_find("unix");
    counting.zName = SYNCS_VFS;
    counting.xOpen = count_open;
    counting.pNext = NULL;
    sqlite3_vfs_register(&counting, 0);
}

uint64_t syncs_count(void) {
    return word_load(&syncs);
}
