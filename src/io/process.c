/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of processes, from /proc. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/loop.h"

struct entry {
    int pid, parent;
    bool below, zombie;
};
struct table {
    struct entry *entries;
    size_t count, cap;
};

static bool read_entry(int proc, const char *name, struct entry *out) {
    char path[64], text[512];
    snprintf(path, sizeof path, "%.32s/stat", name);
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) {
        return false;
    }
    text[n] = '\0';
    /* "pid (name) state parent": the name may hold anything, also brackets. */
    const char *after = strrchr(text, ')');
    char state;
    if (!after || sscanf(after + 1, " %c %d", &state, &out->parent) != 2) {
        return false;
    }
    out->pid = (int)strtol(name, NULL, 10);
    out->zombie = state == 'Z' || state == 'X';
    out->below = false;
    return true;
}

static void read_table(struct table *t) {
    *t = (struct table){0};
    DIR *proc = opendir("/proc");
    if (!proc) {
        return;
    }
    struct dirent *d;
    while ((d = readdir(proc)) != NULL) {
        if (!isdigit((unsigned char)d->d_name[0])) {
            continue;
        }
        if (t->count == t->cap) {
            size_t cap = t->cap ? t->cap * 2 : 256;
            struct entry *entries = realloc(t->entries, cap * sizeof *entries);
            if (!entries) {
                break;
            }
            t->entries = entries;
            t->cap = cap;
        }
        t->count += read_entry(dirfd(proc), d->d_name, &t->entries[t->count]);
    }
    closedir(proc);
}

static bool parent_is_below(const struct table *t, const struct entry *e, int top) {
    if (e->parent == top) {
        return true;
    }
    for (size_t i = 0; i < t->count; i++) {
        if (t->entries[i].pid == e->parent) {
            return t->entries[i].below;
        }
    }
    return false;
}

size_t process_signal_below(int pid, int signum) {
    struct table t;
    read_table(&t);
    bool more = true;
    while (more) {
        more = false;
        for (size_t i = 0; i < t.count; i++) {
            struct entry *e = &t.entries[i];
            if (!e->below && e->pid != pid && parent_is_below(&t, e, pid)) {
                e->below = more = true;
            }
        }
    }
    size_t count = 0;
    for (size_t i = 0; i < t.count; i++) {
        if (t.entries[i].below && !t.entries[i].zombie) {
            kill(t.entries[i].pid, signum);
            count++;
        }
    }
    free(t.entries);
    return count;
}
