/* SPDX-License-Identifier: Apache-2.0 */
#include "crash_vfs.h"
#include "base/prng.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512
#define NAMES 16
#define SHM_REGIONS 64
#define HISTORY 64

/* --- the disk --------------------------------------------------------------------------------- */

/* A write, or (data NULL) a truncation to `at`, since the last sync. */
struct op {
    size_t at, len;
    unsigned char *data;
    bool gone; /* a sync that should have written it failed: later ones pass over it */
};

struct bytes {
    unsigned char *data;
    size_t len, cap;
};

struct inode {
    struct inode *next;
    struct bytes now, kept; /* as read; as surely on the disk */
    struct op *ops;
    size_t count, cap;
    int handles;
    /* SQLite's locks, among the handles of this process. */
    int shared;
    const void *reserved, *exclusive;
    void *shm[SHM_REGIONS];
    int shm_handles;
    int shm_shared[SQLITE_SHM_NLOCK];
    const void *shm_exclusive[SQLITE_SHM_NLOCK];
};

/* A name with all it has pointed to since the directory's last sync; [0] is what is on the disk. */
struct name {
    char text[64];
    struct inode *history[HISTORY];
    int count;
};

static struct {
    pthread_mutex_t mutex;
    struct prng random;
    struct inode *inodes;
    struct name names[NAMES];
    int name_count;
    uint64_t armed;
    bool dead;
    unsigned lies;
    enum disk_fault fault;
    uint64_t fault_in;
    bool fault_stays, fault_reached;
    int handles;
    struct disk_report report;
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void *must(void *memory) {
    if (!memory) {
        perror("crash_vfs");
        abort();
    }
    return memory;
}

static void bytes_resize(struct bytes *b, size_t len) {
    if (len > b->cap) {
        b->cap = len + len / 2 + 4096;
        b->data = must(realloc(b->data, b->cap));
    }
    if (len > b->len) {
        memset(b->data + b->len, 0, len - b->len);
    }
    b->len = len;
}

static void bytes_write(struct bytes *b, size_t at, const void *data, size_t len) {
    if (at + len > b->len) {
        bytes_resize(b, at + len);
    }
    if (len > 0) {
        memcpy(b->data + at, data, len);
    }
}

static void op_apply(struct bytes *b, const struct op *op) {
    if (op->data) {
        bytes_write(b, op->at, op->data, op->len);
    } else {
        bytes_resize(b, op->at);
    }
}

static void ops_clear(struct inode *inode) {
    for (size_t i = 0; i < inode->count; i++) {
        free(inode->ops[i].data);
    }
    inode->count = 0;
}

static void op_add(struct inode *inode, size_t at, const void *data, size_t len) {
    if (inode->count == inode->cap) {
        inode->cap = inode->cap ? 2 * inode->cap : 16;
        inode->ops = must(realloc(inode->ops, inode->cap * sizeof *inode->ops));
    }
    struct op *op = &inode->ops[inode->count++];
    *op = (struct op){.at = at, .len = len};
    if (data) {
        op->data = must(malloc(len ? len : 1));
        memcpy(op->data, data, len);
    }
    op_apply(&inode->now, op);
}

static void inode_sync(struct inode *inode) {
    size_t gone = 0;
    for (size_t i = 0; i < inode->count; i++) {
        if (inode->ops[i].gone) {
            inode->ops[gone++] = inode->ops[i];
        } else {
            op_apply(&inode->kept, &inode->ops[i]);
            free(inode->ops[i].data);
        }
    }
    inode->count = gone;
}

static void inode_free(struct inode *inode) {
    ops_clear(inode);
    for (int i = 0; i < SHM_REGIONS; i++) {
        free(inode->shm[i]);
    }
    free(inode->ops);
    free(inode->now.data);
    free(inode->kept.data);
    free(inode);
}

static struct inode *inode_new(void) {
    struct inode *inode = must(calloc(1, sizeof *inode));
    inode->next = disk.inodes;
    disk.inodes = inode;
    return inode;
}

static struct name *name_find(const char *text, bool make) {
    for (int i = 0; i < disk.name_count; i++) {
        if (strcmp(disk.names[i].text, text) == 0) {
            return &disk.names[i];
        }
    }
    if (!make) {
        return NULL;
    }
    assert(disk.name_count < NAMES && strlen(text) < sizeof disk.names[0].text);
    struct name *name = &disk.names[disk.name_count++];
    *name = (struct name){.count = 1};
    memcpy(name->text, text, strlen(text) + 1);
    return name;
}

static struct inode *name_target(const char *text) {
    struct name *name = name_find(text, false);
    return name ? name->history[name->count - 1] : NULL;
}

static void name_point(const char *text, struct inode *inode) {
    struct name *name = name_find(text, true);
    if (name->count == HISTORY) { /* the oldest possibility but the one on the disk is given up */
        memmove(&name->history[1], &name->history[2], (HISTORY - 2) * sizeof name->history[0]);
        name->count--;
    }
    name->history[name->count++] = inode;
}

static void names_sync(void) {
    for (int i = 0; i < disk.name_count; i++) {
        struct name *name = &disk.names[i];
        name->history[0] = name->history[name->count - 1];
        name->count = 1;
    }
}

static void sweep(void) {
    for (struct inode **at = &disk.inodes; *at;) {
        struct inode *inode = *at;
        bool used = inode->handles > 0;
        for (int i = 0; i < disk.name_count && !used; i++) {
            for (int k = 0; k < disk.names[i].count && !used; k++) {
                used = disk.names[i].history[k] == inode;
            }
        }
        if (used) {
            at = &inode->next;
        } else {
            *at = inode->next;
            inode_free(inode);
        }
    }
}

/* --- the power fails -------------------------------------------------------------------------- */

struct mood {      /* of one failure */
    bool in_order; /* a prefix of the operations, the next one torn; else any of them */
    unsigned keep; /* of 16 sectors */
    bool garbage;  /* what a grown file's lost sectors hold, instead of zeros */
};

static bool chance(unsigned of_16) {
    return prng_below(&disk.random, 16) < of_16;
}

static size_t size_after(size_t size, const struct op *op) {
    return op->gone ? size : !op->data ? op->at : op->at + op->len > size ? op->at + op->len : size;
}

/* Applies the part of a write that lies in one sector; a truncation zeroes what it cuts. */
static void sector_apply(unsigned char *sector, size_t start, const struct op *op) {
    size_t from = op->at > start ? op->at : start;
    size_t to = op->data ? op->at + op->len : SIZE_MAX;
    to = to < start + SECTOR ? to : start + SECTOR;
    if (from < to && op->data) {
        memcpy(sector + (from - start), op->data + (from - op->at), to - from);
    } else if (from < to) {
        memset(sector + (from - start), 0, to - from);
    }
}

static bool touches(const struct op *op, size_t start) {
    return op->data ? op->at < start + SECTOR && op->at + op->len > start : op->at < start + SECTOR;
}

/* How many of the operations on this sector have reached it: those before one point in time, for a
 * sector is written as it stood at some moment. */
static size_t sector_cut(const struct inode *inode, size_t start, const struct mood *mood,
                         size_t reached) {
    size_t touched = 0;
    for (size_t i = 0; i < inode->count; i++) {
        touched += touches(&inode->ops[i], start) ? 1 : 0;
    }
    if (mood->in_order) {
        size_t before = 0;
        for (size_t i = 0; i < reached; i++) {
            before += touches(&inode->ops[i], start) ? 1 : 0;
        }
        bool torn = reached < inode->count && touches(&inode->ops[reached], start) && chance(8);
        return before + (torn ? 1 : 0);
    }
    if (chance(mood->keep)) {
        return touched;
    }
    return touched > 1 ? (size_t)prng_below(&disk.random, touched) : 0;
}

static void sector_settle(const struct inode *inode, struct bytes *out, size_t start,
                          const struct mood *mood, size_t reached) {
    unsigned char sector[SECTOR] = {0};
    size_t known = start < inode->kept.len ? inode->kept.len - start : 0;
    if (known > 0) {
        memcpy(sector, inode->kept.data + start, known < SECTOR ? known : SECTOR);
    }
    size_t cut = sector_cut(inode, start, mood, reached), touched = 0;
    for (size_t i = 0; i < inode->count; i++) {
        /* What a failed sync left behind never gets there by itself. */
        if (touches(&inode->ops[i], start) && touched++ < cut && !inode->ops[i].gone) {
            sector_apply(sector, start, &inode->ops[i]);
        }
    }
    disk.report.sectors_kept += cut;
    disk.report.sectors_lost += touched - cut;
    if (cut == 0 && known == 0 && mood->garbage) {
        for (size_t i = 0; i < SECTOR; i++) {
            sector[i] = (unsigned char)prng_next(&disk.random);
        }
        disk.report.garbage++;
    }
    if (start < out->len) {
        size_t room = out->len - start;
        memcpy(out->data + start, sector, room < SECTOR ? room : SECTOR);
    }
}

static void inode_settle(struct inode *inode, const struct mood *mood) {
    if (inode->count > 0) {
        size_t reached = (size_t)prng_below(&disk.random, inode->count + 1);
        size_t end = inode->kept.len, size = inode->kept.len, final;
        /* The size: as it was after one of the operations, or at the last sync. */
        size_t at = mood->in_order ? reached
                    : chance(8)    ? inode->count
                                   : (size_t)prng_below(&disk.random, inode->count + 1);
        for (size_t i = 0; i < inode->count; i++) {
            size = i < at ? size_after(size, &inode->ops[i]) : size;
            end = size_after(end, &inode->ops[i]) > end ? size_after(end, &inode->ops[i]) : end;
        }
        final = size;
        disk.report.sizes_lost += at < inode->count && final != inode->now.len ? 1 : 0;
        struct bytes out = {0};
        bytes_resize(&out, final);
        bytes_write(&out, 0, inode->kept.data, final < inode->kept.len ? final : inode->kept.len);
        bool *seen = must(calloc(end / SECTOR + 1, sizeof *seen));
        for (size_t i = 0; i < inode->count; i++) {
            const struct op *op = &inode->ops[i];
            size_t last = op->data ? op->at + op->len : end;
            for (size_t s = op->at / SECTOR; !op->gone && s * SECTOR < last; s++) {
                if (!seen[s]) {
                    seen[s] = true;
                    sector_settle(inode, &out, s * SECTOR, mood, reached);
                }
            }
        }
        free(seen);
        free(inode->kept.data);
        inode->kept = out;
        ops_clear(inode);
    }
    bytes_resize(&inode->now, 0);
    bytes_write(&inode->now, 0, inode->kept.data, inode->kept.len);
}

void disk_reboot(void) {
    static const unsigned keeps[] = {0, 2, 8, 14, 16};
    pthread_mutex_lock(&disk.mutex);
    assert(disk.handles == 0);
    disk.report.losses++;
    disk.report.at_rest += disk.dead ? 0 : 1;
    struct mood mood = {
        .in_order = chance(6), .keep = keeps[prng_below(&disk.random, 5)], .garbage = chance(4)};
    for (int i = 0; i < disk.name_count; i++) {
        struct name *name = &disk.names[i];
        int pick = chance(mood.keep) ? name->count - 1
                                     : (int)prng_below(&disk.random, (uint64_t)name->count);
        disk.report.names_lost += pick < name->count - 1 ? 1 : 0;
        name->history[0] = name->history[pick];
        name->count = 1;
    }
    sweep();
    for (struct inode *inode = disk.inodes; inode; inode = inode->next) {
        inode_settle(inode, &mood);
    }
    disk.armed = 0;
    disk.dead = false;
    pthread_mutex_unlock(&disk.mutex);
}

/* --- what happens at each call ---------------------------------------------------------------- */

enum call { CALL_OPEN, CALL_READ, CALL_WRITE, CALL_TRUNCATE, CALL_SYNC, CALL_NAME, CALL_LOOK };

static _Thread_local int last_errno;

static int io_error(enum call call) {
    static const int codes[] = {
        [CALL_OPEN] = SQLITE_CANTOPEN,     [CALL_READ] = SQLITE_IOERR_READ,
        [CALL_WRITE] = SQLITE_IOERR_WRITE, [CALL_TRUNCATE] = SQLITE_IOERR_TRUNCATE,
        [CALL_SYNC] = SQLITE_IOERR_FSYNC,  [CALL_NAME] = SQLITE_IOERR_DELETE,
        [CALL_LOOK] = SQLITE_IOERR_FSTAT};
    return codes[call];
}

/* SQLITE_OK, or the error that this call is to end with. The mutex is held. */
static int fault(enum call call, bool makes) {
    if (disk.dead) {
        last_errno = EIO;
        return io_error(call);
    }
    bool space = call == CALL_WRITE || call == CALL_SYNC || makes;
    if (disk.fault == FAULT_NONE || (disk.fault == FAULT_NOSPACE && !space) ||
        (disk.fault_in > 1 && disk.fault_in--)) {
        return SQLITE_OK;
    }
    disk.fault_reached = true;
    last_errno = disk.fault == FAULT_IO ? EIO : ENOSPC;
    int rc = disk.fault == FAULT_NOSPACE && call == CALL_WRITE ? SQLITE_FULL : io_error(call);
    if (!disk.fault_stays) {
        disk.fault = FAULT_NONE;
    }
    return rc;
}

/* Counts a change; true when the power fails at it. */
static bool power_fails(uint64_t *counter) {
    disk.report.changes++;
    if (disk.armed == 0 || --disk.armed > 0) {
        return false;
    }
    (*counter)++;
    disk.dead = true;
    last_errno = EIO;
    return true;
}

struct handle {
    sqlite3_file base;
    struct inode *inode;
    int lock;
    bool temporary, database, log;
    bool names; /* its first sync covers the directory, as in SQLite's unix VFS */
    bool mapped;
    unsigned shm_shared, shm_exclusive; /* bits */
};

static void enter(void) {
    pthread_mutex_lock(&disk.mutex);
}

static int leave(int rc) {
    pthread_mutex_unlock(&disk.mutex);
    return rc;
}

/* --- sqlite3_io_methods ----------------------------------------------------------------------- */

static void release_shm(struct handle *h) {
    struct inode *inode = h->inode;
    for (int i = 0; i < SQLITE_SHM_NLOCK; i++) {
        if (h->shm_exclusive & 1u << i) {
            inode->shm_exclusive[i] = NULL;
        }
        if (h->shm_shared & 1u << i) {
            inode->shm_shared[i]--;
        }
    }
    h->shm_exclusive = h->shm_shared = 0;
    if (h->mapped && --inode->shm_handles == 0) {
        for (int i = 0; i < SHM_REGIONS; i++) {
            free(inode->shm[i]);
            inode->shm[i] = NULL;
        }
    }
    h->mapped = false;
}

static void unlock_to(struct handle *h, int level) {
    struct inode *inode = h->inode;
    if (level < SQLITE_LOCK_RESERVED && inode->reserved == h) {
        inode->reserved = NULL;
    }
    if (level < SQLITE_LOCK_EXCLUSIVE && inode->exclusive == h) {
        inode->exclusive = NULL;
    }
    if (level < SQLITE_LOCK_SHARED && h->lock >= SQLITE_LOCK_SHARED) {
        inode->shared--;
    }
    h->lock = level < h->lock ? level : h->lock;
}

static int file_close(sqlite3_file *file) {
    struct handle *h = (struct handle *)file;
    enter();
    release_shm(h);
    unlock_to(h, SQLITE_LOCK_NONE);
    h->inode->handles--;
    disk.handles--;
    if (h->temporary) {
        sweep();
    }
    return leave(SQLITE_OK);
}

static int file_read(sqlite3_file *file, void *out, int len, sqlite3_int64 offset) {
    struct handle *h = (struct handle *)file;
    enter();
    int rc = fault(CALL_READ, false);
    if (rc != SQLITE_OK) {
        return leave(rc);
    }
    const struct bytes *now = &h->inode->now;
    size_t at = (size_t)offset, wanted = (size_t)len;
    size_t there = at < now->len ? now->len - at : 0;
    there = there < wanted ? there : wanted;
    if (there > 0) {
        memcpy(out, now->data + at, there);
    }
    memset((char *)out + there, 0, wanted - there);
    return leave(there < wanted ? SQLITE_IOERR_SHORT_READ : SQLITE_OK);
}

static int file_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 offset) {
    struct handle *h = (struct handle *)file;
    enter();
    int rc = fault(CALL_WRITE, false);
    if (rc != SQLITE_OK && !disk.dead) {
        op_add(h->inode, (size_t)offset, data, (size_t)len / 2);
    } else if (rc == SQLITE_OK) {
        op_add(h->inode, (size_t)offset, data, (size_t)len);
        if (!h->temporary && power_fails(&disk.report.at_write)) {
            rc = SQLITE_IOERR_WRITE; /* torn when the disk settles */
        }
    }
    if (h->temporary) {
        ops_clear(h->inode);
    }
    return leave(rc);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size) {
    struct handle *h = (struct handle *)file;
    enter();
    int rc = fault(CALL_TRUNCATE, false);
    if (rc == SQLITE_OK) {
        op_add(h->inode, (size_t)size, NULL, 0);
        if (!h->temporary && power_fails(&disk.report.at_truncate)) {
            rc = SQLITE_IOERR_TRUNCATE;
        }
    }
    return leave(rc);
}

static bool lies_about(const struct handle *h) {
    return (h->log && disk.lies & LIE_LOG_SYNC) || (h->database && disk.lies & LIE_DATABASE_SYNC);
}

static void sync_now(struct handle *h) {
    disk.report.syncs++;
    if (!lies_about(h)) {
        inode_sync(h->inode);
    }
    if (h->names && !(disk.lies & LIE_DIRECTORY_SYNC)) {
        names_sync();
    }
    h->names = false;
}

static int file_sync(sqlite3_file *file, int flags) {
    struct handle *h = (struct handle *)file;
    (void)flags;
    enter();
    int rc = disk.dead ? SQLITE_IOERR_FSYNC : fault(CALL_SYNC, false);
    if (rc != SQLITE_OK && !disk.dead) {
        for (size_t i = 0; i < h->inode->count; i++) {
            h->inode->ops[i].gone = true;
        }
    } else if (rc == SQLITE_OK && power_fails(&disk.report.at_sync)) {
        rc = SQLITE_IOERR_FSYNC;
        if (chance(4)) { /* it is on the disk, but nobody was told */
            sync_now(h);
        }
    } else if (rc == SQLITE_OK) {
        sync_now(h);
    }
    return leave(rc);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size) {
    struct handle *h = (struct handle *)file;
    enter();
    *size = (sqlite3_int64)h->inode->now.len;
    return leave(fault(CALL_LOOK, false));
}

static int file_lock(sqlite3_file *file, int level) {
    struct handle *h = (struct handle *)file;
    struct inode *inode = h->inode;
    int rc = SQLITE_OK;
    enter();
    if (level <= h->lock) {
        return leave(SQLITE_OK);
    }
    if (level == SQLITE_LOCK_SHARED) {
        if (inode->exclusive && inode->exclusive != h) {
            return leave(SQLITE_BUSY);
        }
        inode->shared++;
    } else if (level == SQLITE_LOCK_RESERVED) {
        if (inode->reserved && inode->reserved != h) {
            return leave(SQLITE_BUSY);
        }
        inode->reserved = h;
    } else {
        if ((inode->reserved && inode->reserved != h) ||
            (inode->exclusive && inode->exclusive != h)) {
            return leave(SQLITE_BUSY);
        }
        inode->reserved = inode->exclusive = h;
        if (inode->shared > 1) {
            level = SQLITE_LOCK_PENDING;
            rc = SQLITE_BUSY;
        }
    }
    h->lock = level;
    return leave(rc);
}

static int file_unlock(sqlite3_file *file, int level) {
    enter();
    unlock_to((struct handle *)file, level);
    return leave(SQLITE_OK);
}

static int file_check_reserved(sqlite3_file *file, int *out) {
    struct handle *h = (struct handle *)file;
    enter();
    *out = h->inode->reserved != NULL;
    return leave(SQLITE_OK);
}

static int file_control(sqlite3_file *file, int op, void *arg) {
    (void)file;
    (void)op;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *file) {
    (void)file;
    return 4096; /* as SQLite's unix VFS says */
}

static int file_characteristics(sqlite3_file *file) {
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* likewise */
}

static int shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out) {
    struct handle *h = (struct handle *)file;
    struct inode *inode = h->inode;
    enter();
    assert(region < SHM_REGIONS);
    *out = NULL;
    int rc = SQLITE_OK;
    if (!inode->shm[region] && extend) {
        rc = fault(CALL_OPEN, true) == SQLITE_OK ? SQLITE_OK : SQLITE_IOERR_SHMSIZE;
    }
    if (rc == SQLITE_OK) {
        if (!h->mapped) {
            h->mapped = true;
            inode->shm_handles++;
        }
        if (!inode->shm[region] && extend) {
            inode->shm[region] = must(calloc(1, (size_t)size));
        }
        *out = inode->shm[region];
    }
    return leave(rc);
}

static int shm_lock(sqlite3_file *file, int offset, int n, int flags) {
    struct handle *h = (struct handle *)file;
    struct inode *inode = h->inode;
    unsigned bits = ((1u << n) - 1) << offset;
    enter();
    bool shared = flags & SQLITE_SHM_SHARED;
    for (int i = offset; i < offset + n; i++) {
        bool other = inode->shm_exclusive[i] && inode->shm_exclusive[i] != h;
        bool mine = h->shm_shared & 1u << i;
        if (flags & SQLITE_SHM_LOCK &&
            (other || (!shared && inode->shm_shared[i] > (mine ? 1 : 0)))) {
            return leave(SQLITE_BUSY);
        }
    }
    for (int i = offset; i < offset + n; i++) {
        bool mine = h->shm_shared & 1u << i;
        if (flags & SQLITE_SHM_LOCK) {
            inode->shm_shared[i] += shared && !mine ? 1 : 0;
            inode->shm_exclusive[i] = shared ? inode->shm_exclusive[i] : h;
        } else {
            inode->shm_shared[i] -= mine ? 1 : 0;
            if (inode->shm_exclusive[i] == h) {
                inode->shm_exclusive[i] = NULL;
            }
        }
    }
    if (flags & SQLITE_SHM_UNLOCK) {
        h->shm_shared &= ~bits;
        h->shm_exclusive &= ~bits;
    } else if (shared) {
        h->shm_shared |= bits;
    } else {
        h->shm_exclusive |= bits;
    }
    return leave(SQLITE_OK);
}

static void shm_barrier(sqlite3_file *file) {
    (void)file;
    enter();
    leave(SQLITE_OK);
}

static int shm_unmap(sqlite3_file *file, int remove) {
    (void)remove;
    enter();
    release_shm((struct handle *)file);
    return leave(SQLITE_OK);
}

static const sqlite3_io_methods methods = {.iVersion = 2,
                                           .xClose = file_close,
                                           .xRead = file_read,
                                           .xWrite = file_write,
                                           .xTruncate = file_truncate,
                                           .xSync = file_sync,
                                           .xFileSize = file_size,
                                           .xLock = file_lock,
                                           .xUnlock = file_unlock,
                                           .xCheckReservedLock = file_check_reserved,
                                           .xFileControl = file_control,
                                           .xSectorSize = file_sector,
                                           .xDeviceCharacteristics = file_characteristics,
                                           .xShmMap = shm_map,
                                           .xShmLock = shm_lock,
                                           .xShmBarrier = shm_barrier,
                                           .xShmUnmap = shm_unmap};

/* --- sqlite3_vfs ------------------------------------------------------------------------------ */

/* Every file lies in one directory; what stands before the last slash is for the lock file. */
static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int disk_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out) {
    struct handle *h = (struct handle *)file;
    (void)vfs;
    memset(h, 0, sizeof *h);
    enter();
    struct inode *inode = path ? name_target(base_name(path)) : NULL;
    bool makes = !inode && flags & SQLITE_OPEN_CREATE;
    int rc = fault(CALL_OPEN, makes);
    if (rc == SQLITE_OK && !inode && path && !makes) {
        last_errno = ENOENT;
        rc = SQLITE_CANTOPEN;
    }
    bool fails = false;
    if (rc == SQLITE_OK && !inode) {
        inode = inode_new();
        if (path) {
            fails = power_fails(&disk.report.at_open);
            name_point(base_name(path), inode);
        }
    }
    if (rc != SQLITE_OK || fails) {
        return leave(fails ? SQLITE_CANTOPEN : rc);
    }
    h->base.pMethods = &methods;
    h->inode = inode;
    h->temporary = !path;
    h->database = flags & SQLITE_OPEN_MAIN_DB;
    h->log = flags & SQLITE_OPEN_WAL;
    h->names = path && flags & SQLITE_OPEN_CREATE &&
               flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL);
    inode->handles++;
    disk.handles++;
    if (out) {
        *out = flags;
    }
    return leave(SQLITE_OK);
}

static int disk_delete(sqlite3_vfs *vfs, const char *path, int sync) {
    (void)vfs;
    enter();
    int rc = fault(CALL_NAME, false);
    if (rc == SQLITE_OK && !name_target(base_name(path))) {
        rc = SQLITE_IOERR_DELETE_NOENT;
    }
    if (rc == SQLITE_OK) {
        bool fails = power_fails(&disk.report.at_name);
        name_point(base_name(path), NULL);
        if (sync && !fails && !(disk.lies & LIE_DIRECTORY_SYNC)) {
            names_sync();
        }
        rc = fails ? SQLITE_IOERR_DELETE : SQLITE_OK;
    }
    return leave(rc);
}

static int disk_access(sqlite3_vfs *vfs, const char *path, int flags, int *out) {
    (void)vfs;
    enter();
    struct inode *inode = name_target(base_name(path));
    *out = inode && (flags != SQLITE_ACCESS_EXISTS || inode->now.len > 0);
    return leave(fault(CALL_LOOK, false) == SQLITE_OK ? SQLITE_OK : SQLITE_IOERR_ACCESS);
}

static int disk_full_path(sqlite3_vfs *vfs, const char *path, int size, char *out) {
    (void)vfs;
    sqlite3_snprintf(size, out, "%s", path);
    return SQLITE_OK;
}

static int disk_randomness(sqlite3_vfs *vfs, int size, char *out) {
    (void)vfs;
    enter();
    for (int i = 0; i < size; i++) {
        out[i] = (char)prng_next(&disk.random);
    }
    return leave(size);
}

static int disk_sleep(sqlite3_vfs *vfs, int microseconds) {
    sqlite3_vfs *real = sqlite3_vfs_find("unix");
    (void)vfs;
    return real->xSleep(real, microseconds);
}

static int disk_time(sqlite3_vfs *vfs, double *out) {
    (void)vfs;
    *out = 2461368.0;
    return SQLITE_OK;
}

static int disk_last_error(sqlite3_vfs *vfs, int size, char *out) {
    (void)vfs;
    (void)size;
    (void)out;
    return last_errno;
}

static sqlite3_vfs vfs_methods = {.iVersion = 1,
                                  .szOsFile = sizeof(struct handle),
                                  .mxPathname = 512,
                                  .zName = "crash",
                                  .xOpen = disk_open,
                                  .xDelete = disk_delete,
                                  .xAccess = disk_access,
                                  .xFullPathname = disk_full_path,
                                  .xRandomness = disk_randomness,
                                  .xSleep = disk_sleep,
                                  .xCurrentTime = disk_time,
                                  .xGetLastError = disk_last_error};

/* --- the tests' side -------------------------------------------------------------------------- */

void disk_free(void) {
    pthread_mutex_lock(&disk.mutex);
    assert(disk.handles == 0);
    disk.name_count = 0;
    sweep();
    pthread_mutex_unlock(&disk.mutex);
}

void disk_new(uint64_t seed) {
    sqlite3_vfs_register(&vfs_methods, 0);
    disk_free();
    pthread_mutex_lock(&disk.mutex);
    prng_seed(&disk.random, seed);
    disk.armed = 0;
    disk.dead = false;
    disk.lies = 0;
    disk.fault = FAULT_NONE;
    disk.fault_reached = false;
    pthread_mutex_unlock(&disk.mutex);
}

void disk_arm(uint64_t n) {
    pthread_mutex_lock(&disk.mutex);
    disk.armed = n;
    pthread_mutex_unlock(&disk.mutex);
}

bool disk_is_dead(void) {
    pthread_mutex_lock(&disk.mutex);
    bool dead = disk.dead;
    pthread_mutex_unlock(&disk.mutex);
    return dead;
}

void disk_lie(unsigned lies) {
    pthread_mutex_lock(&disk.mutex);
    disk.lies = lies;
    pthread_mutex_unlock(&disk.mutex);
}

void disk_fail(enum disk_fault fault_kind, uint64_t n, bool stays) {
    pthread_mutex_lock(&disk.mutex);
    disk.fault = fault_kind;
    disk.fault_in = n;
    disk.fault_stays = stays;
    disk.fault_reached = false;
    pthread_mutex_unlock(&disk.mutex);
}

bool disk_has_failed(void) {
    pthread_mutex_lock(&disk.mutex);
    bool reached = disk.fault_reached;
    pthread_mutex_unlock(&disk.mutex);
    return reached;
}

struct disk_report disk_report(void) {
    pthread_mutex_lock(&disk.mutex);
    struct disk_report report = disk.report;
    pthread_mutex_unlock(&disk.mutex);
    return report;
}
