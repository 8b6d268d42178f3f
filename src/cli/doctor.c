/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy doctor`: what hardy stands on here, what is wrong with it, and how to mend it. */
#include "cli/doctor.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/say.h"
#include "io/file.h"
#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <uv.h>
#include <yaml.h>

#define TEXT_MAX ((size_t)1 << 20)
#define MIB ((uint64_t)1 << 20)
#define DISK_WRONG (16 * MIB)
#define DISK_LOW (1024 * MIB)
#define FILES_LOW 1024

static const char *const verdict_names[] = {"ok", "note", "wrong"};

struct finding *report_find(struct report *r, const char *name, enum verdict verdict,
                            const char *format, ...) {
    size_t last = sizeof r->findings / sizeof *r->findings - 1;
    struct finding *f = &r->findings[r->count < last ? r->count++ : last];
    *f = (struct finding){.name = name, .verdict = verdict};
    va_list args;
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    return f;
}

void report_mend(struct finding *f, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(f->mend, sizeof f->mend, format, args);
    va_end(args);
}

void report_error(struct report *r, const char *name, const hardy_error *error) {
    report_find(r, name, WRONG, "%s%s%s", error->where, error->where[0] ? ": " : "",
                error->message);
}

/* --- versions ----------------------------------------------------------------------------- */

/* https://sqlite.org/wal.html: two connections that write and checkpoint at the same moment can
 * damage the database. Fixed in 3.51.3, and in 3.44.6 and 3.50.7 of the older series. */
static bool has_wal_reset_bug(int version) {
    return version >= 3007000 && version < 3051003 && !(version >= 3044006 && version < 3045000) &&
           !(version >= 3050007 && version < 3051000);
}

static void look_at_versions(struct report *r) {
    struct utsname system;
    report_find(r, "hardy", GOOD, "%s", HARDY_VERSION);
    if (uname(&system) == 0) {
        report_find(r, "system", GOOD, "%s %s %s", system.sysname, system.release, system.machine);
    }
    if (has_wal_reset_bug(sqlite3_libversion_number())) {
        report_mend(
            report_find(
                r, "sqlite", NOTE,
                "%s, which has the WAL-reset bug: two writers at once can damage a database. "
                "hardy's state is not exposed to it: its writers take turns (the writer lease)",
                sqlite3_libversion()),
            "let no other program write to the state; 3.51.3 mends the bug");
    } else {
        report_find(r, "sqlite", GOOD, "%s", sqlite3_libversion());
    }
    report_find(r, "libuv", GOOD, "%s", uv_version_string());
    report_find(r, "openssl", GOOD, "%s", OpenSSL_version(OPENSSL_VERSION_STRING));
    report_find(r, "libyaml", GOOD, "%s", yaml_get_version_string());
    report_find(r, "jansson", GOOD, "%s", jansson_version_str());
}

void look_at_directory(struct report *r, const char *what, const char *directory, uint64_t wanted) {
    if (access(directory, W_OK | X_OK) != 0) {
        report_mend(
            report_find(r, what, WRONG, "%s cannot be written to: %s", directory, strerror(errno)),
            "give this user the right to write there, or choose another place");
        return;
    }
    struct statvfs fs;
    if (statvfs(directory, &fs) != 0) {
        report_find(r, what, NOTE, "%s: free space is not known: %s", directory, strerror(errno));
        return;
    }
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
    enum verdict verdict = left < DISK_WRONG                  ? WRONG
                           : left < DISK_LOW || left < wanted ? NOTE
                                                              : GOOD;
    struct finding *f = report_find(r, what, verdict, "%s has %llu MiB free", directory,
                                    (unsigned long long)(left / MIB));
    if (verdict != GOOD) {
        report_mend(f, "make room on that file system");
    }
}

/* --- the machine -------------------------------------------------------------------------- */

static void look_at_machine(struct report *r) {
    char boot_id[37];
    file_boot_id(boot_id);
    if (!boot_id[0] || access("/proc/self/stat", R_OK) != 0) {
        report_mend(
            report_find(
                r, "/proc", WRONG,
                "cannot be read: guards cannot be shared, and what a command started cannot be "
                "found to end it"),
            "mount -t proc proc /proc");
    } else {
        report_find(r, "/proc", GOOD, "can be read");
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        bool low = files.rlim_cur < FILES_LOW;
        struct finding *f =
            report_find(r, "open files", low ? NOTE : GOOD, "%llu at most, %llu allowed",
                        (unsigned long long)files.rlim_cur, (unsigned long long)files.rlim_max);
        if (low) {
            report_mend(f, "ulimit -n %d, or LimitNOFILE= in the unit", FILES_LOW);
        }
    }
    const char *temporary = getenv("TMPDIR");
    look_at_directory(r, "temporary", temporary && temporary[0] ? temporary : "/tmp", 0);
}

/* --- telling it --------------------------------------------------------------------------- */

static void print_json(const struct report *r, bool good) {
    struct buf text;
    struct json_out j;
    buf_init(&text, TEXT_MAX);
    json_out_init(&j, &text, 2);
    json_out_object(&j);
    json_out_key(&j, "ok");
    json_out_bool(&j, good);
    json_out_key(&j, "findings");
    json_out_array(&j);
    for (size_t i = 0; i < r->count; i++) {
        const struct finding *f = &r->findings[i];
        json_out_object(&j);
        json_out_key(&j, "name");
        json_out_string(&j, f->name);
        json_out_key(&j, "verdict");
        json_out_string(&j, verdict_names[f->verdict]);
        json_out_key(&j, "text");
        json_out_string(&j, f->text);
        json_out_key(&j, "mend");
        json_out_string(&j, f->mend[0] ? f->mend : NULL);
        json_out_object_end(&j);
    }
    json_out_array_end(&j);
    json_out_key(&j, "store");
    if (r->store.len > 0) {
        json_out_raw(&j, r->store.data);
    } else {
        json_out_null(&j);
    }
    json_out_object_end(&j);
    buf_putc(&text, '\n');
    fwrite(text.data ? text.data : "", 1, text.len, stdout);
    buf_free(&text);
}

static void print_text(const struct report *r, bool color) {
    static const char *const colors[] = {"\033[32m", "\033[33m", "\033[31m"};
    for (size_t i = 0; i < r->count; i++) {
        const struct finding *f = &r->findings[i];
        printf("%s%-5s%s  %-14s %s\n", color ? colors[f->verdict] : "", verdict_names[f->verdict],
               color ? "\033[0m" : "", f->name, f->text);
        if (f->mend[0]) {
            printf("%23s%s\n", "to mend it: ", f->mend);
        }
    }
}

static int run(struct options *o) {
    if (options_next(o) < 0) {
        return o->exit;
    }
    if (o->argc > 0) {
        return options_wrong(o, "\"%s\" is too much", o->argv[0]);
    }
    struct report *r = calloc(1, sizeof *r);
    if (!r) {
        say(o, HARDY_LOG_ERROR, "out of memory");
        return EXIT_FAILED;
    }
    buf_init(&r->store, TEXT_MAX / 2);
    look_at_versions(r);
    look_at_state(r, o);
    look_at_machine(r);
    bool good = true;
    for (size_t i = 0; i < r->count; i++) {
        good = good && r->findings[i].verdict != WRONG;
    }
    if (o->globals.json) {
        print_json(r, good);
    } else {
        print_text(r, options_color(&o->globals, STDOUT_FILENO));
    }
    buf_free(&r->store);
    free(r);
    return good ? EXIT_DONE : EXIT_FAILED;
}

const struct command command_doctor = {
    .name = "doctor",
    .synopsis = "",
    .summary = "tell what hardy stands on here, what is wrong and how to mend it",
    .details = "Exit code 0: nothing is wrong, 1: something is.",
    .examples = "hardy doctor\nhardy doctor --json",
    .run = run,
};
