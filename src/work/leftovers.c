/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files beside the database that belong to nothing any more: of steps whose record was removed, or
 * has begun anew since without their being missed; of results that no row names.
 *
 * The name of a step's files is a hash, so what is looked for are files without a record: all old
 * ones are listed, then every row that could be their record strikes them out. What is left is
 * looked at once more with the key's lock held, under which nobody begins a run.
 */
#include "base/error.h"
#include "base/sha256.h"
#include "base/str.h"
#include "durable/blob.h"
#include "io/file.h"
#include "io/lock.h"
#include "io/shim.h"
#include "store/upkeep.h"
#include "work/place.h"
#include "work/retain.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GRACE HARDY_HOUR
#define LISTED_MAX 20000 /* in one sweep */
#define STEM 32          /* digits of the hash */

struct leftover {
    char stem[STEM + 1];
    int64_t fence; /* the run's number */
    bool wanted;
};
struct leftovers {
    char *folder;
    struct leftover *items; /* sorted by stem */
    size_t count, cap;
    int64_t before; /* wall: written since, it is left alone */
    bool no_memory;
};

static int by_stem(const void *a, const void *b) {
    const struct leftover *x = a, *y = b;
    int order = strcmp(x->stem, y->stem);
    return order ? order : (x->fence > y->fence) - (x->fence < y->fence);
}

static bool older(const char *path, int64_t before) {
    struct stat st;
    return stat(path, &st) != 0 ||
           (int64_t)st.st_mtim.tv_sec * HARDY_SECOND + st.st_mtim.tv_nsec < before;
}

/* "HASH.FENCE.ending". */
static bool parse(const char *name, struct leftover *out) {
    char *end;
    if (strspn(name, "0123456789abcdef") != STEM || name[STEM] != '.') {
        return false;
    }
    *out = (struct leftover){.fence = strtoll(name + STEM + 1, &end, 10)};
    memcpy(out->stem, name, STEM);
    return end > name + STEM + 1 && *end == '.' && out->fence >= 0;
}

static bool all_older(const struct leftovers *l, const struct leftover *item) {
    static const char *const endings[] = {"lock", "begun", "result"};
    bool old = true;
    for (size_t i = 0; i < sizeof endings / sizeof *endings && old; i++) {
        char *path =
            str_format("%s/%s.%lld.%s", l->folder, item->stem, (long long)item->fence, endings[i]);
        old = path && older(path, l->before);
        free(path);
    }
    return old;
}

static void list(struct leftovers *l, DIR *dir) {
    const struct dirent *entry;
    struct leftover item;
    while (l->count < LISTED_MAX && (entry = readdir(dir))) {
        if (!parse(entry->d_name, &item) || !str_ends(entry->d_name, ".lock") ||
            !all_older(l, &item)) {
            continue;
        }
        if (l->count == l->cap) {
            size_t cap = l->cap ? 2 * l->cap : 64;
            struct leftover *more = realloc(l->items, cap * sizeof *more);
            l->no_memory = !more;
            if (!more) {
                return;
            }
            l->items = more;
            l->cap = cap;
        }
        l->items[l->count++] = item;
    }
    if (l->count > 0) {
        qsort(l->items, l->count, sizeof *l->items, by_stem);
    }
}

/* Strikes out what this row is the record of. Files of an earlier run than the one it tells of are
 * nobody's. */
static bool strike(void *ctx, const struct store_row *row) {
    struct leftovers *l = ctx;
    struct sha256 hash;
    char hex[65];
    sha256_init(&hash);
    sha256_add_part(&hash, row->kind, strlen(row->kind));
    sha256_add_part(&hash, row->key, strlen(row->key));
    sha256_done_hex(&hash, hex);
    hex[STEM] = '\0';
    size_t low = 0, high = l->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(l->items[middle].stem, hex) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < l->count && str_eq(l->items[low].stem, hex); low++) {
        l->items[low].wanted = l->items[low].wanted || l->items[low].fence >= row->fence;
    }
    return true;
}

struct kinds {
    struct store *store;
    bool (*fn)(void *ctx, const struct store_row *row);
    void *ctx;
    bool values;
    hardy_status status;
    hardy_error *error;
};

static bool each_kind(void *ctx, const char *kind, uint64_t rows) {
    struct kinds *k = ctx;
    (void)rows;
    k->status = (k->values ? store_scan : store_scan_keys)(k->store, kind, "", NULL, SIZE_MAX,
                                                           k->fn, k->ctx, k->error);
    return k->status == HARDY_OK;
}

static hardy_status each_row(struct kinds *k) {
    hardy_status status = store_each_kind(k->store, each_kind, k, k->error);
    return status == HARDY_OK ? k->status : status;
}

static bool remove_one(const struct retain_world *w, const struct leftovers *l,
                       const struct leftover *item, int locks) {
    char digits[16];
    memcpy(digits, item->stem, 15);
    digits[15] = '\0';
    int64_t byte = strtoll(digits, NULL, 16); /* as in place.c */
    if (lock_try(locks, byte, NULL) != HARDY_OK) {
        return false; /* somebody decides about this key just now */
    }
    char *base = str_format("%s/%s.%lld", l->folder, item->stem, (long long)item->fence);
    bool removed = base && all_older(l, item);
    if (removed) {
        shim_forget(w->loop, base); /* but what runs */
        char *path = str_format("%s.lock", base);
        removed = path && !file_exists(path);
        free(path);
    }
    free(base);
    lock_release(locks, byte);
    return removed;
}

hardy_status leftovers_sweep(const struct retain_world *w, int64_t wall, uint64_t *removed,
                             hardy_error *error) {
    char *real = realpath(w->state, NULL);
    struct leftovers l = {.folder = real ? str_format("%s-steps", real) : NULL,
                          .before = wall - GRACE};
    DIR *dir = l.folder ? opendir(l.folder) : NULL;
    *removed = 0;
    free(real);
    if (!dir) { /* nothing was ever begun under this state, or it has no file */
        free(l.folder);
        return HARDY_OK;
    }
    list(&l, dir);
    closedir(dir);
    struct kinds rows = {.store = w->store, .fn = strike, .ctx = &l, .error = error};
    hardy_status status = l.no_memory ? fail(error, HARDY_E_NOMEM, l.folder, "no memory to list it")
                          : l.count   ? each_row(&rows)
                                      : HARDY_OK;
    char *path = str_format("%s/keys.lock", l.folder);
    int locks = status == HARDY_OK && l.count && path ? lock_open(path, error) : -1;
    for (size_t i = 0; i < l.count && locks >= 0; i++) {
        *removed += !l.items[i].wanted && remove_one(w, &l, &l.items[i], locks);
    }
    if (locks >= 0) {
        close(locks);
    }
    free(path);
    free(l.folder);
    free(l.items);
    return status;
}

/* --- large results ------------------------------------------------------------------------------
 */

#define BLOB_WORD "sha256:"

struct names {
    char (*items)[BLOB_NAME_SIZE];
    size_t count, cap;
    bool no_memory;
};

static int by_name(const void *a, const void *b) {
    return strcmp(a, b);
}

/* Whatever member it stands in: a row that mentions it keeps it. */
static bool mark(void *ctx, const struct store_row *row) {
    struct names *n = ctx;
    const char *at = row->value, *end = row->value + row->len;
    while ((at = memmem(at, (size_t)(end - at), BLOB_WORD, strlen(BLOB_WORD)))) {
        if (end - at < BLOB_NAME_SIZE - 1) {
            break;
        }
        if (n->count == n->cap) {
            size_t cap = n->cap ? 2 * n->cap : 64;
            void *more = realloc(n->items, cap * sizeof *n->items);
            n->no_memory = !more;
            if (!more) {
                return false;
            }
            n->items = more;
            n->cap = cap;
        }
        memcpy(n->items[n->count], at, BLOB_NAME_SIZE - 1);
        n->items[n->count++][BLOB_NAME_SIZE - 1] = '\0';
        at += strlen(BLOB_WORD);
    }
    return true;
}

static bool is_marked(void *ctx, const char *name) {
    const struct names *n = ctx;
    return n->count > 0 && bsearch(name, n->items, n->count, sizeof *n->items, by_name);
}

hardy_status leftovers_blobs(const struct retain_world *w, int64_t wall, struct retain_report *out,
                             hardy_error *error) {
    struct names names = {0};
    struct blob_swept swept = {0};
    char *real = realpath(w->state, NULL);
    char *folder = real ? str_format("%s-blobs", real) : NULL;
    bool any = folder && file_exists(folder);
    free(folder);
    free(real);
    if (!any) {
        return HARDY_OK;
    }
    struct kinds rows = {
        .store = w->store, .fn = mark, .ctx = &names, .values = true, .error = error};
    hardy_status status = each_row(&rows);
    if (status == HARDY_OK && names.no_memory) {
        status = fail(error, HARDY_E_NOMEM, w->state, "no memory for the names of results");
    }
    if (status == HARDY_OK) {
        if (names.count > 0) {
            qsort(names.items, names.count, sizeof *names.items, by_name);
        }
        status = blob_sweep(w->state, wall, is_marked, &names, &swept, error);
        out->blobs = swept.removed;
        out->blob_bytes = swept.bytes;
    }
    free(names.items);
    return status;
}
