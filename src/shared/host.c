/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file: a header of one page, then HOST_NAMES slots of fixed size. Names and settings are read
 * and written under a write lock on byte 0; the policies' words are used by everybody at any time,
 * without a lock. Bytes far behind the file's end serve as locks only:
 *
 *   ATTACHED + i                  read-locked by each handle that uses slot i, so that a name that
 *                                 was forgotten gives its slot to another only when nobody uses it
 *   CONCURRENT + i * SPREAD + k   write-locked by who holds concurrency slot k of slot i
 *
 * A file that is shorter than it should be is refused: touching a page behind its end would kill
 * the process. Its blocks are allocated when it is made, for the same reason.
 */
#include "shared/host.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "io/file.h"
#include "io/lock.h"
#include "shared/fields.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "HrdyGrds"
#define LAYOUT 3
#define HEADER_SIZE 4096
#define LOCK_BYTE 0
#define ATTACHED (INT64_C(1) << 32)
#define CONCURRENT (INT64_C(1) << 40)
#define SPREAD (INT64_C(1) << 20)   /* concurrency slots of one name */
#define PATIENCE (5 * HARDY_SECOND) /* the lock is held for microseconds */

struct header {
    char magic[8];
    uint32_t layout;
    uint32_t slots, slot_size;
    char boot_id[40];
};

struct slot {
    char name[64]; /* "": free */
    struct fields settings;
    struct breaker_words breaker;
    struct gcra_words rate;
    struct budget_words budget;
};

#define FILE_SIZE (HEADER_SIZE + HOST_NAMES * sizeof(struct slot))

struct host {
    int fd;
    char *state, *path;
    unsigned char *memory;
};

/* --- the file ----------------------------------------------------------------------------- */

static struct header *header_of(struct host *host) {
    return (struct header *)(void *)host->memory;
}

static struct slot *slot_at(struct host *host, size_t index) {
    return (struct slot *)(void *)(host->memory + HEADER_SIZE) + index;
}

static hardy_status lock(struct host *host, hardy_error *error) {
    hardy_status status = lock_wait_for(host->fd, LOCK_BYTE, PATIENCE, error);
    if (status == HARDY_E_RUNNING) {
        return fail(error, status, host->path,
                    "another process has held the lock for 5s; it is perhaps stopped: fuser %s",
                    host->path);
    }
    return status;
}

static void unlock(struct host *host) {
    lock_release(host->fd, LOCK_BYTE);
}

static bool all_zero(const void *data, size_t len) {
    const unsigned char *p = data;
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* Under the lock: a file that is empty, or was left all zero by a maker that was killed. */
static hardy_status make(const struct host *host, const char *boot_id, hardy_error *error) {
    int err = posix_fallocate(host->fd, 0, (off_t)FILE_SIZE);
    if (err) {
        return fail_errno(error, err, host->path, "cannot allocate %zu bytes", FILE_SIZE);
    }
    struct header header = {
        .layout = LAYOUT, .slots = HOST_NAMES, .slot_size = sizeof(struct slot)};
    memcpy(header.magic, MAGIC, sizeof header.magic);
    str_copy(header.boot_id, sizeof header.boot_id, boot_id);
    if (pwrite(host->fd, &header, sizeof header, 0) != (ssize_t)sizeof header) {
        return fail_errno(error, errno, host->path, "cannot write");
    }
    return HARDY_OK;
}

/* Under the lock: judges the file by its size and header, makes it when nobody has yet. */
static hardy_status check(struct host *host, const char *boot_id, bool *other_boot,
                          hardy_error *error) {
    struct stat st;
    if (fstat(host->fd, &st) != 0) {
        return fail_errno(error, errno, host->path, "cannot be looked at");
    }
    if (!S_ISREG(st.st_mode)) {
        return fail(error, HARDY_E_CORRUPT, host->path, "is not a regular file");
    }
    unsigned char page[HEADER_SIZE] = {0};
    ssize_t n = pread(host->fd, page, sizeof page, 0);
    if (n < 0) {
        return fail_errno(error, errno, host->path, "cannot read");
    }
    struct header header;
    memcpy(&header, page, sizeof header);
    *other_boot = false;
    if (st.st_size <= (off_t)FILE_SIZE && all_zero(page, sizeof page)) {
        return make(host, boot_id, error);
    }
    if (n < (ssize_t)sizeof header || memcmp(header.magic, MAGIC, sizeof header.magic) != 0) {
        return fail(error, HARDY_E_CORRUPT, host->path,
                    "is not a file of guards: hardy left it as it is; move it away, or use another "
                    "--state");
    }
    if (header.layout > LAYOUT) {
        return fail(error, HARDY_E_NEWER, host->path,
                    "has layout %u, this hardy knows %u: use the newer one", header.layout, LAYOUT);
    }
    if (header.layout != LAYOUT || header.slots != HOST_NAMES ||
        header.slot_size != sizeof(struct slot)) {
        return fail(error, HARDY_E_CORRUPT, host->path,
                    "was made by another build of hardy (layout %u, %u slots of %u bytes; here %u, "
                    "%u of %zu): when nothing uses it, remove it",
                    header.layout, header.slots, header.slot_size, LAYOUT, HOST_NAMES,
                    sizeof(struct slot));
    }
    if (st.st_size != (off_t)FILE_SIZE) {
        return fail(error, HARDY_E_CORRUPT, host->path,
                    "has %lld bytes instead of %zu, it was cut: when nothing uses it, remove it",
                    (long long)st.st_size, FILE_SIZE);
    }
    header.boot_id[sizeof header.boot_id - 1] = '\0';
    *other_boot = !str_eq(header.boot_id, boot_id);
    return HARDY_OK;
}

/* Under the lock. Times of another boot mean nothing in this one, and nobody of that boot lives. */
static void start_anew(struct host *host, const char *boot_id) {
    memset(host->memory + HEADER_SIZE, 0, FILE_SIZE - HEADER_SIZE);
    str_copy(header_of(host)->boot_id, sizeof header_of(host)->boot_id, boot_id);
}

static hardy_status open_file(struct host *host, bool create, hardy_error *error) {
    /* O_NONBLOCK: a pipe in the file's place must not hang us. */
    int flags = O_RDWR | O_CLOEXEC | O_NONBLOCK | (create ? O_CREAT : 0);
    host->fd = open(host->path, flags, 0600);
    if (host->fd < 0 && errno == ENOENT && create) {
        char *slash = strrchr(host->path, '/');
        char *directory = slash ? str_ndup(host->path, (size_t)(slash - host->path)) : NULL;
        hardy_status status = HARDY_OK;
        if (directory && directory[0]) {
            status = file_make_dirs(directory, 0700, error);
        }
        free(directory);
        if (status != HARDY_OK) {
            return status;
        }
        host->fd = open(host->path, flags, 0600);
    }
    if (host->fd < 0 && errno == ENOENT) {
        return fail(error, HARDY_E_NOT_FOUND, host->path,
                    "no guard has been used with this state yet");
    }
    if (host->fd < 0) {
        return fail_errno(error, errno, host->path, "cannot open");
    }
    return HARDY_OK;
}

static bool replaced(const struct host *host) {
    struct stat mine, there;
    return fstat(host->fd, &mine) == 0 &&
           (stat(host->path, &there) != 0 || mine.st_ino != there.st_ino ||
            mine.st_dev != there.st_dev);
}

static hardy_status open_and_map(struct host *host, bool create, hardy_error *error) {
    char boot_id[37];
    file_boot_id(boot_id);
    if (!boot_id[0]) {
        return fail(error, HARDY_E_UNSUPPORTED, host->path,
                    "the kernel tells no boot id (/proc is missing?), so nobody knows whether the "
                    "times in it are of this boot");
    }
    if (file_on_network(host->path)) {
        return fail(error, HARDY_E_UNSUPPORTED, host->path,
                    "lies on a network file system, where machines do not share locks and memory: "
                    "use a --state on a local disk");
    }
    hardy_status status = open_file(host, create, error);
    if (status == HARDY_OK) {
        status = lock(host, error);
    }
    /* Somebody may have moved the file away between the two calls above. */
    for (int i = 0; status == HARDY_OK && replaced(host) && i < 8; i++) {
        close(host->fd);
        host->fd = -1;
        status = open_file(host, create, error);
        if (status == HARDY_OK) {
            status = lock(host, error);
        }
    }
    if (status != HARDY_OK) {
        return status;
    }
    bool other_boot;
    status = check(host, boot_id, &other_boot, error);
    if (status == HARDY_OK) {
        void *memory = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, host->fd, 0);
        if (memory == MAP_FAILED) {
            status = fail_errno(error, errno, host->path, "cannot map");
        } else {
            host->memory = memory;
            if (other_boot) {
                start_anew(host, boot_id);
            }
        }
    }
    unlock(host);
    return status;
}

hardy_status host_open(const char *state, bool create, struct host **out, hardy_error *error) {
    struct host *host = calloc(1, sizeof *host);
    if (host) {
        host->fd = -1;
        host->state = str_dup(state);
        host->path = str_format("%s-guards", state);
    }
    if (!host || !host->state || !host->path) {
        host_close(host);
        return fail(error, HARDY_E_NOMEM, state, "out of memory");
    }
    hardy_status status = open_and_map(host, create, error);
    if (status != HARDY_OK) {
        host_close(host);
        return status;
    }
    *out = host;
    return HARDY_OK;
}

void host_close(struct host *host) {
    if (!host) {
        return;
    }
    if (host->memory) {
        munmap(host->memory, FILE_SIZE);
    }
    if (host->fd >= 0) {
        close(host->fd);
    }
    free(host->state);
    free(host->path);
    free(host);
}

const char *host_path(const struct host *host) {
    return host->path;
}

/* --- names -------------------------------------------------------------------------------- */

static bool used_by_others(const struct host *host, size_t index) {
    return lock_held(host->fd, ATTACHED + (int64_t)index);
}

static bool has_settings(const struct slot *slot) {
    return fields_any(&slot->settings);
}

static struct slot *find(struct host *host, const char *name) {
    for (size_t i = 0; i < HOST_NAMES; i++) {
        if (str_eq(slot_at(host, i)->name, name)) {
            return slot_at(host, i);
        }
    }
    return NULL;
}

/* A slot that was never used, else one whose name was forgotten and that nobody uses any more. */
static struct slot *find_free(struct host *host) {
    for (size_t i = 0; i < HOST_NAMES; i++) {
        if (!slot_at(host, i)->name[0]) {
            return slot_at(host, i);
        }
    }
    for (size_t i = 0; i < HOST_NAMES; i++) {
        if (!has_settings(slot_at(host, i)) && !used_by_others(host, i)) {
            return slot_at(host, i);
        }
    }
    return NULL;
}

static hardy_status check_ranges(const struct host_policies *p, hardy_error *error) {
    hardy_status status = HARDY_OK;
    if (p->want_breaker != HOST_IF_STORED) {
        status = breaker_check(&p->breaker, error);
    }
    if (status == HARDY_OK && p->want_rate != HOST_IF_STORED) {
        status = rate_check(&p->rate, error);
    }
    if (status == HARDY_OK && p->want_budget != HOST_IF_STORED) {
        status = budget_check(&p->budget, error);
    }
    if (status == HARDY_OK && p->want_slots != HOST_IF_STORED &&
        (p->max_concurrent < 1 || p->max_concurrent > SPREAD)) {
        status = fail(error, HARDY_E_INVALID, NULL, "max_concurrent %u is not in 1 to %lld",
                      p->max_concurrent, (long long)SPREAD);
    }
    return status;
}

/* A word in single quotes, for a line to type. */
static void quote(const char *word, struct buf *out) {
    if (word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")] ==
        '\0') {
        buf_puts(out, word);
        return;
    }
    buf_putc(out, '\'');
    for (; *word; word++) {
        if (*word == '\'') {
            buf_puts(out, "'\\''");
        } else {
            buf_putc(out, *word);
        }
    }
    buf_putc(out, '\'');
}

/* Both settings and the line that forgets the stored ones, or HARDY_OK when they are the same. */
static hardy_status compare(const struct host *host, const struct slot *slot, enum policy policy,
                            const void *config, hardy_error *error) {
    struct buf text, state;
    buf_init(&text, sizeof error->message);
    buf_init(&state, sizeof error->message);
    hardy_status status = HARDY_OK;
    if (!fields_same(&slot->settings, policy, config, &text)) {
        quote(host->state, &state);
        status = fail(error, HARDY_E_MISMATCH, host->path,
                      "\"%s\" is stored with other %s settings: %s; to forget them: hardy guards "
                      "reset %s --state %s",
                      slot->name, fields_policy_name(policy), text.data ? text.data : "",
                      slot->name, state.data ? state.data : "PATH");
    }
    buf_free(&text);
    buf_free(&state);
    return status;
}

/* Takes what is stored, stores what is not; true when the policy applies. */
static bool settle(struct slot *slot, enum policy policy, enum host_want want, void *config) {
    if (slot->settings.has[policy]) {
        fields_load(&slot->settings, policy, config);
    } else if (want != HOST_IF_STORED) {
        fields_store(&slot->settings, policy, config);
    }
    return slot->settings.has[policy] != 0;
}

static hardy_status attach(struct host *host, const char *name, struct host_policies *p,
                           struct host_slot *out, hardy_error *error) {
    const struct {
        enum host_want want;
        void *config;
    } rows[POLICIES] = {
        [POLICY_BREAKER] = {p->want_breaker, &p->breaker},
        [POLICY_RATE] = {p->want_rate, &p->rate},
        [POLICY_BUDGET] = {p->want_budget, &p->budget},
        [POLICY_SLOTS] = {p->want_slots, &p->max_concurrent},
    };
    struct slot *slot = find(host, name);
    for (size_t i = 0; slot && i < POLICIES; i++) {
        if (rows[i].want == HOST_GIVEN && slot->settings.has[i]) {
            hardy_status status = compare(host, slot, (enum policy)i, rows[i].config, error);
            if (status != HARDY_OK) {
                return status;
            }
        }
    }
    struct slot *target = slot ? slot : find_free(host);
    if (!target) {
        return fail(error, HARDY_E_NOSPACE, host->path,
                    "\"%s\" finds no room: %d names are kept, and all are in use; `hardy guards "
                    "list` shows them, `hardy guards reset NAME` forgets one",
                    name, HOST_NAMES);
    }
    size_t index = (size_t)(target - slot_at(host, 0));
    hardy_status status = lock_share(host->fd, ATTACHED + (int64_t)index, error);
    if (status != HARDY_OK) {
        return status;
    }
    if (!slot) {
        memset(target, 0, sizeof *target);
        str_copy(target->name, sizeof target->name, name);
    }
    *out = (struct host_slot){.index = (uint32_t)index};
    if (settle(target, POLICY_BREAKER, p->want_breaker, &p->breaker)) {
        out->breaker = &target->breaker;
        p->breaker.size = sizeof p->breaker;
    }
    if (settle(target, POLICY_RATE, p->want_rate, &p->rate)) {
        out->rate = &target->rate;
        p->rate.size = sizeof p->rate;
    }
    if (settle(target, POLICY_BUDGET, p->want_budget, &p->budget)) {
        out->budget = &target->budget;
        p->budget.size = sizeof p->budget;
    }
    if (!settle(target, POLICY_SLOTS, p->want_slots, &p->max_concurrent)) {
        p->max_concurrent = 0;
    }
    return HARDY_OK;
}

hardy_status host_attach(struct host *host, const char *name, struct host_policies *policies,
                         struct host_slot *slot, hardy_error *error) {
    if (!str_valid_name(name)) {
        return fail(error, HARDY_E_INVALID, NULL,
                    "\"%s\" is no name: letters, digits and ._- (at most 63, the first a letter or "
                    "digit)",
                    name);
    }
    hardy_status status = check_ranges(policies, error);
    if (status == HARDY_OK) {
        status = lock(host, error);
    }
    if (status == HARDY_OK) {
        status = attach(host, name, policies, slot, error);
        unlock(host);
    }
    return status;
}

/* --- concurrency slots -------------------------------------------------------------------- */

static int64_t concurrent(const struct host_slot *slot, uint32_t k) {
    return CONCURRENT + (int64_t)slot->index * SPREAD + k;
}

hardy_status host_take_slot(struct host *host, const struct host_slot *slot,
                            uint32_t max_concurrent, int *fd, hardy_error *error) {
    /* Locks belong to an open file: each slot needs one of its own. By the descriptor, for the
     * path may lead elsewhere by now. */
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", host->fd);
    int mine = open(self, O_RDWR | O_CLOEXEC);
    if (mine < 0) {
        return fail_errno(error, errno, host->path, "cannot open again");
    }
    for (uint32_t k = 0; k < max_concurrent && k < SPREAD; k++) {
        hardy_status status = lock_try(mine, concurrent(slot, k), error);
        if (status == HARDY_OK) {
            *fd = mine;
            return HARDY_OK;
        }
        if (status != HARDY_E_RUNNING) {
            close(mine);
            return status;
        }
    }
    close(mine);
    return fail(error, HARDY_E_FULL, host->path, "all %u concurrency slots of \"%s\" are taken",
                max_concurrent, slot_at(host, slot->index)->name);
}

uint32_t host_slots_taken(struct host *host, const struct host_slot *slot,
                          uint32_t max_concurrent) {
    uint32_t taken = 0;
    for (uint32_t k = 0; k < max_concurrent && k < SPREAD; k++) {
        taken += lock_held(host->fd, concurrent(slot, k));
    }
    return taken;
}

/* --- lists, and forgetting ---------------------------------------------------------------- */

static void describe(struct slot *slot, size_t index, struct host_entry *out) {
    *out = (struct host_entry){.slot.index = (uint32_t)index};
    out->has_breaker = slot->settings.has[POLICY_BREAKER];
    out->has_rate = slot->settings.has[POLICY_RATE];
    out->has_budget = slot->settings.has[POLICY_BUDGET];
    if (out->has_breaker) {
        hardy_breaker_config_init(&out->breaker, sizeof out->breaker);
        fields_load(&slot->settings, POLICY_BREAKER, &out->breaker);
        out->slot.breaker = &slot->breaker;
    }
    if (out->has_rate) {
        hardy_rate_config_init(&out->rate, sizeof out->rate);
        fields_load(&slot->settings, POLICY_RATE, &out->rate);
        out->slot.rate = &slot->rate;
    }
    if (out->has_budget) {
        hardy_budget_config_init(&out->budget, sizeof out->budget);
        fields_load(&slot->settings, POLICY_BUDGET, &out->budget);
        out->slot.budget = &slot->budget;
    }
    if (slot->settings.has[POLICY_SLOTS]) {
        fields_load(&slot->settings, POLICY_SLOTS, &out->max_concurrent);
    }
}

struct listed {
    struct host_entry entry;
    char name[sizeof((struct slot *)0)->name];
};

/* Copied first, for `fn` may be slow, or come back to this file. */
hardy_status host_each(struct host *host, bool (*fn)(void *ctx, const struct host_entry *entry),
                       void *ctx, hardy_error *error) {
    struct listed *list = calloc(HOST_NAMES, sizeof *list);
    if (!list) {
        return fail(error, HARDY_E_NOMEM, host->path, "out of memory");
    }
    hardy_status status = lock(host, error);
    if (status == HARDY_OK) {
        size_t count = 0;
        for (size_t i = 0; i < HOST_NAMES; i++) {
            struct slot *slot = slot_at(host, i);
            if (slot->name[0] && has_settings(slot)) {
                struct listed *row = &list[count++];
                describe(slot, i, &row->entry);
                memcpy(row->name, slot->name, sizeof row->name);
                row->entry.name = row->name;
            }
        }
        unlock(host);
        for (size_t i = 0; i < count && fn(ctx, &list[i].entry); i++) {
        }
    }
    free(list);
    return status;
}

static hardy_status nothing_called(struct host *host, const char *name, hardy_error *error) {
    const char *names[HOST_NAMES];
    size_t count = 0;
    for (size_t i = 0; i < HOST_NAMES; i++) {
        if (slot_at(host, i)->name[0] && has_settings(slot_at(host, i))) {
            names[count++] = slot_at(host, i)->name;
        }
    }
    const char *nearest = str_nearest(name, names, count);
    return nearest ? fail(error, HARDY_E_NOT_FOUND, host->path,
                          "no guard \"%s\" has been used here, did you mean \"%s\"?", name, nearest)
                   : fail(error, HARDY_E_NOT_FOUND, host->path,
                          "no guard \"%s\" has been used here", name);
}

hardy_status host_find(struct host *host, const char *name, struct host_entry *out,
                       hardy_error *error) {
    hardy_status status = lock(host, error);
    if (status != HARDY_OK) {
        return status;
    }
    struct slot *slot = find(host, name);
    if (!slot || !name[0] || !has_settings(slot)) {
        status = nothing_called(host, name, error);
    } else {
        describe(slot, (size_t)(slot - slot_at(host, 0)), out);
        out->name = name;
    }
    unlock(host);
    return status;
}

/* While others use the words, the breaker moves on to another generation, so that results that are
 * still on their way count for nothing; word by word, as its users change them. */
static void clear_words(struct slot *slot, int64_t now) {
    breaker_reset(&slot->breaker, now);
    word_store(&slot->rate.arrival, 0);
    word_store(&slot->rate.low_arrival, 0);
    word_store(&slot->budget.balance, 0);
}

hardy_status host_forget_settings(struct host *host, const char *name, hardy_error *error) {
    hardy_status status = lock(host, error);
    if (status != HARDY_OK) {
        return status;
    }
    struct slot *slot = find(host, name);
    if (slot && name[0] && has_settings(slot)) {
        slot->settings = (struct fields){0};
    } else {
        status = nothing_called(host, name, error);
    }
    unlock(host);
    return status;
}

hardy_status host_reset(struct host *host, const char *name, int64_t now, hardy_error *error) {
    hardy_status status = lock(host, error);
    if (status != HARDY_OK) {
        return status;
    }
    struct slot *slot = find(host, name);
    if (!slot || !name[0] || !has_settings(slot)) {
        status = nothing_called(host, name, error);
    } else if (used_by_others(host, (size_t)(slot - slot_at(host, 0)))) {
        slot->settings = (struct fields){0};
        clear_words(slot, now);
    } else {
        memset(slot, 0, sizeof *slot);
    }
    unlock(host);
    return status;
}
