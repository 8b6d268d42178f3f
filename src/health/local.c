/* SPDX-License-Identifier: Apache-2.0 */
#include "health/local.h"
#include "base/str.h"
#include "health/host.h"
#include "io/file.h"
#include "io/procfs.h"
#include "shared/host.h"
#include <stdio.h>
#include <stdlib.h>

enum { MAX_FILE = 1 << 20 };

static const char *path_of(const struct check_settings *c) {
    switch (c->kind) {
    case CHECK_DISK:
        return c->disk;
    case CHECK_PROCESS:
        return c->process.pid_file;
    case CHECK_NUMBER:
        return c->number.file;
    case CHECK_REDIS:
        return c->redis.password_file;
    default:
        return NULL;
    }
}

bool check_is_local(const struct check_settings *c) {
    return path_of(c) || c->kind == CHECK_MEMORY || c->kind == CHECK_PROCESS ||
           c->kind == CHECK_GUARD;
}

bool local_look_init(struct local_look *l, const struct check_settings *c, int64_t now) {
    const char *path = path_of(c), *name = c->kind == CHECK_GUARD ? c->guard : c->process.name;
    bool relative = path && path[0] != '/' && c->folder;
    *l = (struct local_look){
        .kind = c->kind, .memory_below = c->memory_below, .disk_free = c->disk_free, .now = now};
    l->path = relative                 ? str_format("%s/%s", c->folder, path)
              : c->kind == CHECK_GUARD ? str_dup(c->state)
                                       : str_dup(path);
    l->name = str_dup(name);
    buf_init(&l->text, MAX_FILE);
    return (!path || l->path) && (!name || l->name);
}

void local_look_free(struct local_look *l) {
    free(l->path);
    free(l->name);
    buf_free(&l->text);
}

static void look_at_host(struct local_look *l) {
    struct host_reading r;
    host_read(l->path, &r);
    if (r.error[0]) {
        l->result = CHECK_UNKNOWN;
        str_copy(l->message, sizeof l->message, r.error);
    } else if (l->kind == CHECK_DISK) {
        l->result = r.disk_free >= l->disk_free ? CHECK_PASS : CHECK_FAIL;
        snprintf(l->message, sizeof l->message, "%llu MiB free",
                 (unsigned long long)(r.disk_free >> 20));
    } else {
        l->result = r.memory_used < l->memory_below ? CHECK_PASS : CHECK_FAIL;
        snprintf(l->message, sizeof l->message, "%.0f %% of %llu MiB in use", 100 * r.memory_used,
                 (unsigned long long)(r.memory_limit >> 20));
    }
}

/* --- processes -------------------------------------------------------------------------------- */

/* Returns whether a better one may be found: the first that runs is enough. */
static bool judge_process(void *ctx, const struct procfs_process *p) {
    struct local_look *l = ctx;
    bool dead = p->state == 'Z' || p->state == 'X';
    const char *how = procfs_stopped(p) ? "is stopped"
                      : dead            ? "has ended, and nobody has collected it"
                                        : "runs";
    l->result = procfs_stopped(p) || dead ? CHECK_FAIL : CHECK_PASS;
    snprintf(l->message, sizeof l->message, "%.63s, pid %ld, %s", p->name, p->pid, how);
    return l->result == CHECK_FAIL;
}

static void look_at_pid_file(struct local_look *l, hardy_error *error) {
    struct procfs_process p;
    long pid;
    hardy_status status = procfs_pid_file(l->path, &pid, error);
    if (status == HARDY_E_NOT_FOUND) {
        l->result = CHECK_FAIL;
        snprintf(l->message, sizeof l->message, "there is no pid file %.150s", l->path);
    } else if (status != HARDY_OK) {
        l->result = CHECK_UNKNOWN;
        snprintf(l->message, sizeof l->message, "%.100s: %.90s", l->path, error->message);
    } else if (procfs_read(pid, &p)) {
        judge_process(l, &p);
    } else {
        l->result = CHECK_FAIL;
        snprintf(l->message, sizeof l->message, "pid %ld of %.150s is gone", pid, l->path);
    }
}

static void look_at_process(struct local_look *l, hardy_error *error) {
    if (l->path) {
        look_at_pid_file(l, error);
        return;
    }
    l->result = CHECK_FAIL;
    snprintf(l->message, sizeof l->message, "no process is called %.100s", l->name);
    if (procfs_named(l->name, judge_process, l, error) != HARDY_OK) {
        l->result = CHECK_UNKNOWN;
        str_copy(l->message, sizeof l->message, error->message);
    }
}

/* --- guards ----------------------------------------------------------------------------------- */

static void judge_breaker(struct local_look *l, const struct host_entry *entry) {
    hardy_breaker_stats stats;
    breaker_stats(entry->slot.breaker, &entry->breaker, l->now, &stats);
    bool open = stats.state == HARDY_OPEN || stats.state == HARDY_FORCED_OPEN;
    l->result = open ? CHECK_FAIL : CHECK_PASS;
    snprintf(l->message, sizeof l->message, "%s, %u recent failures",
             hardy_breaker_state_name(stats.state), stats.recent_failures);
}

static void look_at_guard(struct local_look *l, hardy_error *error) {
    struct host *host = NULL;
    struct host_entry entry;
    l->result = CHECK_UNKNOWN;
    if (!l->path) {
        str_copy(l->message, sizeof l->message,
                 "processes share no guards here: that needs a state in a file");
        return;
    }
    hardy_status status = host_open(l->path, false, &host, error);
    if (status == HARDY_OK)
        status = host_find(host, l->name, &entry, error);
    if (status == HARDY_E_NOT_FOUND)
        snprintf(l->message, sizeof l->message, "no guard %s has been used yet", l->name);
    else if (status != HARDY_OK)
        str_copy(l->message, sizeof l->message, error->message);
    else if (!entry.has_breaker)
        snprintf(l->message, sizeof l->message, "the guard %s has no breaker", l->name);
    else
        judge_breaker(l, &entry);
    host_close(host);
}

/* --- files ------------------------------------------------------------------------------------ */

static void look_at_file(struct local_look *l, hardy_error *error) {
    bool good = file_read(l->path, &l->text, error) == HARDY_OK;
    l->result = good ? CHECK_PASS : CHECK_UNKNOWN;
    if (!good)
        snprintf(l->message, sizeof l->message, "%.100s: %.90s", l->path, error->message);
}

void local_look(struct local_look *l) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (l->kind == CHECK_PROCESS)
        look_at_process(l, &error);
    else if (l->kind == CHECK_GUARD)
        look_at_guard(l, &error);
    else if (l->kind == CHECK_NUMBER || l->kind == CHECK_REDIS)
        look_at_file(l, &error);
    else
        look_at_host(l);
}
