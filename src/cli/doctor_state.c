/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy doctor`: the state, its size and health, and who uses it. */
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "cli/doctor.h"
#include "cli/state.h"
#include "durable/field.h"
#include "durable/pause.h"
#include "io/file.h"
#include "shared/host.h"
#include "store/upkeep.h"
#include "supervise/maintenance.h"
#include "work/retain.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)
#define FREE_MUCH (4 * MIB)
#define LOG_LARGE (64 * MIB)
#define PIDS 8

/* The nearest directory above `path` that exists. */
static char *directory_of(const char *path) {
    char *directory = str_dup(path);
    struct stat st;
    while (directory) {
        char *slash = strrchr(directory, '/');
        if (!slash) {
            str_copy(directory, strlen(directory) + 1, ".");
            break;
        }
        slash[slash == directory ? 1 : 0] = '\0';
        if (stat(directory, &st) == 0) {
            break;
        }
    }
    return directory;
}

static void look_at_mode(struct report *r, const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) {
        return;
    }
    if (st.st_mode & (S_IRWXG | S_IRWXO)) {
        report_mend(report_find(r, "permissions", WRONG,
                                "%s can be used by others than its owner (mode %03o)", path,
                                (unsigned)st.st_mode & 0777),
                    "chmod 600 %s", path);
    } else if (st.st_uid != geteuid()) {
        report_mend(report_find(r, "permissions", NOTE, "%s belongs to user %u, this is user %u",
                                path, (unsigned)st.st_uid, (unsigned)geteuid()),
                    "run hardy as the owner of its state");
    } else {
        report_find(r, "permissions", GOOD, "%s is its owner's only", path);
    }
}

static bool count_one(void *ctx, const struct host_entry *entry) {
    (void)entry;
    ++*(int *)ctx;
    return true;
}

static void look_at_guards(struct report *r, const char *path) {
    struct host *host = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    int count = 0;
    hardy_status status = host_open(path, false, &host, &error);
    if (status == HARDY_OK) {
        status = host_each(host, count_one, &count, &error);
    }
    if (status == HARDY_OK) {
        report_find(r, "guards", GOOD, "%d of %d names are in use", count, HOST_NAMES);
        look_at_mode(r, host_path(host));
    } else if (status == HARDY_E_NOT_FOUND) {
        report_find(r, "guards", GOOD, "none has been used yet");
    } else {
        report_error(r, "guards", &error);
    }
    host_close(host);
}

/* --- what is in it ---------------------------------------------------------------------------- */

/* One for each `%s` of a text, in turn. */
static const char *size_text(int64_t bytes) {
    static char texts[4][32];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    if (bytes < (int64_t)(10 * MIB)) {
        snprintf(text, sizeof texts[0], "%lld KiB", (long long)((bytes + 1023) / 1024));
    } else {
        snprintf(text, sizeof texts[0], "%lld MiB", (long long)(bytes / (int64_t)MIB));
    }
    return text;
}

static int64_t number(const json_t *o, const char *name) {
    return json_integer_value(json_object_get(o, name));
}

static void look_at_space(struct report *r, const json_t *told) {
    int64_t page = number(told, "page_bytes"), left = number(told, "free_pages") * page;
    int64_t all = number(told, "file_bytes");
    bool gives = json_is_true(json_object_get(told, "gives_back"));
    bool waste = left > (int64_t)FREE_MUCH && left > all / 4;
    struct finding *f =
        report_find(r, "size", waste && !gives ? NOTE : GOOD,
                    "the file has %s, %s of it free%s; the log %s", size_text(all), size_text(left),
                    gives ? ", given back by and by" : "", size_text(number(told, "log_bytes")));
    if (waste && !gives) {
        report_mend(f, "hardy state compact (it was made by a hardy that did not give space back)");
    }
}

static void look_at_rows(struct report *r, const json_t *told) {
    const char *kind;
    json_t *figures;
    char text[400] = "none", oldest[40], newest[40];
    int64_t first = INT64_MAX, last = 0;
    size_t at = 0;
    json_object_foreach(json_object_get(told, "kinds"), kind, figures) {
        int64_t from = field_time(figures, "oldest"), to = field_time(figures, "newest");
        first = from < first ? from : first;
        last = to > last ? to : last;
        if (at < sizeof text) {
            int len = snprintf(text + at, sizeof text - at, "%s%lld %s", at ? ", " : "",
                               (long long)number(figures, "rows"), kind);
            at += len > 0 ? (size_t)len : 0;
        }
    }
    if (last == 0) {
        report_find(r, "rows", GOOD, "none");
        return;
    }
    clock_format_wall(first, oldest);
    clock_format_wall(last, newest);
    report_find(r, "rows", GOOD, "%s; written from %.10s to %.10s", text, oldest, newest);
}

static void look_at_retention(struct report *r, struct store *store, const char *path,
                              const struct config *config) {
    struct retain_settings settings;
    struct retain_report report;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    const struct retain_world world = {.store = store, .state = path};
    const struct retain_prune how = {.older_than = HARDY_NEVER, .keep = -1, .dry_run = true};
    hardy_status status = retain_settings_read(config, &settings, &error);
    if (status == HARDY_OK) {
        status = retain_prune(&world, &settings, &how, &report, &error);
    }
    if (status != HARDY_OK) {
        report_error(r, "retention", &error);
    } else if (settings.off) {
        report_find(r, "retention", GOOD, "off: %llu runs are kept",
                    (unsigned long long)report.rows.kept);
    } else {
        report_find(r, "retention", GOOD,
                    "%llu finished runs with %s are due to be removed, %llu are kept",
                    (unsigned long long)report.rows.runs, size_text((int64_t)report.rows.bytes),
                    (unsigned long long)report.rows.kept);
    }
}

struct hands {
    size_t count;
    char target[100], why[320]; /* of the first */
};

static bool add_hands(void *ctx, const struct hands_off_entry *e) {
    struct hands *h = ctx;
    if (h->count++ == 0) {
        str_copy(h->target, sizeof h->target, e->who ? e->target : "");
        str_copy(h->why, sizeof h->why, e->why);
    }
    return true;
}

/* A pause that was forgotten looks like a hardy that does not work. */
static void look_at_hands(struct report *r, struct store *store, const struct config *config) {
    struct maintenance m;
    struct hands h = {0};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = maintenance_read(config, &m, &error);
    if (status == HARDY_OK) {
        status = hands_off_each(&m, store, clock_wall(), add_hands, &h, &error);
    }
    maintenance_free(&m);
    if (status != HARDY_OK) {
        report_error(r, "hands off", &error);
    } else if (h.count > 0) {
        bool all = str_eq(h.target, PAUSE_EVERYTHING);
        struct finding *f =
            report_find(r, "hands off", NOTE, "%zu %s not repaired now: %s%s%s", h.count,
                        h.count == 1 ? "target is" : "targets are", all ? "" : h.target,
                        all || !h.target[0] ? "" : " is ", h.why);
        if (h.target[0]) {
            report_mend(f, "hardy resume%s%s ends the pause", all ? "" : " ", all ? "" : h.target);
        }
    }
}

static void name_pids(const pid_t *pids, size_t count, size_t max, char *out, size_t size) {
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count && i < max && at < size; i++) {
        at += (size_t)snprintf(out + at, size - at, "%s%ld", i ? ", " : "", (long)pids[i]);
    }
    if (count > max && at < size) {
        snprintf(out + at, size - at, " and %zu more", count - max);
    }
}

/* After the store was closed here: SQLite's locks of this process would be lost. */
static void look_at_users(struct report *r, const char *path, int64_t log_bytes) {
    pid_t pids[PIDS];
    char names[120];
    size_t count = store_users(path, pids, PIDS);
    name_pids(pids, count, PIDS, names, sizeof names);
    report_find(r, "in use", GOOD, count ? "open for writing in pid %s" : "by nobody%s", names);
    if (log_bytes < (int64_t)LOG_LARGE) {
        return;
    }
    count = store_log_readers(path, pids, PIDS);
    name_pids(pids, count, PIDS, names, sizeof names);
    report_mend(report_find(r, "log", NOTE,
                            "%s-wal has %s, because somebody is in the middle of a long "
                            "read%s%s",
                            path, size_text(log_bytes), count ? ": pid " : "", names),
                count ? "end that read; the log is used anew after the next write"
                      : "nobody reads any more: it becomes short with the next write");
}

static int64_t look_at_store(struct report *r, const char *path, const struct config *config) {
    struct store *store = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    const struct store_options options = {.path = path, .read_only = true, .purpose = "doctor"};
    hardy_status status = store_open(&options, &store, &error);
    if (status == HARDY_E_NOT_FOUND) {
        report_find(r, "store", GOOD, "%s does not exist yet; it is made on first use", path);
        return 0;
    }
    if (status == HARDY_OK) {
        status = store_describe(store, true, &r->store, &error);
    }
    if (status != HARDY_OK) {
        store_close(store);
        report_error(r, "store", &error);
        return 0;
    }
    json_t *told = json_loadb(r->store.data, r->store.len, 0, NULL);
    const char *integrity = json_string_value(json_object_get(told, "integrity"));
    bool whole = !integrity || str_eq(integrity, "ok");
    if (!whole) {
        report_mend(report_find(r, "store", WRONG, "%s is damaged: %s", path, integrity),
                    "hardy state restore BACKUP; the damaged file is kept");
    } else {
        report_find(r, "store", GOOD, "%s was read through and is whole", path);
        look_at_space(r, told);
        look_at_rows(r, told);
        look_at_retention(r, store, path, config);
        look_at_hands(r, store, config);
    }
    int64_t size = number(told, "file_bytes"), log = number(told, "log_bytes");
    json_decref(told);
    store_close(store);
    look_at_mode(r, path);
    look_at_users(r, path, log);
    return size + log;
}

void look_at_state(struct report *r, const struct options *o) {
    struct state state;
    int64_t size = 0;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = state_find(o, &state, &error);
    if (status != HARDY_OK) {
        report_error(r, "configuration", &error);
    } else {
        report_find(r, "configuration", GOOD, "%s",
                    state.config->path ? state.config->path : "no file, all defaults");
        report_find(r, "state", GOOD, "%s", state.path);
    }
    if (status == HARDY_OK && state_is_file(&state)) {
        char *directory = directory_of(state.path);
        if (file_on_network(state.path)) {
            report_mend(
                report_find(r, "file system", WRONG,
                            "%s lies on a network file system, where locks cannot be trusted",
                            state.path),
                "put the state on a local disk: --state, HARDY_STATE or 'state:'");
        } else {
            report_find(r, "file system", GOOD, "the state lies on this machine");
            size = look_at_store(r, state.path, state.config);
            look_at_guards(r, state.path);
        }
        if (directory) {
            /* A backup, or packing it, needs as much again. */
            look_at_directory(r, "disk", directory, (uint64_t)size);
        }
        free(directory);
    }
    state_close(&state);
}
