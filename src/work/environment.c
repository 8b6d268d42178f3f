/* SPDX-License-Identifier: Apache-2.0 */
#include "work/environment.h"
#include "base/buf.h"
#include "base/str.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ENTRY = 16 << 20 }; /* far above what the kernel takes */

static size_t name_length(const char *entry) {
    return strcspn(entry, "=");
}

/* The place of the entry of that name; `count` when there is none. */
static size_t find(const struct environment *e, const char *name, size_t len) {
    size_t i = 0;
    while (i < e->count &&
           !(name_length(e->list[i]) == len && strncmp(e->list[i], name, len) == 0)) {
        i++;
    }
    return i;
}

/* Takes `entry`; puts it in place of the one at `i`, or at the end. */
static void put(struct environment *e, size_t i, char *entry) {
    if (entry && i < e->count) {
        free(e->list[i]);
        e->list[i] = entry;
        return;
    }
    if (entry && e->count + 1 >= e->cap) {
        size_t cap = e->cap ? 2 * e->cap : 64;
        char **grown = realloc(e->list, cap * sizeof *grown);
        if (grown) {
            e->list = grown;
            e->cap = cap;
        }
    }
    if (!entry || e->count + 1 >= e->cap) {
        free(entry);
        e->failed = true;
        return;
    }
    e->list[e->count++] = entry;
    e->list[e->count] = NULL;
}

void environment_add(struct environment *e, const char *const *base) {
    for (; base && *base; base++) {
        if (find(e, *base, name_length(*base)) == e->count) {
            put(e, e->count, str_dup(*base));
        }
    }
}

void environment_set(struct environment *e, const char *name, const char *format, ...) {
    struct buf entry;
    va_list args;
    buf_init(&entry, MAX_ENTRY);
    buf_printf(&entry, "%s=", name);
    va_start(args, format);
    buf_vprintf(&entry, format, args);
    va_end(args);
    put(e, find(e, name, strlen(name)), entry.failed ? NULL : buf_take(&entry));
    buf_free(&entry);
}

void environment_unset(struct environment *e, const char *name) {
    size_t i = find(e, name, strlen(name));
    if (i < e->count) {
        free(e->list[i]);
        memmove(&e->list[i], &e->list[i + 1], (e->count - i) * sizeof *e->list);
        e->count--;
    }
}

char **environment_take(struct environment *e) {
    char **list = e->failed ? NULL : e->list ? e->list : calloc(1, sizeof *list);
    if (!e->failed) {
        e->list = NULL;
    }
    environment_free(e);
    return list;
}

void environment_free_list(char **list) {
    for (size_t i = 0; list && list[i]; i++) {
        free(list[i]);
    }
    free(list);
}

void environment_free(struct environment *e) {
    environment_free_list(e->list);
    *e = (struct environment){0};
}
